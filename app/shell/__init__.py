"""What is around every page: its address, the run in view, the navigation, who may come in, and what pages are made of.

A page itself belongs in `views`; what a run says, without Streamlit, in `reading`.
"""
