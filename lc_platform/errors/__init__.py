"""The root of the platform's own errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from lc_platform.runtime.redaction import hidden


class PlatformError(Exception):
    """Something the user can mend; the message names the thing, what is wrong and what to do."""

    transient = False
    """Whether the same attempt may succeed later without anybody mending anything."""
    damaged = False
    """Whether what is stored is not what was written; else it may be whole."""

    def __str__(self) -> str:
        return hidden(super().__str__())


class DataError(PlatformError):
    """The data do not allow what is asked of them; trying again does not help."""


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Have an error that nobody foresaw say what was at work: an item, an acquisition, a file.

    The platform's own errors name it themselves.
    """
    try:
        yield
    except Exception as error:
        if not isinstance(error, PlatformError):
            error.add_note(what)
        raise
