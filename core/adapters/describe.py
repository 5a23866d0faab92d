"""What an adapter changed, site by site, for gates.json and the block map."""

from __future__ import annotations

from typing import Any

import torch

from core.adapters.sites import Site
from core.adapters.updates import Updates


@torch.no_grad()
def describe(updates: Updates) -> dict[str, Any]:
    """Site name → Frobenius norm of its ΔW."""
    sites: dict[str, Any] = {}
    for block, projections in updates.items():
        for projection, update in projections.items():
            norm = float(update.matrix().norm())
            sites[Site(block, projection).name] = {"norm": norm, "active": True}
    return {"sites": sites}
