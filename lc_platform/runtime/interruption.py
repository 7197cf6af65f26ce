"""How the work of a process is asked to stop, and where it asks whether it was.

Who hears a signal calls `request`; what works through acquisitions, windows or patches calls
`checkpoint` between two of them, and ends there.
"""

from __future__ import annotations

import threading

_requested = threading.Event()


class StopRequested(KeyboardInterrupt):
    """The work was asked to stop, and has done so between two steps.

    As an interrupt it is no `Exception`: nothing takes it for a failure of what was worked on.
    """


def request() -> None:
    """Have the work of this process end at its next checkpoint."""
    _requested.set()


def requested() -> bool:
    """Whether the work is to end."""
    return _requested.is_set()


def checkpoint() -> None:
    """Raise StopRequested where the work is to end."""
    if _requested.is_set():
        raise StopRequested("stopped as it was asked to")


def withdraw() -> None:
    """Forget what was requested: what is begun next is worked on."""
    _requested.clear()
