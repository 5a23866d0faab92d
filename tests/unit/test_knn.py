"""Nearest-neighbour accuracy: votes worked by hand, and what no rotation or scale may change."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from core.evaluation.knn import knn_accuracy, knn_predict


def clusters(seed, images=40, classes=4, width=8, noise=0.05):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(images) % classes
    centres = torch.eye(classes, width)
    return centres[labels] + noise * torch.randn(images, width, generator=generator), labels


def test_clusters_are_recognised_and_shuffled_labels_are_not():
    bank, labels = clusters(0)
    queries, truth = clusters(1)
    assert knn_accuracy(bank, labels, queries, truth, k=5) == 1
    assert knn_accuracy(bank, labels, queries, (truth + 1) % 4, k=5) == 0


def test_similar_neighbours_outvote_many():
    """One neighbour at cosine 1 weighs e^(0.5 / 0.07), two at cosine 0.5 weigh 2."""
    bank = torch.tensor([[1.0, 0.0], [0.5, 0.75**0.5], [0.5, -(0.75**0.5)]])
    labels = torch.tensor([1, 0, 0])
    query = torch.tensor([[2.0, 0.0]])
    assert knn_predict(bank, labels, query, k=3).tolist() == [1]
    assert knn_predict(bank, labels, query, k=3, temperature=10.0).tolist() == [0]


def test_only_k_neighbours_vote():
    bank = torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, 0.1]])
    labels = torch.tensor([1, 0, 0])
    assert knn_predict(bank, labels, torch.tensor([[1.0, 0.0]]), k=1).tolist() == [1]
    assert knn_predict(bank, labels, torch.tensor([[1.0, 0.0]]), k=50).tolist() == [0]


def test_a_tie_goes_to_the_smaller_class():
    bank = torch.tensor([[1.0, 1.0], [1.0, -1.0]])
    assert knn_predict(bank, torch.tensor([3, 2]), torch.tensor([[1.0, 0.0]]), k=2).tolist() == [2]


def test_opposite_and_zero_vectors_are_harmless():
    bank, labels = torch.tensor([[-1.0, 0.0], [0.0, 0.0]]), torch.tensor([0, 1])
    assert knn_predict(bank, labels, torch.tensor([[1.0, 0.0]]), k=2, temperature=0.01).tolist() == [1]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 1000), st.floats(0.01, 100), st.integers(1, 9))
def test_rotation_scale_and_chunks_change_nothing(seed, scale, chunk):
    bank, labels = clusters(seed, noise=0.4)
    queries, _ = clusters(seed + 1, images=20, noise=0.4)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(seed))).Q
    expected = knn_predict(bank, labels, queries, k=7)
    assert torch.equal(knn_predict(bank @ turn * scale, labels, queries @ turn, k=7, chunk=chunk), expected)


def test_float16_embeddings_are_accepted():
    bank, labels = clusters(0)
    assert knn_accuracy(bank.half(), labels, bank.half(), labels) == 1


def test_no_query_has_no_class():
    bank, labels = clusters(0)
    assert knn_predict(bank, labels, bank[:0]).tolist() == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda a: a | {"bank": a["bank"][:0], "bank_labels": a["bank_labels"][:0]}, "at least one"),
        (lambda a: a | {"bank_labels": a["bank_labels"][:-1]}, "as many"),
        (lambda a: a | {"queries": a["queries"][:, :3]}, "width"),
        (lambda a: a | {"queries": a["queries"] * float("nan")}, "not finite"),
        (lambda a: a | {"bank_labels": a["bank_labels"] - 1}, "negative"),
        (lambda a: a | {"labels": a["labels"][:-1]}, "as many"),
        (lambda a: a | {"queries": a["queries"][:0], "labels": a["labels"][:0]}, "at least one"),
        (lambda a: a | {"k": 0}, "neighbour"),
    ],
)
def test_wrong_input_is_refused(change, words):
    bank, labels = clusters(0)
    arguments = {"bank": bank, "bank_labels": labels, "queries": bank, "labels": labels}
    with pytest.raises(ValueError, match=words):
        knn_accuracy(**change(arguments))
