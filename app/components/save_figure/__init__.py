"""A quiet menu beside a figure that saves it as SVG or PNG, with its caption and its run's settings in the file."""

from app.components.save_figure.component import save_figure

__all__ = ["save_figure"]
