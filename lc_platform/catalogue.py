"""What is known of archives and collections: bands and their aliases, presets, classes.

Each table has its one home here; the rooms above read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

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
SENTINEL2_RESOLUTIONS: Mapping[str, float] = {
    **dict.fromkeys(("B02", "B03", "B04", "B08"), 10.0),
    **dict.fromkeys(("B05", "B06", "B07", "B8A", "B11", "B12", "SCL"), 20.0),
    **dict.fromkeys(("B01", "B09", "B10"), 60.0),
}
"""Metres of a pixel, by band."""


class SimulatedClass(NamedTuple):
    """A land-cover class of the simulated landscape."""

    id: int
    name: str
    color: str
    """``#rrggbb``"""


SIMULATED_CLASSES = (
    SimulatedClass(1, "winter cropland", "#f2d04a"),
    SimulatedClass(2, "summer cropland", "#e8902c"),
    SimulatedClass(3, "grassland", "#a5d46a"),
    SimulatedClass(4, "vineyard and orchard", "#b56bb0"),
    SimulatedClass(5, "shrubland", "#8a9a3b"),
    SimulatedClass(6, "broadleaved forest", "#3f9b45"),
    SimulatedClass(7, "coniferous forest", "#1b5e35"),
    SimulatedClass(8, "water", "#2f6fd0"),
    SimulatedClass(9, "built-up", "#d93a3a"),
    SimulatedClass(10, "bare rock and soil", "#b8a99a"),
)
"""The classes of the simulated archive, and the ones that its configuration maps by default."""


@dataclass(frozen=True)
class HostedCollection:
    """What has to be known of a collection at one archive that its items do not tell."""

    bucket: str = ""
    """The S3 bucket that has its files: whoever reads them pays, with an AWS account. Files of
    other buckets are refused: nobody agreed to pay for them, and some Sentinel-2 L1C items of Earth
    Search name files of L2A."""
    region: str | None = None
    """Of the bucket."""
    offset_since_0400: float | None = None
    """The offset of Sentinel-2 reflectance from processing baseline 04.00 on, where the items do
    not tell it; None where it is not known."""


@dataclass(frozen=True)
class Preset:
    """A STAC API that a name stands for."""

    url: str
    collections: Mapping[str, HostedCollection] = field(default_factory=dict)
    """The collections that need more than their items tell, by id."""
    tokens: str = ""
    """The URL that gives a token for a collection, before the collection's id; empty where files
    are free to read."""
    signed_hosts: str = ""
    """The end of the names of the hosts whose links need a token."""


PRESETS: Mapping[str, Preset] = {
    # https://github.com/Element84/earth-search: links of buckets whose readers pay are s3://,
    # others https://. Offsets are in raster:bands and earthsearch:boa_offset_applied. The
    # regions are those of the Registry of Open Data on AWS.
    "earth-search": Preset(
        url="https://earth-search.aws.element84.com/v1",
        collections={
            "sentinel-2-l1c": HostedCollection("sentinel-s2-l1c", "eu-central-1"),
            "sentinel-1-grd": HostedCollection("sentinel-s1-l1c", "eu-central-1"),
            "landsat-c2-l2": HostedCollection("usgs-landsat", "us-west-2"),
        },
    ),
    # https://planetarycomputer.microsoft.com/docs/concepts/sas/ on tokens. On the offset,
    # https://planetarycomputer.microsoft.com/dataset/sentinel-2-l2a#Baseline-Change: items from
    # baseline 04.00 on are as ESA has them, 1000 digital numbers higher.
    "planetary-computer": Preset(
        url="https://planetarycomputer.microsoft.com/api/stac/v1",
        collections={"sentinel-2-l2a": HostedCollection(offset_since_0400=-0.1)},
        tokens="https://planetarycomputer.microsoft.com/api/sas/v1/token/",
        signed_hosts=".blob.core.windows.net",
    ),
}
"""Public STAC archives by name."""
CATALOGS = tuple(PRESETS)


DataType = Literal["uint16", "int16", "float32"]
"""The types that an archive's numbers are stored in."""
FILL_VALUES: Mapping[str, float] = {"uint16": 0, "int16": -9999, "float32": float("nan")}
"""What stands for no data, by type: what most archives of that type have themselves."""


