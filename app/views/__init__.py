"""The pages, one per file, each with `render()`; `app.shell.navigation` lists them.

What two pages share belongs in `components`, `figures` or `reading`.
"""
