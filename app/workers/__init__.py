"""Processes beside the server, for what needs a model or opens strangers' images; they talk JSON through pipes.

`helper` starts one and asks it; each of the others is what such a process runs. Training is not among them: a run is a
detached process that talks through its folder (`core.runs.jobs`).
"""
