"""Public STAC archives by name, and what has to be known of each that its items do not tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Held:
    """How an archive holds a collection."""

    bucket: str = ""
    """In S3, that has its files: whoever reads them pays, with an AWS account. Files of other
    buckets are refused: nobody agreed to pay for them, and of Sentinel-2 L1C some items of Earth
    Search have files of L2A."""
    region: str | None = None
    """Of the bucket."""
    offset_since_0400: float | None = None
    """Of Sentinel-2 reflectance from processing baseline 04.00 on, where the items do not tell
    it; None where nobody says which it is."""


@dataclass(frozen=True)
class Preset:
    """A STAC API."""

    url: str
    collections: Mapping[str, Held] = field(default_factory=dict)
    """Those that need more than their items tell."""
    tokens: str = ""
    """URL that gives a token for a collection, before the collection's id; empty where files are
    free to read."""
    signed_hosts: str = ""
    """How the hosts' names end whose links need a token."""


PRESETS: Mapping[str, Preset] = {
    # https://github.com/Element84/earth-search: links of buckets whose readers pay are s3://,
    # others https://. Offsets are in raster:bands and earthsearch:boa_offset_applied. The
    # regions are those of the Registry of Open Data on AWS.
    "earth-search": Preset(
        url="https://earth-search.aws.element84.com/v1",
        collections={
            "sentinel-2-l1c": Held(bucket="sentinel-s2-l1c", region="eu-central-1"),
            "sentinel-1-grd": Held(bucket="sentinel-s1-l1c", region="eu-central-1"),
            "landsat-c2-l2": Held(bucket="usgs-landsat", region="us-west-2"),
        },
    ),
    # https://planetarycomputer.microsoft.com/docs/concepts/sas/ on tokens. On the offset,
    # https://planetarycomputer.microsoft.com/dataset/sentinel-2-l2a#Baseline-Change: items from
    # baseline 04.00 on are as ESA has them, 1000 digital numbers higher.
    "planetary-computer": Preset(
        url="https://planetarycomputer.microsoft.com/api/stac/v1",
        collections={"sentinel-2-l2a": Held(offset_since_0400=-0.1)},
        tokens="https://planetarycomputer.microsoft.com/api/sas/v1/token/",
        signed_hosts=".blob.core.windows.net",
    ),
}
"""The names are those of `lc_platform.config.CATALOGS`."""
