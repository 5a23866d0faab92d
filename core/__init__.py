"""The engine of Proteus Lab: learn a stream of tasks with adapters on a frozen backbone, and record what happened."""

__version__ = "0.1.0"
