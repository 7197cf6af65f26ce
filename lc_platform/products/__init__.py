"""A file for each asset, named like it: its handle, and how it is computed window by window."""