def is_hls(collection: str) -> bool:
    """Return whether a collection is of the Harmonized Landsat and Sentinel-2 product (Claverie et
    al. 2018), by its id in NASA's catalog (HLSS30_2.0) or in another (hls2-s30)."""
    return collection.lower().startswith("hls")


def data_type_of(collection: str) -> DataType:
    """Return the type of a collection's numbers, as far as it is known; uint16 else."""
    return "int16" if is_hls(collection) else "uint16"


def canonical_band(band: str) -> str:
    """Return the Sentinel-2 name of a band that an alias names; of any other, its own name."""
    return BAND_ALIASES.get(band.lower(), band)


class AuxiliaryCollection(NamedTuple):
    """What the platform knows of a collection that can be added to the main one."""

    name: str
    """The beginning of its features' names."""
    bands: tuple[str, ...]
    """The bands that become features where the configuration names none."""
    choice: tuple[str, ...]
    """All bands that may become features."""
    quality_band: str | None
    """The band that says which pixels show the ground; None for radar, which clouds do not
    hide."""


_LANDSAT_BANDS = ("B02", "B03", "B04", "B05", "B06", "B07")
_LANDSAT_ASSETS = ("blue", "green", "red", "nir08", "swir16", "swir22")
_HLS_S30 = AuxiliaryCollection(
    "S30",
    ("B02", "B03", "B04", "B8A", "B11", "B12"),
    ("B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12"),
    "Fmask",
)
_HLS_L30 = AuxiliaryCollection("L30", _LANDSAT_BANDS, ("B01", *_LANDSAT_BANDS), "Fmask")
_HLS = {
    "HLSS30_2.0": _HLS_S30, "hls2-s30": _HLS_S30, "HLSL30_2.0": _HLS_L30, "hls2-l30": _HLS_L30,
}  # fmt: skip
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
    **_HLS,
}
SIMULATED_AUXILIARY_BANDS = {
    "sentinel-1-grd": ("VV", "VH"),
    "landsat-ot-l1": ("B01", *_LANDSAT_BANDS, "B09"),
}
"""The auxiliary collections of the simulated archive, and their bands without quality bands."""
AUXILIARY_OF: Mapping[str, tuple[str, ...]] = {
    "sentinel_hub": ("sentinel-1-grd", "landsat-ot-l1", "landsat-ot-l2"),
    "stac": ("sentinel-1-grd", "sentinel-1-rtc", "landsat-c2-l2", *_HLS),
    "simulated": tuple(SIMULATED_AUXILIARY_BANDS),
}
"""Source -> the auxiliary collections that it may be asked for."""

BACKSCATTER = ("gamma0_terrain", "gamma0_ellipsoid", "sigma0_ellipsoid", "beta0")
"""Coefficients of a radar's echo: the power of a pixel by the area of which it is counted. Gamma
nought on the terrain (Small 2011, "Flattening gamma") is that of the ground that the radar sees at
right angles, so that slopes are neither bright nor dark."""
BACKSCATTER_OF: Mapping[tuple[str, str], tuple[str, ...]] = {
    # https://docs.sentinel-hub.com/api/latest/data/sentinel-1-grd/: backCoeff.
    ("sentinel_hub", "sentinel-1-grd"): BACKSCATTER,
    # https://planetarycomputer.microsoft.com/dataset/sentinel-1-rtc: gamma nought on PlanetDEM.
    ("stac", "sentinel-1-rtc"): ("gamma0_terrain",),
    ("simulated", "sentinel-1-grd"): ("gamma0_terrain",),
}
"""Source and radar collection -> the coefficients that it gives, the usual one first; a catalog's
`sentinel-1-grd` is what ESA distributes, amplitudes of no coefficient."""
ORBITS = ("ascending", "descending")
"""Directions in which a satellite crosses the equator, as ``sat:orbit_state`` has them."""

_FIRST_YEARS = (
    ("sentinel-1", 2014),
    ("sentinel-2", 2015),
    ("landsat-ot-", 2013),
    ("landsat-c2-", 1982),
    ("HLSL30", 2013),
    ("hls2-l30", 2013),
    ("HLSS30", 2015),
    ("hls2-s30", 2015),
)


def first_year(collection: str) -> int | None:
    """Return the year of a collection's first acquisitions, None where it is not known."""
    return next((year for stem, year in _FIRST_YEARS if collection.startswith(stem)), None)
