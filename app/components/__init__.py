"""Parts of a page that several pages use.

A part that is drawn by our own code is a folder with its Python, JavaScript and CSS together (`point_map` shows one of
several modules); one that only arranges Streamlit's own elements is a file (`choice`). A chart that Plotly or Vega
draws belongs in `figures`; a part that belongs to every page in `shell`.
"""
