"""The top of the first screen: stories to choose from, one told in sentences, and its headline figures."""

from app.components.story.component import Figure, Part, Tile, story

__all__ = ["Figure", "Part", "Tile", "story"]
