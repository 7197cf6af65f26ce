"""Environment variables that the configuration names: their values are used, and never told."""

from __future__ import annotations

import os
import warnings
from urllib.parse import quote

_SHORTEST = 6
"""Characters: shorter values are no secrets, and stand in any text by chance."""
_read: dict[str, str] = {}
"""Value -> what the configuration says instead."""


def read(name: str) -> str:
    """An environment variable's value, which `hidden` knows from then on. Raises KeyError."""
    value = os.environ[name]
    keep(value, f"${{{name}}}")
    return value


def keep(value: str, instead: str) -> None:
    """Have `hidden` know a value that was read elsewhere, and what to say instead."""
    if len(value) >= _SHORTEST:
        _read[value] = _read[quote(value, safe="")] = instead


def hidden(text: str) -> str:
    """A text with the values replaced by their variables' names."""
    for value, name in list(_read.items()):  # other threads may read more
        text = text.replace(value, name)
    return text


def conceal_warnings() -> None:
    """Have Python's warnings, which libraries write with what they were given, tell no value."""
    shown = warnings.formatwarning
    if getattr(shown, "__module__", "") != __name__:
        warnings.formatwarning = lambda *told, **more: hidden(shown(*told, **more))


def conceal(error: BaseException | None) -> None:
    """Hide the values in the words of an error and of those that it came from, in place; of one
    that cannot be changed the chain ends before it, where it tells a value."""
    seen: set[int] = set()
    after: BaseException | None = None
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        try:
            error.args = tuple(hidden(a) if isinstance(a, str) else a for a in error.args)
        except AttributeError:
            if hidden(str(error)) != str(error) and after is not None:
                after.__cause__ = after.__context__ = None
                return
        if isinstance(error, OSError) and isinstance(error.filename, str):
            error.filename = hidden(error.filename)
        after, error = error, error.__cause__ or error.__context__
