"""What a run says: its tables, and the numbers and sentences that pages make of them.

Plain functions without Streamlit, tested as such. How something is drawn belongs in `figures` or `components`.
"""
