"""Images and streams of tasks: built-in sets, torchvision sets, folders and zips of class folders, and shifts of them.

Start at `core.data.streams.open_stream`. Nothing is imported here, so that listing names stays quick.
"""
