"""How the artefacts of each year stand, looked at again where something has changed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from lc_platform.artefacts.layout import EVERY_ASSET, PATCH, YEAR, Partition, dimensions
from lc_platform.artefacts.records import Records
from lc_platform.artefacts.versions import Snapshot, State, Versions
from lc_platform.commands.instance import (
    RunError,
    existing_instance,
    has_records,
    records_missing,
)
from lc_platform.commands.status import AssetStatus, StatusReader, changes_in_store
from lc_platform.config import Config
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
_AGAIN = 30.0
"""Seconds after which Dagster's records are asked again where they could not be read."""
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
        self._source: _Compared | _Counted = (
            _Counted(reader) if reader.config is None else _Compared(reader.config)
        )
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


class _Compared:
    """The status by a configuration: what is current by it, what Dagster is at, what failed."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._reader: StatusReader | None = None
        self._fault = ""
        """Why Dagster's records are not read."""

    def changes(self, year: int) -> object:
        """Return what differs where something may have changed."""
        if self._reader is None:
            return None
        if self._fault and has_records(self._config):
            return int(time.monotonic() // _AGAIN)
        try:
            return self._reader.changes([year])
        except (dg.DagsterError, SQLAlchemyError):
            return int(time.monotonic() // _AGAIN)

    def read(self, year: int) -> tuple[Mapping[str, AssetStatus], str]:
        """Return the status by asset, and what is not known."""
        if self._reader is None or self._fault:
            self._open()
        assert self._reader is not None
        try:
            rows = self._reader.read([year])
        except (dg.DagsterError, SQLAlchemyError) as error:
            self._fault = f"Dagster's records cannot be read now ({_first_line(error)})"
            self._reader = StatusReader(self._config, None)
            rows = self._reader.read([year])
        unknown = f"What runs, and what has failed, is not known. {self._fault}"
        return {row.asset: row for row in rows}, unknown if self._fault else ""

    def _open(self) -> None:
        self._fault = records_missing(self._config)
        instance = None
        try:
            instance = existing_instance(self._config)
        except RunError as error:
            self._fault = str(error)
        self._reader = StatusReader(self._config, instance)


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
            places = [Partition(patch, its_year) for patch in snapshot.patches()]
            states = {
                where: State("current" if where in recorded else "missing") for where in places
            }
            rows[asset] = AssetStatus(asset, its_year, states, {})
        return rows, (
            "The store was opened without its configuration: what is made counts as current, and "
            "what runs or has failed is not known. Open the configuration's file"
        )


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
