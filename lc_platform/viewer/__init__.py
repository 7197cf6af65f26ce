"""The web map: a page, and the interface behind it, over what the platform has made."""
