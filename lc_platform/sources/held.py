"""Acquisitions of a patch's year that are there from before, and need not be acquired again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lc_platform.eo.cube import Cube, Origin
from lc_platform.errors import PlatformError
from lc_platform.sources.protocol import Acquisition


class Held(NamedTuple):
    """An acquisition, and where its pixels are."""

    facts: Mapping[str, Any]
    origin: Origin
    position: int
    """Along time there."""
    sure: bool
    """Whether the pixels are what the facts' hash says, or that is yet to be seen."""


def stored(cube: Cube, origin: Origin, *, sure: bool) -> Iterator[Held]:
    """Those of a patch's raw bands."""
    told: list[Iterable[Mapping[str, Any]]] = [cube.attributes.get("acquisitions", ())]
    told += [one["acquisitions"] for one in cube.attributes.get("collections", {}).values()]
    for acquisitions in told:
        for position, facts in enumerate(acquisitions):
            yield Held(facts, origin, position, sure)


def damaged(cube: Cube, origin: Origin) -> list[str]:
    """Keys of the acquisitions in a patch's raw bands whose pixels are not what was acquired."""
    collections = cube.attributes.get("collections", {})
    own = [name for name in cube.grids if name not in collections]
    of = [(cube.attributes["acquisitions"], own)]
    of += [(one["acquisitions"], [name]) for name, one in collections.items()]
    return [
        str(facts["key"])
        for acquisitions, grids in of
        for position, facts in enumerate(acquisitions)
        if not is_whole(Held(facts, origin, position, sure=False), grids)
    ]


def is_whole(one: Held, grids: Iterable[str]) -> bool:
    """Whether its pixels, on all grids, are those that were acquired; False where they cannot be
    read. Raises PlatformError where they cannot be reached."""
    prefixes = [f"{grid}/" if grid else "" for grid in grids]
    try:
        pixels = [
            tuple(one.origin.part(f"{at}{layer}", one.position) for layer in ("bands", "data_mask"))
            for at in prefixes
        ]
    except PlatformError as error:
        if not error.damaged:
            raise
        return False
    return fingerprint(pixels) == one.facts.get("hash")


def marked(marks: Iterable[Mapping[str, Any]], origin: Origin) -> Iterator[Held]:
    """Those that came before the acquiring of a patch's year was broken off."""
    for mark in marks:
        yield Held(mark["facts"], origin, mark["position"], sure=True)


def mark(position: int, facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `marked` is told of an acquisition."""
    return {"position": position, "facts": facts}


def identity(acquisition: Acquisition) -> Any:
    """What tells an acquisition, and its processing, from another."""
    return [acquisition.key, list(acquisition.items), sorted(acquisition.properties.items())]


def is_of(facts: Mapping[str, Any], acquisition: Acquisition) -> bool:
    """Whether facts that are held are those of an acquisition as the archive has it now."""
    told = [facts["key"], facts["items"], sorted(map(tuple, facts["properties"].items()))]
    return bool(told == identity(acquisition))


def fingerprint(pixels: Iterable[tuple[NDArray[Any], ...]]) -> str:
    """A hash of values and data mask, as they were read on one grid after another."""
    found = hashlib.blake2b(digest_size=16)
    for values, mask in pixels:
        found.update(np.ascontiguousarray(values, np.uint16).reshape(-1).data)
        found.update(np.packbits(mask.astype(bool)).tobytes())
    return found.hexdigest()
