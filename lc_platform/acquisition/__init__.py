"""What is fetched, what is there already, and within which budget."""
