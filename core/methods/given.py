"""Adapters trained elsewhere, checked against the stream and the backbone before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from core.adapters.peft_files import PeftAdapter, read_adapter
from core.adapters.sites import Site
from core.backbones.vit import Backbone
from core.errors import UserError


def read_given(folders: Sequence[str], tasks: int, backbone: Backbone, sites: Sequence[Site]) -> list[PeftAdapter]:
    """The adapters in PEFT folders, one for each of `tasks` tasks.

    Raises UserError when there are more or fewer, one was trained on another backbone, does not fit this one, or
    changes a site that is not among the configured `sites`.
    """
    if len(folders) != tasks:
        raise UserError(
            f"The stream has {tasks} tasks, {len(folders)} adapters are given: give one per task, or set stream.tasks."
        )
    found = [read_adapter(Path(folder)) for folder in folders]
    for adapter in found:
        _check_backbone(adapter, backbone)
        adapter.check_shapes(backbone.site_shape, backbone.depth)
        outside = [site.name for site in adapter.units if site not in sites]
        if outside:
            raise UserError(
                f"{adapter.folder} changes {', '.join(outside[:4])}, which adapters.blocks and adapters.projections "
                "leave out: `python -m core assemble` sets them to what the adapters change."
            )
    return found


def _check_backbone(adapter: PeftAdapter, backbone: Backbone) -> None:
    """By fingerprint where we wrote the folder ourselves, else by name where it is one that we know.

    A name that is not timm's or open_clip's says nothing here: transformers' weights have other names for the same
    model, so the shapes must do.
    """
    known = adapter.about.get("fingerprint")
    named = adapter.base.startswith(("timm/", "open_clip/")) or adapter.base in ("tiny", "dinov2-s14")
    # Our own folders name the image size too: the positions, and with them the fingerprint, differ between sizes.
    same_size = adapter.about.get("image_size") == backbone.image_size
    if (known and same_size and known != backbone.fingerprint()) or (named and adapter.base != backbone.name):
        raise UserError(
            f"{adapter.folder} was trained on {adapter.base or 'another model'}, and the backbone is {backbone.name}: "
            "choose that --backbone, with the same weights."
        )
