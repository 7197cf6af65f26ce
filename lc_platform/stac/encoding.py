"""Items as JSON: what many of them have in common is encoded once."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from itertools import chain, zip_longest
from typing import Any

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_HOLE = "\uffff"
"""Stands in a document for what is encoded already: no character, which no text should have."""


class SharedObject(dict[str, Any]):
    """An object that many items have; it is not changed."""

    @cached_property
    def text(self) -> str:
        """As JSON."""
        return _encode(self)


class SharedList(list[Any]):
    """A list that many items have; it is not changed."""

    @cached_property
    def text(self) -> str:
        """As JSON."""
        return _encode(self)


_SHARED = (SharedObject, SharedList)
_NESTED = (dict, list)


def encoded(item: Mapping[str, Any]) -> str:
    """Return an item as JSON."""
    texts: list[str] = []
    around = _encode(_with_holes(item, texts)).split(f'"{_HOLE}"')
    if len(around) != len(texts) + 1:
        return _encode(item)
    return "".join(chain.from_iterable(zip_longest(around, texts, fillvalue="")))


def _with_holes(value: Any, texts: list[str]) -> Any:
    """Return a value with a hole for each part that is shared, whose texts are added in order."""
    if isinstance(value, _SHARED):
        texts.append(value.text)
        return _HOLE
    if isinstance(value, dict):
        return {
            name: _with_holes(one, texts) if isinstance(one, _NESTED) else one
            for name, one in value.items()
        }
    if isinstance(value, list) and value and isinstance(value[-1], SharedObject):
        parts = (one.text if isinstance(one, SharedObject) else _encode(one) for one in value)
        texts.append(f"[{','.join(parts)}]")
        return _HOLE
    return value
