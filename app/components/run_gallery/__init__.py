"""All runs to choose from, by stream: a list that is filtered by typing, made for hundreds of runs."""

from app.components.run_gallery.component import run_gallery

__all__ = ["run_gallery"]
