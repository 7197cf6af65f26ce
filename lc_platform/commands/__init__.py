"""What the command line does, without its words."""
