"""Thumbnails of a run's images, cut out of its sprite sheets by the browser."""

from app.components.thumbnails.component import grid, of_held_out, one

__all__ = ["grid", "of_held_out", "one"]
