"""Requests to archives: limits, retries, ranges of files."""
