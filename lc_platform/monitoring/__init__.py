"""Failures, missing partitions, and alerts."""
