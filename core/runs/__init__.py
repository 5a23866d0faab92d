"""Run folders: what is in one (schema), reading and writing them (store), sharing them as one file (share)."""
