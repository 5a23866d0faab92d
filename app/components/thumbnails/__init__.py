"""Thumbnails of a run's images, cut out of its sprite sheets by the browser."""

from app.components.thumbnails.component import grid, one

__all__ = ["grid", "one"]
