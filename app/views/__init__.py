"""The pages, one a file, each with `render()`; `app.shell.navigation` lists them.

What two pages share belongs in `components`, `figures` or `reading`.
"""
