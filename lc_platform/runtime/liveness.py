"""Whether a process of this machine still runs."""

from __future__ import annotations

import os


def is_running(process: int) -> bool:
    """Return whether there is a process of this number, of whichever user."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
