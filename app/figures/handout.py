"""A lesson on paper: one HTML file with its figures inside, which opens without a server and prints."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from markdown_it import MarkdownIt

from app.figures import lesson_figures, plots
from app.figures.svg import svg
from app.reading import lesson_numbers, lessons
from app.reading.cards import RunCard
from app.reading.glossary import glossary, terms_in, with_terms
from app.reading.lessons import Check, Do, Draw, Lesson, Predict, Step
from app.reading.run_settings import settings

_STYLE = """
@page { size: A4; margin: 12mm; }
body { font: 10.5pt/1.4 system-ui, sans-serif; max-width: 52rem; margin: 1rem auto; padding: 0 1rem; color: #222; }
.term { text-decoration: underline dotted; text-underline-offset: 2px; }
h1 { font-size: 17pt; margin: 0; } h2 { font-size: 11.5pt; margin: .7em 0 .1em; break-after: avoid; }
p { margin: .25em 0; } figure { margin: .3em 0; break-inside: avoid; }
svg { width: 100%; height: auto; max-width: 24rem; }
figcaption, footer { font-size: 8pt; color: #555; }
.write { border: 1px solid #999; padding: .3em .6em; margin: .3em 0; }
.line { display: inline-block; width: 6em; border-bottom: 1px solid #666; } ol { margin: .2em 0; padding-left: 1.6em; }
.steps { columns: 2; column-gap: 8mm; } section { break-inside: avoid-column; } footer { margin-top: 1em; }
.answers { border-top: 1px solid #ccc; margin-top: .6em; font-size: 9pt; }
dl { font-size: 9pt; } dt { font-weight: bold; float: left; margin-right: .4em; } dd { margin: 0 0 .15em; }
@media print { body { margin: 0; padding: 0; font-size: 8.5pt; line-height: 1.3; max-width: none; }
  svg { max-width: 18rem; }
  h1 { font-size: 14pt; } h2 { font-size: 10pt; } dl, .answers { font-size: 7.5pt; } }
@media screen and (max-width: 640px) { .steps { columns: 1; } }
"""


def handout(found: Lesson, runs: Mapping[str, RunCard]) -> str:
    """The page for a lesson with its runs, by name within the lesson."""
    numbers = {name: lesson_numbers.Numbers(card) for name, card in runs.items()}
    written = [lessons.written(step, numbers) for step in found.steps]
    steps = "".join(_section(found, step, runs) for step in written)
    terms = list(dict.fromkeys(term for step in found.steps for term in terms_in(step.text)))
    words = glossary()
    meanings = "".join(f"<dt>{escape(words[term].name)}</dt><dd>{escape(words[term].means)}</dd>" for term in terms)
    made = "<br>".join(escape(settings(card)) for card in runs.values())
    return (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{escape(found.title)}</title>"
        f"<meta name='viewport' content='width=device-width'><style>{_STYLE}</style>"
        f"<h1>{escape(found.title)}</h1><p><b>{escape(found.question)}</b> ({found.minutes} minutes)</p>"
        f"<div class='steps'>{steps}<section><h2>Words</h2><dl>{meanings}</dl></section>"
        f"<section class='answers'><h2>Answers to the questions</h2>{_answers(written)}</section></div>"
        f"<footer>{made}<br>Made by Proteus Lab. Every number is read from these runs.</footer></html>"
    )


def _section(found: Lesson, step: Step, runs: Mapping[str, RunCard]) -> str:
    parts = [f"<h2>{escape(step.title)}</h2>", _html(step.text)]
    if isinstance(step, Predict):
        parts.append(_blank(step))
    elif isinstance(step, Draw):
        parts.append(_empty_chart(step, runs, found))
    elif isinstance(step, Do):
        parts.append(f"<p><i>In the app: {escape(step.label)}.</i></p>")
    elif isinstance(step, Check):
        parts.append(_listed([choice.text for choice in step.choices]))
    if step.figure is not None:
        of = step.run or found.first
        drawn = lesson_figures.draw(step.figure, runs, of, "light")
        if drawn is not None:
            caption = f"{escape(drawn.caption)} ({escape(runs[of].title)})"
            parts.append(f"<figure>{svg(drawn.figure, drawn.caption)}<figcaption>{caption}</figcaption></figure>")
    return f"<section>{''.join(parts)}</section>"


def _blank(step: Predict) -> str:
    """Room for a prediction."""
    if step.form == "choice":
        return _listed(step.choices)
    of = "curve, a number per task" if step.form == "curve" else "prediction"
    return f"<div class='write'>My {of}: <span class='line'></span> {escape(step.unit)}</div>"


def _empty_chart(step: Draw, runs: Mapping[str, RunCard], found: Lesson) -> str:
    """Axes to draw a curve into."""
    run, _, name = step.answer.rpartition(".")
    series, tasks = lesson_numbers.CURVES[name], runs[run or found.first].tasks
    ticks = [str(task + 1) for task in range(tasks)]
    figure = plots.curves([], ticks, "light", titles=(series.across, series.upwards))
    return f"<figure>{svg(figure, 'Draw your curve here.')}</figure>"


def _listed(choices: list[str] | tuple[str, ...]) -> str:
    return f"<ol type='a'>{''.join(f'<li>{escape(choice)}</li>' for choice in choices)}</ol>"


def _answers(steps: Sequence[Step]) -> str:
    """Why each choice is right or wrong."""
    parts = []
    for step in steps:
        if isinstance(step, Check):
            reasons = "".join(
                f"<li><b>{'Right' if choice.right else 'Wrong'}.</b> {escape(choice.why)}</li>"
                for choice in step.choices
            )
            parts.append(f"<p><b>{escape(step.title)}</b></p><ol type='a'>{reasons}</ol>")
    return "".join(parts)


def _html(text: str) -> str:
    return str(MarkdownIt("commonmark", {"html": True}).render(with_terms(text)))
