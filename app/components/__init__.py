"""Parts of a page that several pages use, each with its Python, JavaScript and CSS together.

A chart that Plotly or Vega draws belongs in `figures`; a part that belongs to every page in `shell`.
"""
