"""What failed, what is missing, and whom to tell."""
