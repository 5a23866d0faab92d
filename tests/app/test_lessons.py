"""Lessons: what a file may say, what is refused and how, and what the page makes of it."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from app.components.curve_drawing.component import points
from app.figures import lesson_figures
from app.figures.handout import handout
from app.figures.svg import svg
from app.reading import lesson_numbers, lessons
from app.reading.cards import RECORDED_RUNS, RunCard, run_card
from app.reading.lessons import Check, Draw, Predict, Question, Reveal, lesson, lesson_names, read_lesson
from app.shell import rooms
from app.views.lessons import presenting
from core.errors import UserError
from tests.app.opened_page import page

ROOT = Path(__file__).resolve().parents[2]
RIGHT = """
title = "One"
question = "Why?"
minutes = 5
runs = { one = "proteus-split-fashion" }
[[steps]]
kind = "predict"
title = "Guess"
form = "number"
answer = "one.final_accuracy"
[[steps]]
kind = "reveal"
title = "So it is"
text = "{one.final_accuracy} of [[test images|test image]]"
"""

each_lesson = pytest.mark.parametrize("name", lesson_names())


def written(folder: Path, text: str) -> Path:
    file = folder / "mine.toml"
    file.write_text(text, encoding="utf-8")
    return file


def runs_of(name: str) -> dict[str, RunCard]:
    return {key: run_card(RECORDED_RUNS / run, True) for key, run in lesson(name).runs.items()}


def test_a_file_that_is_right_is_read(tmp_path: Path) -> None:
    found = read_lesson(written(tmp_path, RIGHT))
    assert found.name == "mine" and found.before(1) == 0


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        ("minutes = 5", "minutes = 'five'", "minutes: "),
        ("title = \"One\"", "titel = \"One\"", "title: "),
        ("one.final_accuracy}", "one.final_acuracy}", "final_acuracy"),
        ("{one.final", "{two.final", "“two”"),
        ("form = \"number\"", "form = \"dice\"", "steps.1.predict.form: "),
        ("form = \"number\"\nanswer = \"one.final_accuracy\"",
         "form = \"choice\"\nanswer = 1\nchoices = [\"{one.luck}\"]", "there is no number “luck”"),
        ("kind = \"reveal\"", "kind = \"sing\"", "steps.2: "),
        ("answer = \"one.final_accuracy\"", "answer = \"one.luck\"", "steps.1.answer"),
        ("|test image]]", "|tset image]]", "“tset image” is not in glossary.toml"),
        ("[[steps]]\nkind = \"predict\"", "[[steps]\nkind = \"predict\"", "not a TOML file"),
        ("kind = \"predict\"\ntitle = \"Guess\"\nform = \"number\"", "kind = \"draw\"\ntitle = \"Guess\"",
         "steps.1.answer: “final_accuracy” is none of first_task"),
        ("kind = \"predict\"", "kind = \"draw\"", "steps.1.draw.form: "),
        ("title = \"So it is\"", "title = \"So it is\"\nfigure = \"pie\"", "steps.2.reveal.figure: "),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line_with_file_and_field(
    wrong: str, right: str, said: str, tmp_path: Path
) -> None:
    assert wrong in RIGHT
    with pytest.raises(UserError) as error:
        read_lesson(written(tmp_path, RIGHT.replace(wrong, right, 1)))
    assert str(error.value).startswith("mine.toml: ") and said in str(error.value)
    assert "\n" not in str(error.value)


def test_the_example_in_the_docs_is_a_lesson(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "adding-a-lesson.md").read_text(encoding="utf-8")
    example = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert example is not None
    found = read_lesson(written(tmp_path, example[1]))
    assert {step.kind for step in found.steps} >= {"read", "draw", "predict", "reveal", "check"}
    for name in (*lesson_numbers.NUMBERS, *lesson_numbers.CURVES, *lessons.FIGURES):
        assert f"`{name}`" in text, f"docs/adding-a-lesson.md does not name {name}"


@each_lesson
def test_every_lesson_predicts_before_it_reveals_and_ends_with_two_questions(name: str) -> None:
    found = lesson(name)
    kinds = [step.kind for step in found.steps]
    asks = next(at for at, step in enumerate(found.steps) if isinstance(step, Question))
    assert asks < kinds.index("reveal") < kinds.index("takeaway")
    assert {"do", "takeaway"} <= set(kinds) and kinds[-2:] == ["check", "check"]
    assert 5 <= found.minutes <= 10


@each_lesson
def test_every_number_is_in_its_run_and_every_figure_is_drawn(name: str) -> None:
    found, runs = lesson(name), runs_of(name)
    numbers = {key: lesson_numbers.Numbers(card) for key, card in runs.items()}
    for step in found.steps:
        written = lessons.written(step, numbers)
        choices = list(written.choices) if isinstance(written, Predict) else []
        if isinstance(written, Check):
            choices = [text for choice in written.choices for text in (choice.text, choice.why)]
        for shown in (written.text, *choices):
            assert "**–**" not in shown and not re.search(r"\{\w+(\.\w+)?\}", shown), (step.title, shown)
        if step.figure is not None:
            drawn = lesson_figures.draw(step.figure, runs, step.run or found.first, "dark")
            assert drawn is not None, step.title
            assert svg(drawn.figure).count("<") > 20
        if isinstance(step, Predict) and isinstance(step.answer, str) and step.form == "number":
            answer = lesson_numbers.guessable(
                runs[step.answer.rpartition(".")[0] or found.first], step.answer.rpartition(".")[2]
            )
            assert step.least <= answer <= step.most, step.title


@each_lesson
def test_a_lesson_is_taken_to_its_end(name: str) -> None:
    """Next after Next, as a reader does: predictions are kept in the address, and no step fails."""
    found = lesson(name)
    test = page("lessons", {"lesson": name, "step": "1"})
    for at, step in enumerate(found.steps):
        assert not test.exception and not test.error, (step.title, [e.value for e in (*test.exception, *test.error)])
        assert test.subheader[0].value == step.title
        assert not any("{" in option for radio in test.radio for option in radio.options)
        if isinstance(step, Check):
            right = next(place for place, choice in enumerate(step.choices) if choice.right)
            test.radio[0].set_value(right).run()
            assert "Right." in test.success[0].value
        if isinstance(step, Predict) and step.form == "choice":
            assert test.button(key="lesson-next").disabled
            test.radio[0].set_value(0).run()
        if isinstance(step, Draw):
            assert test.button(key="lesson-next").disabled
            test.query_params[f"a{at + 1}"] = "100_80_60_40_20"
            test.run()
        if isinstance(step, Reveal):
            assert not any("not predicted" in each.value for each in test.info)
        if at + 1 < len(found.steps):
            test.button(key="lesson-next").click().run()
    asked = [f"a{at + 1}" for at, step in enumerate(found.steps) if isinstance(step, Question)]
    assert set(asked) <= set(test.query_params)


def test_a_reveal_asks_for_the_prediction_first() -> None:
    test = page("lessons", {"lesson": "forgetting", "step": "3"})
    assert "not predicted" in test.info[0].value and not test.get("plotly_chart")
    next(each for each in test.button if each.label == "Predict first").click().run()
    assert test.query_params["step"] == "2"


def test_a_drawn_curve_is_compared_with_the_runs() -> None:
    test = page("lessons", {"lesson": "forgetting", "step": "3", "a2": "0_0_0_0_0"})
    told = lesson_numbers.CURVES["first_task"].read(runs_of("forgetting")["one"])
    assert f"**{100 * float(told.mean()):.0f} points**" in test.markdown[0].value
    assert not test.get("plotly_chart"), "the run's curve is drawn over the reader's, in the same chart"


@pytest.mark.parametrize("said", [None, [1, 2], [1, 2, 101], [1, 2, -1], [1, 2, "3"], [1, 2, 2.5], [1, 2, True]])
def test_what_a_browser_says_was_drawn_is_checked(said: object) -> None:
    assert points(said, 3) is None and points([0, 50, 100], 3) == [0, 50, 100]


@pytest.mark.parametrize("form", ["curve", "draw"])
def test_a_curve_is_asked_for_with_sliders_or_with_a_drawing(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = 'kind = "draw"' if form == "draw" else 'kind = "predict"\nform = "curve"'
    text = RIGHT.replace('kind = "predict"', kind).replace('form = "number"\n', "")
    written(tmp_path, text.replace('one.final_accuracy"', 'one.last_row"'))
    monkeypatch.setattr(lessons, "LESSONS", tmp_path)
    test = page("lessons", {"lesson": "mine", "step": "1"})
    assert not test.error and not test.exception and len(test.slider) == (5 if form == "curve" else 0)


def test_a_wrong_choice_says_why() -> None:
    test = page("lessons", {"lesson": "forgetting", "step": "9"})
    test.radio[0].set_value(1).run()
    assert "never overwritten" in test.warning[0].value and test.query_params["a9"] == "2"


@each_lesson
def test_a_handout_holds_all_steps_and_asks_for_nothing_from_elsewhere(name: str) -> None:
    text = handout(lesson(name), runs_of(name))
    for step in lesson(name).steps:
        assert step.title in text.replace("&#x27;", "'")
    assert "<svg" in text and "src=" not in text and "<script" not in text
    assert not re.search(r"https?://(?!www\.w3\.org)", text)


class TestRooms:
    """The memory of a class."""

    def test_one_tab_has_one_answer_and_a_reset_forgets(self) -> None:
        known, place = rooms.Rooms(), ("forgetting", 1)
        code, key = known.opened(place)
        assert known.is_host(code, key) and not known.is_host(code, "x") and known.place(code) == place
        assert known.answer(code, place, "a", "10") and known.answer(code, place, "a", "20")
        assert known.answers(code, place) == ["20"]
        known.reset(code, place)
        assert known.answers(code, place) == []

    def test_rooms_and_answers_are_limited(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rooms, "MOST_ANSWERS", 3)
        monkeypatch.setattr(rooms, "MOST_ROOMS", 2)
        known, place = rooms.Rooms(), ("forgetting", 1)
        first, _ = known.opened(place)
        assert [known.answer(first, place, str(who), "1") for who in range(4)] == [True] * 3 + [False]
        assert known.answer(first, place, "0", "2"), "who is in may still change their mind"
        known.opened(place), known.opened(place)
        assert known.place(first) is None and not known.answer(first, place, "a", "1")

    def test_an_idle_room_is_forgotten(self) -> None:
        known = rooms.Rooms()
        code, _ = known.opened(("forgetting", 1), now=0.0)
        known.opened(("forgetting", 1), now=rooms.IDLE_S + 1)
        assert known.place(code) is None


def opened_room() -> tuple[AppTest, str]:
    test = page("lessons", {"lesson": "forgetting", "step": "2", "present": "1"})
    return test, str(test.query_params["room"])


def test_a_class_predicts_and_the_presenter_sees_how_many() -> None:
    presenter, code = opened_room()
    assert any(f"?room={code}" in each.value for each in presenter.markdown)
    for share in (0, 100):
        phone = page("lessons", {"room": code})
        assert phone.subheader[0].value == "Draw the curve"
        phone.button(key="lesson-send").click().run()
        assert not any("Sent" in each.value for each in phone.markdown), "nothing was drawn yet"
        phone.query_params["a2"] = f"90_80_70_60_{share}"
        phone.run()
        phone.button(key="lesson-send").click().run()
        assert any("Sent, without your name" in each.value for each in phone.markdown)
    presenter.run()
    assert any("**2** predictions" in each.value for each in presenter.markdown)
    presenter.button(key="lesson-next").click().run()
    assert any("The room predicted" in each.value for each in presenter.markdown)
    phone.run().button(key="lesson-follow").click().run()
    assert phone.subheader[0].value == "What happened"


def test_who_has_not_the_presenters_key_gets_a_room_of_their_own() -> None:
    _, code = opened_room()
    other = page("lessons", {"lesson": "forgetting", "step": "2", "present": "1", "room": code, "host": "guess"})
    assert other.query_params["room"] != code


def test_a_histogram_counts_what_can_be_understood() -> None:
    step = lesson("forgetting").steps[1]
    assert isinstance(step, Draw)
    counts, labels = presenting.counted(["0_0_0_0_5", "1_1_1_1_99", "x", "nan"], step)
    assert counts.tolist() == [1.0, *np.zeros(8), 1.0] and labels[0] == "0–10"
