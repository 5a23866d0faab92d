from __future__ import annotations

import numpy as np
import pytest

from app.reading import textbook
from tests.unit.run_folder import manifest

OWN = {"sites": {"0/q": {"norm": 3.0, "active": True}, "0/v": {"norm": 4.0, "active": True}}}
FOUND = {
    "images": 8,
    "mistakes": 4,
    "mistakes_from_wrong_task": 0.75,
    "mistakes_right_given_task": 0.5,
    "task_aware_accuracy": 0.9,
    "final_accuracy": 0.5,
    "retrieval_accuracy": 0.625,
    "recall_at_2": None,
    "trainable_parameters_per_task": [5, 5],
    "matrices": {"class_incremental": [[1.0, None], [0.25, 0.75]]},
}


@pytest.mark.parametrize(
    ("promises", "gates", "kind"),
    [
        (["past_is_frozen"], [OWN], "own"),
        ([], [OWN], "shared"),
        (["past_is_frozen"], [{}, {}], "none"),
        ([], [], "none"),
    ],
)
def test_kind_of_method_is_read_from_what_it_left(promises, gates, kind):
    assert textbook.kind(manifest(promises=promises), gates) == kind


def test_block_norms_join_the_sites_of_a_block_and_leave_out_what_is_off():
    gates = {"sites": OWN["sites"] | {"1/q": {"norm": 7.0, "active": False}, "9/q": {"norm": 1.0}}}
    np.testing.assert_allclose(textbook.block_norms(gates, 3), [5, 0, 0])
    assert textbook.block_norms({}, 2).tolist() == [0, 0]


def test_numbers_on_the_pages_are_those_of_the_run():
    known = manifest()
    assert "**4 patches**" in textbook.patches(known) and "**4 numbers**" in textbook.embedding(known)
    assert "**2 blocks**" in textbook.blocks(known)
    assert "**5 weights**" in textbook.adapter(known, [OWN], FOUND) and "50.0%" in textbook.adapter(known, [OWN], FOUND)
    assert "1 of 2 blocks" in textbook.adapter(known, [OWN], FOUND)
    assert "from **100.0%** to **25.0%**" in textbook.next_task(known, [OWN, OWN], FOUND)
    assert "**62.5%** of the images." in textbook.retrieve(FOUND)
    text = textbook.mistakes(FOUND)
    assert "**4 of 8**" in text and "**3** of the mistakes" in text and "get **2** of them right" in text


def test_borrowed_units_are_counted():
    gates = {"sites": {"0/q": {"norm": 1.0, "reuse": [[0.5, -0.2, 0.001], [0.0]]}}}
    assert "**2 of 4**" in textbook.next_task(manifest(), [OWN, gates], FOUND)


@pytest.mark.parametrize(
    ("components", "said"),
    [([3], "**3**"), ([2, 2, 2], "every task has **2**"), ([4, 5, 6], "**4, 5 and 6**"), (list(range(9)), "0 to 8")],
)
def test_components_are_listed_shortly(components, said):
    assert said in textbook.clusters(components)


def test_what_was_not_measured_is_left_out_or_dashed():
    assert "no clusters" in textbook.clusters([])
    assert "–" in textbook.retrieve({})
    assert "all 0" in textbook.mistakes({})
    assert "no adapter" in textbook.adapter(manifest(), [], {})
    assert "accuracy went" not in textbook.next_task(manifest(), [], {})


def test_a_fall_without_overwriting_is_explained_with_what_is_still_known():
    found = FOUND | {"matrices": FOUND["matrices"] | {"task_aware": [[1.0, None], [0.75, 1.0]]}}
    own = textbook.next_task(manifest(promises=["past_is_frozen"]), [OWN, OWN], found)
    assert "Nothing was overwritten" in own and "with the task given, it is still **75.0%**" in own
    shared = textbook.next_task(manifest(promises=[]), [OWN, OWN], found)
    assert "Nothing was overwritten" not in shared and "one model" in shared


def test_a_method_that_learned_all_at_once_says_so():
    found = FOUND | {"matrices": {"class_incremental": [[None, None], [0.25, 0.75]]}}
    assert "all tasks at once" in textbook.next_task(manifest(), [OWN, OWN], found)
