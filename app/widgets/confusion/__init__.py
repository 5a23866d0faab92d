"""The confusion matrix of tasks as a table whose cells open the images behind them."""

from app.widgets.confusion.component import confusion, counts

__all__ = ["confusion", "counts"]
