"""The root of the platform's own errors."""

from __future__ import annotations


class PlatformError(Exception):
    """Something the user can mend; the message names the thing, what is wrong and what to do."""

    transient = False
    """Whether the same attempt may succeed later without anybody mending anything."""
