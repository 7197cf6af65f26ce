"""Dagster's own records: where they are, and what can be asked of them by name."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from lc_platform.config import Config
from lc_platform.errors import PlatformError

HOME_VARIABLE = "DAGSTER_HOME"
_HOME = "dagster"
_INSTANCE = """\
telemetry: {{enabled: false}}
nux: {{enabled: false}}
concurrency:
  runs: {{max_concurrent_runs: {cores}}}
run_monitoring: {{enabled: true, max_runtime_seconds: 21600}}
"""


class RunError(PlatformError):
    """A command cannot be run as it was given."""


def dagster_home(config: Config) -> Path:
    """The folder of Dagster's own records: DAGSTER_HOME, or `dagster` beside the configuration.

    It is made where it is not there.
    """
    home = _home(config)
    settings = home / "dagster.yaml"
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not settings.exists():
            settings.write_text(_INSTANCE.format(cores=os.cpu_count() or 1), encoding="utf-8")
    except OSError as error:
        raise RunError(
            f"{home}: Dagster's records cannot be kept there ({error.strerror}). Name a folder "
            f"that can be written in {HOME_VARIABLE}"
        ) from error
    return _reachable(home)


def _reachable(home: Path) -> Path:
    """A folder by a path that Dagster's SQLite takes: it makes a URL of it, in which ``?`` and
    escapes such as ``%20`` mean something else. Where they are in it, a link to the folder."""
    if not re.search(r"\?|%[0-9A-Fa-f]{2}", str(home.absolute())):
        return home
    from lc_platform.area.boundary import default_cache

    name = hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:16]
    link = default_cache() / "dagster" / name
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            link.symlink_to(home.resolve())
    except OSError as error:
        raise RunError(
            f"{home}: Dagster takes no path with ? or % in it, and no link to it can be made at "
            f"{link} ({error.strerror}). Name another folder in {HOME_VARIABLE}"
        ) from error
    return link


def opened_instance(home: Path) -> dg.DagsterInstance:
    """Dagster's records in a folder. Raises RunError where they cannot be opened."""
    try:
        return dg.DagsterInstance.from_config(str(home))
    except (dg.DagsterError, SQLAlchemyError, OSError) as error:
        if not os.access(home, os.W_OK):
            raise RunError(
                f"{home}: Dagster's records cannot be written there. Have the folder writable, or "
                f"name another in {HOME_VARIABLE}"
            ) from error
        why = error.orig if isinstance(error, DBAPIError) else error
        raise RunError(
            f"{home / 'dagster.yaml'}: Dagster's records cannot be opened ({why}). Check "
            "what it says of the storage, and that the database can be reached"
        ) from error


def _home(config: Config) -> Path:
    named = os.environ.get(HOME_VARIABLE)
    return Path(named) if named else config.folder / _HOME


def closed_home(config: Config) -> Path | None:
    """The folder of Dagster's records where they are and cannot be read, since nobody may write
    there: SQLite cannot open them then."""
    home = _home(config)
    return home if home.exists() and not os.access(home, os.W_OK) else None


def existing_instance(config: Config) -> dg.DagsterInstance | None:
    """Dagster's records; None where there are none yet, or nobody may write where they are; nothing
    is written. Raises RunError where they cannot be opened."""
    return opened_instance(_reachable(_home(config))) if has_records(config) else None


def has_records(config: Config) -> bool:
    """Whether Dagster has records, and they can be read."""
    return (_home(config) / "dagster.yaml").exists() and not closed_home(config)


def records_missing(config: Config) -> str:
    """Say where Dagster has no records that can be read, and what to do; empty where it has."""
    home = _home(config)
    if has_records(config):
        return ""
    if closed_home(config):
        return (
            f"{home}: Dagster's records cannot be read there, since nobody may write there. Have "
            f"the folder writable, or name another in {HOME_VARIABLE}"
        )
    return (
        f"{home}: Dagster has no records there. Where they are elsewhere, name the folder in "
        f"{HOME_VARIABLE}"
    )


def chosen(asked: Sequence[Any], there: Sequence[Any], option: str, what: str) -> tuple[Any, ...]:
    """Return the existing ones that are asked for; all if none is.

    Raises RunError naming one that is not there, and the nearest that is.
    """
    from difflib import get_close_matches

    for one in asked:
        if one not in there:
            close = get_close_matches(str(one), [str(t) for t in there], n=1)
            shown = ", ".join(str(t) for t in there[:12]) + (" ..." if len(there) > 12 else "")
            hint = f"Did you mean {close[0]}?" if close else f"There are {shown}"
            raise RunError(f"{option} {one}: is none of the {what}. {hint}")
    return tuple(t for t in there if t in asked) if asked else tuple(there)
