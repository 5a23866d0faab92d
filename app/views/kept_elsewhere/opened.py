"""The point that is open: which of its gates are open, the classes that lost most, and corruptions."""

from __future__ import annotations

import numpy as np
import streamlit as st
from PIL import Image, ImageOps

from app.components.captions import caption
from app.components.choice import choice
from app.figures import plots
from app.figures.blocks import block_figure
from app.figures.palette import colours
from app.reading import block_maps, kept_elsewhere
from app.reading.comparison import told
from app.reading.kept_elsewhere import Changed, Comparison, Setting, Trained
from app.reading.way import evenly
from app.shell import layout
from app.views.kept_elsewhere.front import Asked
from core.runs.sprites import cut, read_sheet

_SHOWN = 24
_WIDE = 84
"""Pixels of a thumbnail."""
_APART = 3
"""Pixels of the clear edge around it: images with a black ground would run together."""


def point(found: Comparison, chosen: Setting, wanted: Asked) -> None:
    """Everything about the chosen setting."""
    st.header(layout.plain(chosen.title), anchor=False)
    run = _seed(chosen)
    _blocks(found, chosen, run)
    _classes(found, chosen, run, wanted)
    _corruptions(found, chosen)


def _seed(chosen: Setting) -> Trained:
    """`?seed=`: one run of the setting, for what cannot be a mean."""
    seeds = {str(run.seed): run for run in chosen.runs}
    if len(seeds) < 2:
        return chosen.runs[0]
    titles = {seed: f"Seed {seed}" for seed in seeds}
    return seeds[choice("Block map and images of", "seed", titles, next(iter(seeds)), widget="kept-seed")]


def _blocks(found: Comparison, chosen: Setting, run: Trained) -> None:
    st.subheader("Which gates are open", anchor=False)
    names = block_maps.projections([run.gates])
    if not names:
        st.markdown("The frozen model changes nothing: there is no block to show.")
        return
    [shown] = block_maps.block_maps([run.gates], found.backbone.depth)
    changed = int((shown.norm > 0).sum())
    active, total = chosen.open_gates()
    values = (
        ("Matrices changed", f"{changed} of {shown.norm.size}", "With this seed."),
        ("Gates open", f"{active:g} of {total}", "In the mean over seeds; without gates, all that can be adapted."),
        ("Kept", told(chosen.cost("bytes_per_task"), "bytes"), "Adapter, head and clusters beside the backbone."),
        ("MFLOP an answer", f"{chosen.cost('flops_per_image') / 1e6:,.0f}", "Work for one image, computed."),
    )
    for column, (label, value, meaning) in zip(st.columns(len(values)), values, strict=True):
        column.metric(label, value, help=meaning, border=True)
    figure = block_figure(shown, names, [shown], plots.theme())
    plots.draw(figure, key="kept-blocks", alt=f"Changed: {changed} matrices in blocks {shown.active_blocks}.")
    caption(
        "how far each weight matrix was moved (Frobenius norm of ΔW); “off”: its gate is closed, and the frozen "
        "model's own weights answer there.",
        "whether the open gates are late or early, and in attention (q, k, v, o) or in the MLP (fc1, fc2).",
        "few open gates are few bytes to keep; what they cost and save elsewhere is in the figure above.",
    )
    if run.folder:
        layout.page_link("Open this run's blocks", "blocks", icon=":material/arrow_forward:", run=run.folder, t=None)


def _classes(found: Comparison, chosen: Setting, run: Trained, wanted: Asked) -> None:
    st.subheader("Which classes lost most", anchor=False)
    losses = kept_elsewhere.class_losses(found, chosen, wanted.probe, wanted.strength)
    if not losses:
        st.markdown("The answers to the held-out images were not kept.")
        return
    ground = plots.theme()
    paint = colours(2, ground)
    bars = [
        plots.Line("frozen model", np.array([loss.before for loss in losses]), paint[0]),
        plots.Line(f"at {wanted.strength:.0%} of the update", np.array([loss.after for loss in losses]), paint[1]),
    ]
    figure = plots.bars(bars, [plots.text(loss.name) for loss in losses], ground, titles=("", "answered right"))
    said = ", ".join(f"{loss.name} {loss.before:.0%} to {loss.after:.0%}" for loss in losses)
    plots.draw(figure, key="kept-classes", alt=f"Answered right before and after: {said}.")
    _images(kept_elsewhere.changed(run, wanted.probe, wanted.strength), run, len(run.answers.label))
    caption(
        "for every class held out, the share of its images that is answered right by the frozen model and at the "
        "dial's share of the update, in the mean over seeds; below, the images of one seed whose answer changed.",
        "classes that resemble what was learned: those are the ones that are pulled away.",
        "an average hides that one class may pay for all.",
    )


