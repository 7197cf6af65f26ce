"""Rasters that have no season: terrain, soil, climate, embeddings of a year."""
