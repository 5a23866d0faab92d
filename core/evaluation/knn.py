"""Nearest-neighbour accuracy of embeddings: how useful a space is before any head is trained on it.

Measured on data the model was not trained on, before and after learning, it says what the model still knows
(`core.evaluation.metrics.retention`).
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize


def knn_predict(
    bank: Tensor,
    bank_labels: Tensor,
    queries: Tensor,
    k: int = 20,
    temperature: float = 0.07,
    chunk: int = 1024,
) -> Tensor:
    """int64 (m,) class of each query by the vote of its k most similar bank images.

    Published: the protocol of DINO (Caron et al. 2021; Wu et al. 2018): with cosine similarity s each neighbour votes
    exp(s / T), k = 20 and T = 0.07. A tie goes to the smaller class. With fewer than k images in the bank all vote.

    bank: float (n, width). bank_labels: int (n,), not negative. queries: float (m, width).
    Raises ValueError for an empty bank, shapes that do not match, k < 1 or values that are not finite.
    """
    _check(bank, bank_labels, queries, k)
    bank, queries = normalize(bank.float(), dim=1), normalize(queries.float(), dim=1)
    labels = bank_labels.long()
    classes = int(labels.max()) + 1
    predicted = []
    for part in queries.split(chunk):
        similarity, nearest = (part @ bank.T).topk(min(k, len(bank)), dim=1)
        weights = ((similarity - 1) / temperature).exp()  # the common factor exp(-1 / T) keeps it in range
        votes = weights.new_zeros(len(part), classes).scatter_add_(1, labels[nearest], weights)
        predicted.append(votes.argmax(dim=1))
    return torch.cat(predicted) if predicted else labels.new_empty(0)


def knn_accuracy(
    bank: Tensor, bank_labels: Tensor, queries: Tensor, labels: Tensor, k: int = 20, temperature: float = 0.07
) -> float:
    """Share of queries whose `knn_predict` is their label, int (m,). Raises ValueError as it does, or for no query."""
    if len(queries) != len(labels) or not len(labels):
        raise ValueError(f"{len(queries)} queries and {len(labels)} labels: need as many, and at least one")
    predicted = knn_predict(bank, bank_labels, queries, k, temperature)
    return float((predicted == labels.to(predicted.device)).float().mean())


def _check(bank: Tensor, labels: Tensor, queries: Tensor, k: int) -> None:
    if bank.ndim != 2 or queries.ndim != 2 or bank.shape[1] != queries.shape[1]:
        raise ValueError(f"bank {tuple(bank.shape)} and queries {tuple(queries.shape)} must both be (images, width)")
    if not len(bank) or len(bank) != len(labels):
        raise ValueError(f"{len(bank)} bank images and {len(labels)} labels: need as many, and at least one")
    if k < 1:
        raise ValueError(f"k is {k}: at least one neighbour must vote")
    if int(labels.min()) < 0:
        raise ValueError("bank labels must not be negative")
    if not (bank.isfinite().all() and queries.isfinite().all()):
        raise ValueError("embeddings contain values that are not finite")
