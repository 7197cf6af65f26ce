"""What is asked for, and is not there."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from lc_platform.errors import PlatformError, some

_NAMED = 8
"""Names that an error lists."""


class NotFoundError(PlatformError, LookupError):
    """There is no such store, asset, patch, year, place or band; the message names the nearest."""


def nearest(asked: str, known: Iterable[str]) -> str:
    """Return what there is instead, in words: the nearest name, or some of those that there are."""
    names = list(known)
    if close := get_close_matches(asked, names, 1):
        return f"the nearest is {close[0]}"
    return f"there are {some(names, _NAMED)}" if names else "there is none"
