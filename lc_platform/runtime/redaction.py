"""Redaction of secrets: values of environment variables are never shown."""

from __future__ import annotations

import os
import warnings
from urllib.parse import quote

_SHORTEST = 6
"""Characters. Shorter values are no secrets, and occur in any text by chance."""
_read: dict[str, str] = {}
"""Value -> its replacement, as the configuration writes it."""


def read(name: str) -> str:
    """Return an environment variable's value and have `hidden` replace it. Raises KeyError."""
    value = os.environ[name]
    keep(value, f"${{{name}}}")
    return value


def keep(value: str, instead: str) -> None:
    """Have `hidden` replace a value that was read elsewhere."""
    if len(value) >= _SHORTEST:
        _read[value] = _read[quote(value, safe="")] = instead


def hidden(text: str) -> str:
    """Return a text with secret values replaced by their variables' names."""
    for value, name in list(_read.items()):  # other threads may read more
        text = text.replace(value, name)
    return text


def conceal_warnings() -> None:
    """Redact Python's warnings, in which libraries write their arguments."""
    shown = warnings.formatwarning
    if getattr(shown, "__module__", "") != __name__:
        warnings.formatwarning = lambda *args, **kwargs: hidden(shown(*args, **kwargs))


def conceal(error: BaseException | None) -> None:
    """Redact the texts of an error and of its causes, in place. The chain of causes is cut before
    one that cannot be changed and contains a value."""
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
