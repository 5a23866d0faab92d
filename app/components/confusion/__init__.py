"""The confusion matrix of tasks as a table whose cells open the images behind them."""

from app.components.confusion.component import Cell, address, chosen_cell, confusion, counts

__all__ = ["Cell", "address", "chosen_cell", "confusion", "counts"]
