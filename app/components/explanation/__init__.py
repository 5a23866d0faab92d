"""One image's answer on the page: the sentence, the scores as gaps to the best, and the components it lies near."""

from app.components.explanation.component import (
    answer_of,
    clusters_of,
    component_images,
    facts,
    gaps,
    inside,
    names_of,
    unit,
    why,
)

__all__ = [
    "answer_of",
    "clusters_of",
    "component_images",
    "facts",
    "gaps",
    "inside",
    "names_of",
    "unit",
    "why",
]
