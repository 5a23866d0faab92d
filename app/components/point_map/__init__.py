"""A map of images as points: pan, zoom, hover thumbnails, lasso, keyboard, and play through task time.

The browser side is in `js`, put together in `map.js`: a canvas drawn by our own code, with no request but the sprite
sheets'. Everything it needs is sent as one block of bytes (see `pack`), and Streamlit keeps the element over reruns, so
view, selection and play state live in the browser.
"""

from app.components.point_map.component import MapEvent, point_map
from app.components.point_map.data import Column, Ellipse, MapData, pack

__all__ = ["Column", "Ellipse", "MapData", "MapEvent", "pack", "point_map"]
