"""The class-by-class confusion matrix on a canvas: zoom, search, and cells that open the images behind them."""

from app.components.class_matrix.component import ClassCell, class_matrix

__all__ = ["ClassCell", "class_matrix"]
