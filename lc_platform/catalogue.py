"""What is known of collections: their bands, the bands' aliases, and what goes with what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

SOURCES = ("simulated", "stac", "sentinel_hub")

SENTINEL2_BANDS = (
    "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12",
)  # fmt: skip
BAND_ALIASES = {
    "coastal": "B01", "blue": "B02", "green": "B03", "red": "B04", "rededge1": "B05",
    "rededge2": "B06", "rededge3": "B07", "nir": "B08", "nir08": "B8A", "nir09": "B09",
    "cirrus": "B10", "swir16": "B11", "swir22": "B12", "scl": "SCL",
}  # fmt: skip
"""Asset keys of the common STAC catalogs, and the Sentinel-2 bands that they are."""

SIMULATED_CLASSES: tuple[tuple[int, str, str], ...] = (
    (1, "winter cropland", "#f2d04a"),
    (2, "summer cropland", "#e8902c"),
    (3, "grassland", "#a5d46a"),
    (4, "vineyard and orchard", "#b56bb0"),
    (5, "shrubland", "#8a9a3b"),
    (6, "broadleaved forest", "#3f9b45"),
    (7, "coniferous forest", "#1b5e35"),
    (8, "water", "#2f6fd0"),
    (9, "built-up", "#d93a3a"),
    (10, "bare rock and soil", "#b8a99a"),
)
"""Classes of the simulated archive's landscape: id, name, colour."""


CATALOGS = ("earth-search", "planetary-computer")
"""Public STAC archives that go by a name."""


def canonical_band(band: str) -> str:
    return BAND_ALIASES.get(band.lower(), band)


class AuxiliaryCollection(NamedTuple):
    """What the platform knows of a collection that can be added to the main one."""

    name: str
    """What its features' names begin with."""
    bands: tuple[str, ...]
    """That are features, where the configuration names none."""
    choice: tuple[str, ...]
    """All that may be."""
    quality_band: str | None
    """Says which pixels show the ground; None of radar, which clouds do not hide."""


_LANDSAT_BANDS = ("B02", "B03", "B04", "B05", "B06", "B07")
_LANDSAT_ASSETS = ("blue", "green", "red", "nir08", "swir16", "swir22")
AUXILIARY_COLLECTIONS: Mapping[str, AuxiliaryCollection] = {
    "sentinel-1-grd": AuxiliaryCollection("S1", ("VV", "VH"), ("VV", "VH", "HH", "HV"), None),
    "sentinel-1-rtc": AuxiliaryCollection("S1", ("VV", "VH"), ("VV", "VH", "HH", "HV"), None),
    "landsat-ot-l1": AuxiliaryCollection(
        "L8", _LANDSAT_BANDS, ("B01", *_LANDSAT_BANDS, "B08", "B09"), "BQA"
    ),
    "landsat-ot-l2": AuxiliaryCollection("L8", _LANDSAT_BANDS, ("B01", *_LANDSAT_BANDS), "BQA"),
    "landsat-c2-l2": AuxiliaryCollection(
        "L8", _LANDSAT_ASSETS, ("coastal", *_LANDSAT_ASSETS), "qa_pixel"
    ),
}
SIMULATED_AUXILIARY_BANDS = {
    "sentinel-1-grd": ("VV", "VH"),
    "landsat-ot-l1": ("B01", *_LANDSAT_BANDS, "B09"),
}
"""Collections of the simulated archive beside the main one, and the bands that it has of them."""
AUXILIARY_OF: Mapping[str, tuple[str, ...]] = {
    "sentinel_hub": ("sentinel-1-grd", "landsat-ot-l1", "landsat-ot-l2"),
    "stac": ("sentinel-1-grd", "sentinel-1-rtc", "landsat-c2-l2"),
    "simulated": tuple(SIMULATED_AUXILIARY_BANDS),
}
"""Source -> the collections that it may be asked for beside the main one."""

_FIRST_YEARS = (
    ("sentinel-1", 2014),
    ("sentinel-2", 2015),
    ("landsat-ot-", 2013),
    ("landsat-c2-", 1982),
)


def first_year(collection: str) -> int | None:
    """The year of the first acquisitions of a collection, None where it is not known."""
    return next((year for stem, year in _FIRST_YEARS if collection.startswith(stem)), None)
