"""Tests of the array-level science."""
