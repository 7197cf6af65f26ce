"""What the options of an asset's computation count towards.

An asset's options are one frozen dataclass: the computing function takes it, and the version of
the artefact is made of it. Every field is declared by `option`, which says how the field counts;
a class with a field that does not say it is refused when it is declared.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, dataclass
from enum import Enum
from typing import Any, Literal, Self, cast

_COUNTS = "counts"


class _Absent(Enum):
    """Of a value that has no say, as before there was such an option."""

    ABSENT = "absent"


ABSENT = _Absent.ABSENT
"""A value that an artefact's version is made without."""


def if_any(value: Any) -> Any:
    """Return what versions are made of an option that has no say where it is nothing: zero, empty
    or None."""
    return value or ABSENT


@dataclass(frozen=True)
class Counted:
    """That an option counts, and under which name."""

    towards: Literal["data", "appearance"]
    name: tuple[str, ...]
    """The keys under which versions have it: one, or one within another."""
    value: Callable[[Any], Any] | None
    """Gives what versions have seen of the option since there are such; the option itself where
    None."""


@dataclass(frozen=True)
class NotCounted:
    """That an option does not count, and why its artefacts need not be made again for it."""

    why: str


SPEED = NotCounted("the same result comes sooner or later")


def data(*name: str, value: Callable[[Any], Any] | None = None) -> Counted:
    """Say that the data of an artefact depend on an option."""
    return Counted("data", name, value)


def appearance(*name: str, value: Callable[[Any], Any] | None = None) -> Counted:
    """Say that only the appearance of an artefact depends on an option, such as its colours;
    what is made of the artefact does not."""
    return Counted("appearance", name, value)


def option(
    *counts: Counted | NotCounted, default: Any = MISSING, default_factory: Any = MISSING
) -> Any:
    """Declare a field of an options class, and how it counts.

    counts  ways of `data` and `appearance` in which it counts, or one `NotCounted`
    """
    metadata = {_COUNTS: counts}
    if default_factory is not MISSING:
        return dataclasses.field(default_factory=default_factory, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


class UndeclaredOptionError(TypeError):
    """An options class has a field that does not say how it counts."""


class Options:
    """The base of what is an asset's options: frozen dataclasses whose fields `option` declares.

    A subclass with another field is refused by UndeclaredOptionError, which names both.
    """

    def __init_subclass__(cls) -> None:
        for name in inspect.get_annotations(cls):
            found = cls.__dict__.get(name)
            counts = found.metadata.get(_COUNTS, ()) if isinstance(found, Field) else ()
            if not counts:
                raise UndeclaredOptionError(
                    f"{cls.__name__}.{name} does not say how it counts towards the version of what "
                    "is made by it. Declare it by option(data(...)), option(appearance(...)) or "
                    "option(NotCounted(why))"
                )

    def of_year(self, year: int) -> Self:  # noqa: ARG002
        """Return the options of one year's artefacts: those of all years but where files of the
        configuration are of a year each."""
        return self

    def counted(self, towards: Literal["data", "appearance"]) -> dict[str, Any]:
        """Return what versions are made of, by name.

        towards  whether the data or only the appearance of the artefact depend on it
        """
        result: dict[str, Any] = {}
        for name, value in self._counted(towards):
            *outer, last = name
            within = result
            for key in outer:
                within = within.setdefault(key, {})
            within[last] = value
        return result

    def _counted(self, towards: str) -> Iterator[tuple[tuple[str, ...], Any]]:
        for found in dataclasses.fields(cast(Any, self)):
            for one in found.metadata[_COUNTS]:
                if isinstance(one, Counted) and one.towards == towards:
                    value = getattr(self, found.name)
                    value = value if one.value is None else one.value(value)
                    if value is not ABSENT:
                        yield one.name, value
