"""The root of the platform's own errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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


def once(said: Mapping[str, str], things: str, count: int, most: int = 5) -> str:
    """Return what several things say in much the same words, in the words of the first: ``a (and 2
    more of 9 patches: b, c): too dark``.

    said    by name: one or more
    things  what they are called, as there are ``count`` of them
    most    of them that are named
    """
    (first, words), *others = said.items()
    if not others:
        return f"{first}: {words}"
    names = some([name for name, _ in others], most - 1)
    return f"{first} (and {len(others)} more of {count} {things}: {names}): {words}"


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
