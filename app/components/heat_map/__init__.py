"""One image with what each of its patches says, in two colours: which part of it speaks for which side."""

from app.components.heat_map.component import Picture, heat_map, of_run

__all__ = ["Picture", "heat_map", "of_run"]
