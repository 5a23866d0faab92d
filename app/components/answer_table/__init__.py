"""Images and what was answered for them as a table; a row opens its image."""

from app.components.answer_table.component import ROWS, answer_table

__all__ = ["ROWS", "answer_table"]
