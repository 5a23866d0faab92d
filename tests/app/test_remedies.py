"""What would mend mistakes: counted against a loop, and on a recorded run with real answers."""

from __future__ import annotations

import numpy as np
import pytest

from app.reading.cards import RECORDED_RUNS
from app.reading.remedies import remedies, tally
from core.retrieval.answering import answer, read
from core.retrieval.questions import Settings, spaces
from core.runs.store import Run
from tests.app.test_errors_page import shown

RUN = Run(RECORDED_RUNS / "lda-split-digits")


@pytest.fixture(scope="module")
def recorded():
    return read(RUN)


def test_a_tally_is_that_of_a_loop(recorded):
    found = answer(recorded, Settings(space="frozen", mixture="means"))
    images = found.image[::3]
    came = tally(found, images)
    mends = others = breaks = asked = 0
    for image, now, before in zip(found.image, found.right, found.right_before, strict=True):
        asked += image in images and not before
        mends += image in images and now and not before
        others += image not in images and now and not before
        breaks += before and not now
    assert (came.mends, came.mends_others, came.breaks, came.asked) == (mends, others, breaks, asked)
    assert came.net == found.right.sum() - found.right_before.sum()


def test_one_more_image_is_compared_with_the_same_settings_without_it(recorded):
    image = int(answer(recorded, Settings()).image[0])
    remedy = next(r for r in remedies(spaces(RUN), 4, image) if r.beside is not None)
    assert remedy.settings.extra == (image,) and remedy.beside.extra == ()
    with_it, without = answer(recorded, remedy.settings), answer(recorded, remedy.beside)
    came = tally(with_it, with_it.image, without)
    kept = np.isin(without.image, with_it.image)
    assert came.net == with_it.right.sum() - without.right[kept].sum()


def test_every_remedy_can_be_asked_of_a_run(recorded):
    offered = remedies(spaces(RUN), 4, None)
    assert len({remedy.title for remedy in offered}) == len(offered) >= 6
    for remedy in offered:
        assert len(answer(recorded, remedy.settings).image) == 359


def test_a_run_without_a_whitened_space_is_offered_what_it_has():
    offered = remedies(("frozen", "frozen-whitened"), 4, None)
    assert offered and all(remedy.settings.space != "whitened" for remedy in offered)


def test_the_page_says_what_each_remedy_mends_and_breaks():
    test = shown(run="lda-split-digits", mend="1")
    lines = [markdown.value for markdown in test.markdown if "breaks" in markdown.value]
    assert len(lines) >= 7 and all("fixes" in line for line in lines)


def test_a_run_that_retrieves_no_task_says_so():
    test = shown(mend="1")
    assert any("no other retrieval can be tried" in markdown.value for markdown in test.markdown)
