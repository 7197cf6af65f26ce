"""The root of the platform's own errors."""

from __future__ import annotations

from collections.abc import Iterator
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
