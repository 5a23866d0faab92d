"""The browser app: it reads run folders and starts workers; it never trains or loads a model itself."""
