"""Sentinel Hub, its own deployment or the Copernicus Data Space's."""
