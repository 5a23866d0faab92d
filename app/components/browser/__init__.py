"""What the components share in the browser: JavaScript that several of them import, and how modules reach a page."""

from app.components.browser.modules import joined
from app.components.browser.sheets import Sheets, number, sheets

__all__ = ["Sheets", "joined", "number", "sheets"]
