"""The root of the platform's own errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lc_platform.runtime.redaction import hidden


class PlatformError(Exception):
    """An error that the user can correct. Its text names the thing, the fault and the remedy."""

    transient = False
    """Whether the same attempt may succeed later by itself."""
    damaged = False
    """Whether stored data are known to differ from what was written."""

    def __str__(self) -> str:
        return hidden(super().__str__())


class DataError(PlatformError):
    """The data do not allow the computation; trying again does not help."""


def some(names: Sequence[object], most: int, count: int | None = None) -> str:
    """Return names in words, the first of many: ``a, b and 3 more``.

    most   of them that are named
    count  of all that there are, where ``names`` are only the first of them
    """
    shown = names[:most]
    rest = (len(names) if count is None else count) - len(shown)
    return ", ".join(map(str, shown)) + (f" and {rest} more" if rest > 0 else "")


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Add to an unexpected error what was being processed: an item, an acquisition, a file.

    The platform's own errors name it themselves.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, PlatformError):
            error.add_note(what)
        raise
