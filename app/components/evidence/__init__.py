"""What in an image speaks for one side rather than for the other: by patch, by block, and by what else there is."""

from app.components.evidence.apart import apart_view
from app.components.evidence.component import evidence_view, side_names
from app.components.evidence.looking import details

__all__ = ["apart_view", "details", "evidence_view", "side_names"]
