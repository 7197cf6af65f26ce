"""Which acquisitions there are of a year over all patches, read once and kept."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock

from lc_platform.artefacts.layout import key
from lc_platform.artefacts.records import Records, Version
from lc_platform.errors import PlatformError
from lc_platform.reading.artefacts import Artefacts
from lc_platform.storage.errors import UnavailableError

_AT_ONCE = 8
"""Patches that are read at the same time: an object store answers many as fast as one."""
_AGAIN = 10.0
"""Seconds for which it is not looked whether patches were acquired since."""


@dataclass(frozen=True)
class IndexedAcquisition:
    """An acquisition, and the patches that it shows."""

    key: str
    time: datetime
    """UTC."""
    patches: list[str]

    @property
    def day(self) -> str:
        """``YYYY-MM-DD``"""
        return self.time.date().isoformat()


@dataclass
class _Year:
    """What is known of a year, and the listing that is on its way."""

    patches: dict[str, tuple[Version, list[tuple[str, str]]]] = field(default_factory=dict)
    """By patch: the imagery's version, and (key, time) of its acquisitions."""
    count: int = 0
    """How many patches there are to be."""
    listed: float = 0.0
    """When the last listing ended."""
    listing: Future[None] | None = None
    acquisitions: Mapping[str, IndexedAcquisition] = field(default_factory=dict)


class AcquisitionIndex:
    """The acquisitions of each year by their keys; of what was acquired again only that is read."""

    def __init__(self, artefacts: Artefacts) -> None:
        self._artefacts = artefacts
        self._years: dict[int, _Year] = {}
        self._changing = Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="acquisitions")

    def of(self, year: int, patience: float) -> Mapping[str, IndexedAcquisition]:
        """Return the acquisitions of a year by their keys, by time.

        patience  seconds to wait while they are listed for the first time

        Raises NotFoundError for another year, UnavailableError where listing takes longer.
        """
        year = self._artefacts.year(year)
        with self._changing:
            known = self._years.setdefault(year, _Year())
            fresh = known.listed and time.monotonic() - known.listed < _AGAIN
            if known.listing is None and not fresh:
                known.listing = self._worker.submit(self._list, year, known)
            listing = known.listing
        if listing is not None:
            wait([listing], patience)
            if listing.done() and (error := listing.exception()):
                raise error
        if not known.listed:
            raise UnavailableError(
                f"the acquisitions of {year} are being listed: {len(known.patches):,} of "
                f"{known.count:,} patches so far. Ask again in some seconds"
            )
        return known.acquisitions

    def _list(self, year: int, known: _Year) -> None:
        try:
            there = Records(self._artefacts.store).of_year("raw_bands", year)
            now = {str(where.patch): version for where, version in there.items()}
            known.count = len(now)
            same = {p: one for p, one in known.patches.items() if now.get(p) == one[0]}
            if len(same) == len(now) == len(known.patches) and known.listed:
                known.listed = time.monotonic()
                return
            known.patches = same
            missing = [patch for patch in now if patch not in same]

            def read(patch: str) -> None:
                known.patches[patch] = now[patch], self._read(patch, year)

            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="acquisitions") as pool:
                list(pool.map(read, missing))
            known.acquisitions = _by_key(known.patches)
            known.listed = time.monotonic()
        finally:
            with self._changing:
                known.listing = None

    def _read(self, patch: str, year: int) -> list[tuple[str, str]]:
        """Return (key, time) of a patch's acquisitions; none where they cannot be read."""
        from lc_platform.storage.zarr_attributes import attributes

        try:
            about = attributes(self._artefacts.store, key("raw_bands", patch, year))
            return [(str(one["key"]), str(one["datetime"])) for one in about["acquisitions"]]
        except UnavailableError:
            raise
        except PlatformError:
            return []  # who looks at the patch is told


def _by_key(
    patches: Mapping[str, tuple[Version, list[tuple[str, str]]]],
) -> Mapping[str, IndexedAcquisition]:
    found: dict[str, IndexedAcquisition] = {}
    for patch in sorted(patches):
        for name, when in patches[patch][1]:
            if name not in found:
                found[name] = IndexedAcquisition(name, datetime.fromisoformat(when), [])
            found[name].patches.append(patch)
    return dict(sorted(found.items(), key=lambda item: (item[1].time, item[0])))
