"""The status of a store by its configuration, and by Dagster's records."""

from __future__ import annotations

import time
from collections.abc import Mapping

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from lc_platform.commands.asset_status import AssetStatus
from lc_platform.commands.instance import (
    RunError,
    existing_instance,
    has_records,
    records_missing,
)
from lc_platform.commands.status import StatusReader
from lc_platform.config import Config

_AGAIN = 30.0
"""Seconds after which Dagster's records are asked again where they could not be read."""


class ComparedStatus:
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


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
