"""The pages, one a file, each with `render()`."""
