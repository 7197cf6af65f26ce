"""How the artefacts of each year stand, looked at again where something has changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import Protocol

from lc_platform.artefacts.layout import EVERY_ASSET, PATCH, YEAR, Partition, dimensions
from lc_platform.artefacts.records import Records
from lc_platform.artefacts.versions import Snapshot, State, Versions
from lc_platform.commands.asset_status import AssetStatus, changes_in_store
from lc_platform.reading.reader import Reader
from lc_platform.storage.errors import UnavailableError
from lc_platform.viewer.answers import Tagged

_LONGEST = 300.0
"""Seconds after which all is looked at again, whether or not a change is seen: what the
configuration names outside the store may have changed."""
_LONGEST_APART = 30.0
"""Likewise of an object store, whose changes are seen only as far as Dagster records them."""
_SHARE = 4
"""A look is followed by a pause of so many times its own time: most of the processor is for
others."""
_PATIENCE, _FIRST = 2.0, 60.0
"""Seconds that a request waits for a new look where there is an old one, and for the first one."""


@dataclass(frozen=True)
class YearStatus:
    """How the artefacts of a year stood at a time."""

    at: datetime
    rows: Mapping[str, AssetStatus]
    """By asset."""
    message: str
    """What is not known, and what to do; empty where all is."""
    _answers: dict[str, Tagged] = field(default_factory=dict)

    def answer(self, asset: str, make: Callable[[], Tagged]) -> Tagged:
        """Return the answer about an asset, which is made once."""
        if asset not in self._answers:
            self._answers[asset] = make()
        return self._answers[asset]


@dataclass
class _Year:
    """What is known of a year, and the look that is on its way."""

    status: YearStatus | None = None
    changes: object = None
    looked: float = -_LONGEST
    """When the last look ended."""
    took: float = 0.0
    look: Future[None] | None = None


class StatusBoard:
    """The status of each year: looked at by one thread, while requests are given the last one."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._source = _source(reader)
        self._longest = _LONGEST if reader.store.local else _LONGEST_APART
        self._years: dict[int, _Year] = {}
        self._changing = Lock()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="status")

    def of(self, year: int) -> YearStatus:
        """Return how the artefacts of a year stand, at most some seconds ago.

        Raises StorageError where the store cannot be read, UnavailableError where the first look
        takes too long.
        """
        with self._changing:
            known = self._years.setdefault(year, _Year())
        changes = self._source.changes(year)
        with self._changing:
            age = time.monotonic() - known.looked
            is_due = known.changes != changes or age > self._longest
            if known.look is None and is_due and age > min(known.took * _SHARE, self._longest):
                known.look = self._worker.submit(self._look, year, known, changes)
            look = known.look
        if look is not None:
            wait([look], _PATIENCE if known.status else _FIRST)
        if look is not None and look.done() and (error := look.exception()):
            raise error
        if known.status is None:
            raise UnavailableError(
                f"the status of {year} is not known yet: there is much to look at. Ask again in a "
                "minute"
            )
        return known.status

    def _look(self, year: int, known: _Year, changes: object) -> None:
        started = time.monotonic()
        try:
            self._reader.refresh()
            rows, message = self._source.read(year)
            known.status = YearStatus(datetime.now(UTC), rows, message)
            known.changes = changes
        finally:
            with self._changing:
                known.looked = time.monotonic()
                known.took = known.looked - started
                known.look = None


class _Source(Protocol):
    """What the status is read from."""

    def changes(self, year: int) -> object:
        """Return what differs where something may have changed."""

    def read(self, year: int) -> tuple[Mapping[str, AssetStatus], str]:
        """Return the status by asset, and what is not known."""


def _source(reader: Reader) -> _Source:
    if reader.config is None:
        return _Counted(reader)
    from lc_platform.viewer.compared_status import ComparedStatus  # imports Dagster

    return ComparedStatus(reader.config)


class _Counted:
    """The status of a store without its configuration: what is there, and what is not."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def changes(self, year: int) -> object:
        """Return what differs where something may have changed."""
        return changes_in_store(self._reader.store, [year])

    def read(self, year: int) -> tuple[Mapping[str, AssetStatus], str]:
        """Return the status by asset, and what is not known."""
        artefacts = self._reader.artefacts
        versions = Versions(Records(self._reader.store), (), lambda _: None, lambda: artefacts.grid)
        snapshot = Snapshot(versions)
        rows = {}
        for asset in EVERY_ASSET:
            of = dimensions(asset)
            if PATCH not in of:
                continue
            its_year = year if YEAR in of else None
            recorded = snapshot.recorded(asset, year)
            states = {
                partition: State("current" if partition in recorded else "missing")
                for partition in (Partition(patch, its_year) for patch in snapshot.patches())
            }
            rows[asset] = AssetStatus(asset, its_year, states, {})
        return rows, (
            "The store was opened without its configuration: what is made counts as current, and "
            "what runs or has failed is not known. Open the configuration's file"
        )
