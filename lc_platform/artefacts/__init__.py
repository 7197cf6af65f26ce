"""What lies where, in which format, of which version."""
