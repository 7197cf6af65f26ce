"""What is kept because it may be asked for again, as much of it as there is room for."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")


class BoundedCache(Generic[_Key, _Value]):
    """Values by key, those that were used last; several threads may use it at once."""

    def __init__(self, room: int, size: Callable[[_Value], int] = lambda _: 1) -> None:
        """
        room  the most that all values together take, in what ``size`` counts: by default how many
              there are
        """
        self._room = room
        self._size = size
        self._kept: OrderedDict[_Key, _Value] = OrderedDict()
        self._taken = 0
        self._lock = threading.Lock()

    def get(self, key: _Key) -> _Value | None:
        """Return a value, None where it is not kept."""
        with self._lock:
            if key not in self._kept:
                return None
            self._kept.move_to_end(key)
            return self._kept[key]

    def put(self, key: _Key, value: _Value) -> None:
        """Keep a value, in place of those that were not used for longest where room is needed."""
        size = self._size(value)
        with self._lock:
            self._forget(key)
            if size > self._room:
                return
            self._kept[key] = value
            self._taken += size
            while self._taken > self._room:
                self._forget(next(iter(self._kept)))

    def forget(self, key: _Key) -> None:
        """Keep a value no longer, where it is kept."""
        with self._lock:
            self._forget(key)

    def clear(self) -> None:
        """Keep nothing of what is kept now."""
        with self._lock:
            self._kept.clear()
            self._taken = 0

    def _forget(self, key: _Key) -> None:
        if key in self._kept:
            self._taken -= self._size(self._kept.pop(key))
