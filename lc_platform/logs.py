"""Structured logs: a JSON object a line, with run, asset, patch and year in every one of them.

Dagster knows the run and the step of a line, and the partition of a run that has one. In a run over
a chunk of partitions only the code that works on one of them knows which: it says so with `about`.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import dagster as dg

from lc_platform.runtime.redaction import hidden

SUBJECTS = ("run", "asset", "patch", "year")
"""What every line tells; null where a line is about none."""
LOGGER = "lc_platform"
_PARTITION = "dagster/partition"
_bound: ContextVar[Mapping[str, Any]] = ContextVar(
    "lc_platform_log_subjects", default=MappingProxyType({})
)


@contextmanager
def about(**subjects: Any) -> Iterator[None]:
    """Have the lines of a block, in this thread, say what they are about.

    subjects  of `SUBJECTS`; those that are None are left as they are
    """
    unknown = set(subjects) - set(SUBJECTS)
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))}: a line is about {', '.join(SUBJECTS)}")
    known = {name: value for name, value in subjects.items() if value is not None}
    token = _bound.set({**_bound.get(), **known})
    try:
        yield
    finally:
        _bound.reset(token)


class JsonFormatter(logging.Formatter):
    """A log record as one line of JSON.

    Its keys: ``time`` (ISO 8601, UTC), ``level``, ``logger``, ``run``, ``asset``, ``patch``,
    ``year`` and ``message``; ``job``, ``event`` and ``error`` where there is one. No value that
    the configuration keeps secret is in it.
    """

    def format(self, record: logging.LogRecord) -> str:
        meta: Mapping[str, Any] = getattr(record, "dagster_meta", None) or {}
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            **dict.fromkeys(SUBJECTS),
            **_of_run(meta),
            **_bound.get(),
            **_of_event(meta.get("dagster_event")),
            "message": meta.get("orig_message") or record.getMessage(),
        }
        if meta.get("job_name"):
            line["job"] = meta["job_name"]
        if record.exc_info and record.exc_info[0] is not None:
            line["error"] = self.formatException(record.exc_info)
        told = {name: hidden(of) if isinstance(of, str) else of for name, of in line.items()}
        return json.dumps(told, ensure_ascii=False, default=str)


def _of_run(meta: Mapping[str, Any]) -> dict[str, Any]:
    """What a run and its step tell."""
    tags = meta.get("job_tags") or {}
    patch, year = tags.get(f"{_PARTITION}/patch"), tags.get(f"{_PARTITION}/year")
    if patch is None and year is None:
        patch, year = _split(tags.get(_PARTITION))
    found = {"run": meta.get("run_id"), "asset": meta.get("step_key"), "patch": patch, "year": year}
    if found["year"] is not None:
        found["year"] = int(found["year"])
    return {name: value for name, value in found.items() if value is not None}


def _of_event(event: Any) -> dict[str, Any]:
    """What an event of Dagster tells; in a chunk each event is of one partition."""
    if event is None:
        return {}
    found: dict[str, Any] = {"event": event.event_type_value}
    if event.event_type_value in ("ASSET_MATERIALIZATION", "ASSET_OBSERVATION"):
        patch, year = _split(event.partition)
        found |= {"asset": event.asset_key.path[-1]}
        found |= {"patch": patch} if patch is not None else {}
        found |= {"year": int(year)} if year is not None else {}
        error = None
    else:
        error = getattr(event.event_specific_data, "error", None)
    if error is not None:
        found["error"] = error.to_string()
    return found


def _split(partition: str | None) -> tuple[str | None, str | None]:
    """Patch and year of a partition's key."""
    if not partition:
        return None, None
    parts = partition.split("|")
    if len(parts) == 2:
        return parts[0], parts[1]
    year = len(partition) == 4 and partition.isdecimal()
    return (None, partition) if year else (partition, None)


def handler(level: int = logging.INFO) -> logging.Handler:
    """Writes JSON lines to standard error."""
    made = logging.StreamHandler(sys.stderr)
    made.setLevel(level)
    made.setFormatter(JsonFormatter())
    return made


def configure(level: int = logging.INFO) -> None:
    """Have the platform's own logger write JSON lines to standard error, once.

    For processes of their own; in a Dagster run the lines go the way of ``context.log``.
    """
    logger = logging.getLogger(LOGGER)
    logger.setLevel(level)
    logger.propagate = False
    if not any(isinstance(h.formatter, JsonFormatter) for h in logger.handlers):
        logger.addHandler(handler(level))


@dg.logger(
    {
        "log_level": dg.Field(str, default_value="INFO", description="The least that is written."),
        "name": dg.Field(str, default_value=LOGGER, description="The logger's name."),
    },
    description="A JSON object a line on standard error: run, asset, patch and year in each.",
)
def json_lines(context: dg.InitLoggerContext) -> logging.Logger:
    """Dagster's way to the same lines: a job takes it by ``loggers: {json: {}}``."""
    settings = context.logger_config
    level = logging.getLevelName(settings["log_level"].upper())
    # Not one of logging's registry: Dagster makes a logger a run, and each brings its handler.
    logger = logging.Logger(settings["name"], level)
    logger.addHandler(handler(level))
    return logger
