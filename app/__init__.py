"""The browser app: it reads run folders and starts workers; it never trains or loads a model itself.

`main` and `server` are its entries. The rooms, from what needs nothing to what needs the others: `reading` (what a run
says), `shell` (address, navigation, who may come in), `figures`, `components`, `workers`, `training` and `views` (the
pages).
"""
