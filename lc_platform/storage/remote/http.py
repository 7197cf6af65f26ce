"""What the drivers of all object stores share: connections, parts, pauses."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import weakref
from collections.abc import Callable
from concurrent.futures import wait
from typing import Any

from fsspec.asyn import get_loop

from lc_platform.config import ObjectStore

PART = 16 * 2**20
"""Bytes of a part of an upload; a few are in memory."""


PARTS_AT_ONCE = 4


_LONGEST_PAUSE = 20.0


BODIES = 2
"""Times that the driver of S3 asks for a body that was cut short, over the retries below it."""


class UnusableError(Exception):
    """What keeps a store from being reached is here: the environment, or a file."""


def connector(settings: ObjectStore) -> Callable[[], Any]:
    """What makes the connections of a session of aiohttp, in the loop that they belong to.

    Raises UnusableError where the authorities' file cannot be read.
    """
    from aiohttp import TCPConnector

    trusted: Any = settings.verify
    if isinstance(trusted, str):
        try:
            trusted = ssl.create_default_context(cafile=trusted)
        except OSError as error:  # as ssl's own are
            raise UnusableError(
                f"object_store.verify: {settings.verify} is no file of certificates ({error}). "
                "Name one in PEM format"
            ) from error
    return lambda: TCPConnector(limit=settings.connections, ssl=trusted)


def close_at_exit(owner: object, session: Any) -> None:
    """Have a session of aiohttp, which belongs to the running loop, closed with its owner."""
    weakref.finalize(owner, _close, session, asyncio.get_running_loop())


def _close(session: Any, loop: asyncio.AbstractEventLoop) -> None:
    closing = asyncio.run_coroutine_threadsafe(
        session.close(), loop if loop.is_running() else get_loop()
    )
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        return
    # Any thread may come by here, also one that the loop is waiting for.
    wait([closing], timeout=1.0)


def pause(attempt: int, chance: float) -> float:
    """Seconds before a request is tried again, for the first time where ``attempt`` is 0.

    chance  random, from 0 to 1, so that those who were refused together do not come together
    """
    return chance * min(2.0**attempt, _LONGEST_PAUSE)
