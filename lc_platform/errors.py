"""The root of the platform's own errors."""

from __future__ import annotations

from lc_platform.secret import hidden


class PlatformError(Exception):
    """Something the user can mend; the message names the thing, what is wrong and what to do."""

    transient = False
    """Whether the same attempt may succeed later without anybody mending anything."""
    damaged = False
    """Whether what is stored is not what was written; else it may be whole."""

    def __str__(self) -> str:
        return hidden(super().__str__())