def _images(changed: list[Changed], run: Trained, asked: int) -> None:
    """Before and after, those first that were right before."""
    if not changed:
        st.markdown(f"Every one of the {asked} images is answered as the frozen model answered it.")
        return
    spoiled = sum(each.before == each.label for each in changed)
    mended = sum(each.after == each.label for each in changed)
    st.markdown(
        f"Of {asked} images, **{spoiled}** were right and are wrong now, **{mended}** were wrong and are right now."
    )
    sheets: dict[int, Image.Image] = {}
    pictures, captions = [], []
    for each in _spread(changed):
        if each.sheet not in sheets:
            sheets[each.sheet] = read_sheet(run.pictures, each.sheet)
        picture = cut(sheets[each.sheet], each.cell, run.pictures)
        large = picture.resize((_WIDE, _WIDE), Image.Resampling.NEAREST).convert("RGBA")
        pictures.append(ImageOps.expand(large, _APART, (0, 0, 0, 0)))
        captions.append(layout.plain(f"{run.classes[each.before]} → {run.classes[each.after]}"))
    st.image(pictures, caption=captions, width=_WIDE + 2 * _APART)
    if len(changed) > _SHOWN:
        st.caption(f"{_SHOWN} of the {len(changed)} are shown, from first to last.")


def _spread(changed: list[Changed]) -> list[Changed]:
    """As many as are shown; of more spoiled ones some from first to last, so that all classes have their turn."""
    spoiled = [each for each in changed if each.before == each.label]
    pool = spoiled if len(spoiled) > _SHOWN else changed[:_SHOWN]
    return [pool[row] for row in evenly(np.arange(len(pool)), _SHOWN)]


def _corruptions(found: Comparison, chosen: Setting) -> None:
    """A small panel for each corruption."""
    own = kept_elsewhere.shifted(chosen)
    if not own:
        return
    st.subheader("Under corruptions", anchor=False)
    others = [each for each in found.settings if each is not chosen and each.kind in ("frozen", "lora")]
    shown = {chosen.title: own} | {each.title: kept_elsewhere.shifted(each) for each in others}
    ground = plots.theme()
    paint = colours(len(shown), ground)
    levels = len(next(iter(own.values()))) - 1
    ticks = ["none", *(["weak", "medium", "strong"] if levels == 3 else [str(level + 1) for level in range(levels)])]
    for place, shift in enumerate(own):
        if place % 3 == 0:
            columns = st.columns(3, gap="small")
        lines = [
            plots.Line(title, np.array(values[shift]), colour, wide=title == chosen.title)
            for (title, values), colour in zip(shown.items(), paint, strict=True)
            if shift in values
        ]
        figure = plots.curves(lines, ticks, ground, titles=("strength", ""))
        figure["layout"] |= {"height": 260, "showlegend": False}
        said = "; ".join(f"{line.name} {', '.join(plots.percent(v) for v in line.values)}" for line in lines)
        with columns[place % 3]:
            st.markdown(f"**{layout.plain(shift)}**")
            plots.draw(figure, key=f"kept-shift-{shift}", alt=f"Accuracy under {shift}: {said}.")
    legend = "  ".join(
        f'<span style="white-space:nowrap"><b style="color:{colour}">{mark}</b> {plots.text(title, 60)}</span>'
        for (title, colour), mark in zip(zip(shown, paint, strict=True), "●■◆▲✚✖▼★", strict=False)
    )
    st.html(f"<div>{legend}</div>")
    caption(
        "accuracy on the learned classes when test images are disturbed, undisturbed at the left; each run with all of "
        "its update.",
        "lines that cross: what is better on clean images need not be on disturbed ones.",
        "a model is also kept for images that are not like those it was trained on.",
    )
