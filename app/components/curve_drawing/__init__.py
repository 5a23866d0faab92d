"""A chart into which a reader draws a curve, point by point or in one stroke, and over which a run's own appears."""

from app.components.curve_drawing.component import curve_drawing

__all__ = ["curve_drawing"]
