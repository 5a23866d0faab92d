"""What the app needs to start and follow a training: presets, settings, people's own images, estimates, the job.

Nothing is trained here: a job is a process of its own (`core.runs.jobs`). What a finished run says belongs in
`reading`.
"""
