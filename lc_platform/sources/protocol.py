"""What the platform asks of an imagery archive, and nothing more.

A source answers two questions: which acquisitions touch a box in a period, and what are the
digital numbers of one of them on a given grid. Everything an archive does its own way
(accounts, paging, band names, granules, offsets) stays behind these two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry

from lc_platform.errors import PlatformError


class SourceError(PlatformError):
    """An archive cannot give what was asked; retrying the same request does not help."""


class TransientSourceError(SourceError):
    """An archive did not answer this time (time-out, 5xx, connection reset); a retry may help."""

    transient = True


@dataclass(frozen=True, slots=True)
class Acquisition:
    """One pass of one satellite over a box: all granules of the pass together."""

    key: str
    """Unique within the archive and stable between searches. Its date and platform are in it, but
    the datetime is not the key: one day may hold two passes, one pass has several granules."""
    datetime: datetime
    """Sensing time, UTC, of the earliest granule."""
    items: tuple[str, ...]
    """Ids of the archive's items that make it up, in order of preference where they overlap."""
    platform: str = ""
    """For example ``sentinel-2a``."""
    cloud_cover: float | None = None
    """Percent of the scene as the archive states it, None where it does not."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """Further facts worth keeping, for example ``s2:processing_baseline``."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """An acquisition read on a grid."""

    values: NDArray[np.uint16]
    """(band, y, x), digital numbers as the archive has them; 0 where ``data_mask`` is False."""
    data_mask: NDArray[np.bool_]
    """(y, x), True where every band that was asked for has data."""
    scale: NDArray[np.float64]
    """(band,): reflectance = digital number * scale + offset."""
    offset: NDArray[np.float64]
    """(band,)"""


@runtime_checkable
class Source(Protocol):
    """An imagery archive."""

    def search(self, area: Geometry, start: datetime, end: datetime) -> list[Acquisition]:
        """Acquisitions that touch ``area`` (any CRS) in the half-open period [start, end), UTC, in
        order of time then key. An empty list where there is none.

        Raises SourceError where the archive cannot be searched.
        """
        ...

    def read(self, acquisition: Acquisition, geobox: GeoBox, bands: Sequence[str]) -> Pixels:
        """The acquisition's ``bands``, in the order asked for, on the grid ``geobox``.

        Where the grid's pixels are those of the archive nothing is resampled. A finer grid takes
        the nearest archive pixel; a grid at least twice as coarse, the mean of the archive's
        valid pixels (for a classification band such as SCL, the nearest). Outside the
        acquisition's footprint ``data_mask`` is False.

        Raises SourceError naming the acquisition and the band where a band or a file is missing
        or damaged.
        """
        ...
