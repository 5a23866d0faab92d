"""Picking the task of a test image, one image at a time and without trained parameters."""
