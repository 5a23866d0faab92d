"""Processes beside the server, for what needs a model or opens strangers' images; they talk JSON through pipes.

`helper` starts one and asks it. Such a process runs `answer_images` (the model's answer for an image), `inspect_images`
(what is in a stranger's images), `measure_answers` (what an answer costs on this machine) or `answer_questions` (what
other retrieval would have answered; `questions` is the server's side of it, and the page is `app.views.whatif`).
Training is not among them: a run is a detached process that talks through its folder (`core.runs.jobs`).
"""
