"""The classes that people mean by words in a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from lc_platform.config.reference import plain_text
from lc_platform.cube import Legend


def meaning(classes: Legend) -> Callable[[str], int | None]:
    """Return what tells the class that people mean by a word: a name, with small or capital letters
    where no two names differ by these alone, or an id, also as editors show a number (2.0)."""
    names = [(plain_text(name), one) for one, (name, _) in classes.items()]
    times = Counter(name.casefold() for name, _ in names)
    exact = {f"{one}{zeros}": one for one in classes for zeros in ("", ".0")} | dict(names)
    folded = {name.casefold(): one for name, one in names if times[name.casefold()] == 1}
    return lambda word: exact.get(word, folded.get(word.casefold()))


def text(value: Any) -> str:
    """Return a cell of a table as people read it; empty where nothing is written."""
    if value is None or value != value:
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return plain_text(str(value))
