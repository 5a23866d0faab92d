"""The entry of a public demo on a host that starts `streamlit run` itself, with that host's requirements and settings.

What the app does belongs elsewhere; docs/hosting.md says how to use this folder.
"""
