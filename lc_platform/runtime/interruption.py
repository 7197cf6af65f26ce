"""Requests to stop the work of a process.

A signal handler calls `request`; loops over acquisitions, windows or patches call `checkpoint`
between two of them, and end there.
"""

from __future__ import annotations

import threading

_requested = threading.Event()


class StopRequested(KeyboardInterrupt):
    """The work was stopped between two steps.

    It is no `Exception`, so that nothing takes it for a failure.
    """


def request() -> None:
    """Let the work of this process end at its next checkpoint."""
    _requested.set()


def requested() -> bool:
    """Whether the work must end."""
    return _requested.is_set()


def checkpoint() -> None:
    """Raise StopRequested if the work must end."""
    if _requested.is_set():
        raise StopRequested("stopped on request")


def withdraw() -> None:
    """Withdraw the request: further work is done."""
    _requested.clear()
