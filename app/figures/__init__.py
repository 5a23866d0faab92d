"""Charts in one look for both themes, and the colours that keep tasks apart.

They are given numbers: which numbers a run has is said in `reading`. A part with JavaScript of ours is a component.
"""
