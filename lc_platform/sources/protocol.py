"""The protocol of imagery archives.

A source answers two questions: which acquisitions touch a box in a period, and what are the
digital numbers of one of them on a given grid. Everything an archive does its own way
(accounts, paging, band names, granules, offsets) stays behind these two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

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


class MissingBandError(SourceError):
    """An archive lacks a band that was asked for."""

    def __init__(self, message: str, band: str) -> None:
        super().__init__(message)
        self.band = band


class QuotaError(SourceError):
    """The account's quota or the platform's budget is spent: until it is renewed no patch can be
    acquired, and none is tried."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of requests to an archive."""

    requests: int = 0
    processing_units: float = 0.0
    """Sentinel Hub's; 0 of other archives."""
    bytes: int = 0
    """Moved over the network."""

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.requests + other.requests,
            self.processing_units + other.processing_units,
            self.bytes + other.bytes,
        )


class Ledger(Protocol):
    """Counts what all workers spend, and stops them at the budget."""

    def reserve(self, cost: Cost) -> None:
        """Set ``cost`` aside before it is spent. Raises QuotaError where the budget does not
        allow it."""
        ...

    def settle(self, reserved: Cost, spent: Cost) -> None:
        """Give back what was set aside, and count what was spent."""
        ...


@dataclass(frozen=True, slots=True)
class BandContent:
    """What is known of a band of an acquisition before its pixels are read."""

    scale: float
    """Reflectance = digital number * scale + offset."""
    offset: float
    state: str
    """Identifies the files as they are now and how they are read: with one state, the digital
    numbers are the same."""
    link: str = ""
    """The same without the times that the archive tells, where nothing else tells one content of
    the files from another: they may be the same files all the same."""
    tag: Callable[[], str] | None = field(default=None, compare=False, repr=False)
    """Asks the file's server by what it tells this state of it from others, in a request without
    pixels; None where nobody can be asked."""


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
    """Percent of the scene as the archive states it, None where it does not; the mean of the
    granules'."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """Further facts worth keeping, for example ``s2:processing_baseline``."""
    coverage: float = 0.0
    """Share of the area searched that its footprints cover, 0 to 1; 0 where it is not known."""
    bands: Mapping[str, BandContent] = field(default_factory=dict, compare=False, repr=False)
    """The content of each band; empty if the archive does not say it, and then an acquisition is
    taken to stay as it was."""
    of_granules: Callable[[float], Acquisition | None] | None = field(
        default=None, compare=False, repr=False
    )
    """Gives the acquisition of those granules alone that have at most so much cloud, in percent;
    None where the archive tells nothing of single granules."""
    addresses: tuple[str, ...] = field(default=(), compare=False, repr=False)
    """By which the archive's own catalog of files leads to each of ``items``, from where it lies
    itself; empty of one that it leads elsewhere for. None at all of other archives."""
    sun: tuple[float, float] | None = field(default=None, compare=False)
    """Azimuth and elevation of the sun in degrees, the mean of the granules'; None where the
    archive does not say it."""

    def within(self, max_cloud_cover: float) -> Acquisition | None:
        """Return the acquisition without the granules that have more cloud than so many percent,
        None where nothing is left of it.

        Each granule is judged by its own cloud cover, so that what is left out does not hang on
        the area searched; one of unknown cover is kept.
        """
        if self.of_granules is not None:
            clear = self.of_granules(max_cloud_cover)
            return self if clear is not None and clear.items == self.items else clear
        cloudy = self.cloud_cover is not None and self.cloud_cover > max_cloud_cover
        return None if cloudy else self


@dataclass(frozen=True, slots=True)
class Pixels:
    """An acquisition read on a grid."""

    values: NDArray[Any]
    """(band, y, x), digital numbers as the archive has them, of one of the types of
    ``catalogue.FILL_VALUES``, and that type's where ``data_mask`` is False."""
    data_mask: NDArray[np.bool_]
    """(y, x), True where every band that was asked for has data."""
    scale: NDArray[np.float64]
    """(band,): reflectance = digital number * scale + offset."""
    offset: NDArray[np.float64]
    """(band,)"""
    cost: Cost = Cost()
    """What it took to read them."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """By band, what its file's server identifies the file's state by (ETag, Last-Modified)."""


@runtime_checkable
class Source(Protocol):
    """An imagery archive. Its methods may be called by several threads at the same time."""

    remote: bool
    """Whether it is on the network, so that several acquisitions are read at the same time."""

    def search(
        self, area: Geometry, start: datetime, end: datetime, around: Geometry | None = None
    ) -> list[Acquisition]:
        """Return the acquisitions that touch ``area`` (any CRS) in the half-open period [start,
        end), UTC, in order of time then key. An empty list where there is none.

        around  what is read of them, where that is more than the area, which lies in it: an
                acquisition has all granules of its pass that touch this

        Raises SourceError where the archive cannot be searched.
        """
        ...

    def read(self, acquisition: Acquisition, geobox: GeoBox, bands: Sequence[str]) -> Pixels:
        """Return the acquisition's ``bands``, in the order asked for, on the grid ``geobox``.

        Where the grid's pixels are those of the archive nothing is resampled. A finer grid takes
        the nearest archive pixel, or what the archive's resampling says; a grid at least twice as
        coarse, the mean of the archive's valid pixels (for a classification band such as SCL,
        always the nearest). Outside the acquisition's footprint ``data_mask`` is False.

        Raises SourceError naming the acquisition and the band where a band or a file is missing
        or damaged, TransientSourceError where the archive did not answer after all retries, and
        QuotaError where nothing more can be had for any patch.
        """
        ...

    def stop(self) -> None:
        """End the waits that are under way: what is read then fails with TransientSourceError.
        What is asked for later is waited for again."""
        ...

    def cost(self, geobox: GeoBox, bands: Sequence[str]) -> Cost:
        """Return what `read` of one acquisition takes by the archive's price list, without asking
        it."""
        ...
