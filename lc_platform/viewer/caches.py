"""What the map keeps between requests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request

from lc_platform.reading.acquisition_index import AcquisitionIndex
from lc_platform.reading.reader import Reader
from lc_platform.viewer.status_board import StatusBoard

_Value = TypeVar("_Value")


class Kept:
    """Values by name, each for as long as what it was made of stays in the same state."""

    def __init__(self) -> None:
        self._values: dict[str, tuple[object, Any]] = {}
        self._making: dict[str, Lock] = {}
        self._changing = Lock()

    def get(self, name: str, state: object, make: Callable[[], _Value]) -> _Value:
        """Return the value of a name, made where it is not there in this state: by one thread, for
        which others wait."""
        with self._changing:
            making = self._making.setdefault(name, Lock())
        with making:
            found = self._values.get(name)
            if found is None or found[0] != state:
                found = self._values[name] = state, make()
            value: _Value = found[1]
            return value


@dataclass(frozen=True)
class Caches:
    """What the map keeps between requests; the same for every request."""

    status: StatusBoard
    acquisitions: AcquisitionIndex
    kept: Kept = field(default_factory=Kept)

    @classmethod
    def of(cls, reader: Reader) -> Caches:
        return cls(StatusBoard(reader), AcquisitionIndex(reader.artefacts))


def _caches(request: Request) -> Caches:
    found: Caches = request.app.state.caches
    return found


CurrentCaches = Annotated[Caches, Depends(_caches)]
"""A parameter of an endpoint: what is kept between requests."""
