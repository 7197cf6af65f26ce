"""The area of interest: its boundary, its grid, its patches."""
