"""One image's way through a run as one continuous picture: a strip of stages under a camera that moves along it."""

from app.components.image_way.component import image_way

__all__ = ["image_way"]
