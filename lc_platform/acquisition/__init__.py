"""Acquisition: searching archives, reusing what is stored, keeping the budget."""
