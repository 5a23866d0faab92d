"""Processes beside the server, for what needs a model or opens strangers' images; they talk JSON through pipes."""
