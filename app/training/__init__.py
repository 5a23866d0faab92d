"""What training from the app takes: presets and settings, people's own images, estimates, and a job as it goes on.

Nothing is trained here: a job is a process of its own (`core.runs.jobs`). What a finished run says belongs in
`reading`.
"""
