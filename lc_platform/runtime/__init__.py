"""Threads, memory, stopwatches, and the redaction of secrets."""
