"""Parts that several pages share: the point map, figures, captions."""
