"""Acquisitions of a patch's year that are there from before, and need not be acquired again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lc_platform.cube import Cube, Origin
from lc_platform.errors import PlatformError
from lc_platform.runtime.progress import track
from lc_platform.sources.protocol import Acquisition, BandContent

STATES = "states"
"""Among an acquisition's facts: those of its bands' files, as they were when they were read."""
LINKS, TAGS = "links", "tags"
"""Among them too, where nothing but a server tells whether a file is another one: what its state
is without the times that the archive tells, and what the server told it by when it was read."""


class ReusableAcquisition(NamedTuple):
    """An acquisition, and where its pixels are."""

    facts: Mapping[str, Any]
    origin: Origin
    position: int
    """Along time there."""
    sure: bool
    """Whether the pixels are what the facts' hash says, or that is yet to be seen."""


def stored(cube: Cube, origin: Origin, *, sure: bool) -> Iterator[ReusableAcquisition]:
    """Those of a patch's raw bands."""
    told: list[Iterable[Mapping[str, Any]]] = [cube.attributes.get("acquisitions", ())]
    told += [one["acquisitions"] for one in cube.attributes.get("collections", {}).values()]
    for acquisitions in told:
        for position, facts in enumerate(acquisitions):
            yield ReusableAcquisition(facts, origin, position, sure)


def damaged(cube: Cube, origin: Origin) -> list[str]:
    """Keys of the acquisitions in a patch's raw bands whose pixels are not what was acquired."""
    collections = cube.attributes.get("collections", {})
    own = [name for name in cube.grids if name not in collections]
    of = [(cube.attributes["acquisitions"], own)]
    of += [(one["acquisitions"], [name]) for name, one in collections.items()]
    held = [
        (ReusableAcquisition(facts, origin, position, sure=False), grids)
        for acquisitions, grids in of
        for position, facts in enumerate(acquisitions)
    ]
    return [
        str(one.facts["key"])
        for one, grids in track(held, "acquisitions", len(held))
        if not is_whole(one, grids)
    ]


def is_whole(one: ReusableAcquisition, grids: Iterable[str]) -> bool:
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


def marked(marks: Iterable[Mapping[str, Any]], origin: Origin) -> Iterator[ReusableAcquisition]:
    """Those that came before the acquiring of a patch's year was broken off."""
    for mark in marks:
        yield ReusableAcquisition(mark["facts"], origin, mark["position"], sure=True)


def mark(position: int, facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """What `marked` is told of an acquisition."""
    return {"position": position, "facts": facts}


def identity(acquisition: Acquisition, bands: Iterable[str]) -> Any:
    """What tells an acquisition as the archive has it now from another, and from itself before a
    correction; ``bands`` are those that are read."""
    told = {
        band: [content.scale, content.offset, content.state]
        for band, content in _contents(acquisition, bands).items()
    }
    named = named_alone(acquisition)
    return [*named, _time(acquisition), told] if told else named


def named_alone(acquisition: Acquisition) -> Any:
    """The same without what is told of its files: all that was once looked at."""
    return [acquisition.key, list(acquisition.items), sorted(acquisition.properties.items())]


def changed(
    facts: Mapping[str, Any], acquisition: Acquisition, grids: Mapping[str, Sequence[str]]
) -> frozenset[str] | None:
    """The bands whose files have changed since they were read: none where all that was read is what
    would be read now. None where it is another acquisition, or all of it is to be read.

    facts  that are held
    grids  prefix of a grid's facts -> the bands that are read on it

    Where the facts tell no states of files, as before these were looked at, nothing counts as
    changed whose scale and offset are still those that were told.
    """
    bands = dict.fromkeys(band for of in grids.values() for band in of)
    if [facts["key"], facts["items"]] != named_alone(acquisition)[:2]:
        return None
    contents, states = _contents(acquisition, bands), facts.get(STATES)
    if states is not None:
        told = {band: content.state for band, content in contents.items()}
        return frozenset(band for band in bands if told.get(band) != states.get(band))
    if sorted(map(list, facts["properties"].items())) != [
        list(one) for one in sorted(acquisition.properties.items())
    ]:
        return None
    was = {
        band: calibration
        for prefix, of in grids.items()
        for band, *calibration in zip(
            of, facts[f"{prefix}scale"], facts[f"{prefix}offset"], strict=True
        )
    }
    same = all(was[band] == [one.scale, one.offset] for band, one in contents.items())
    return frozenset() if same else None


def as_told(acquisition: Acquisition, grids: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Facts that the archive tells of an acquisition, whether or not it is read.

    grids  prefix of a grid's facts -> the bands that are read on it
    """
    facts: dict[str, Any] = {
        "key": acquisition.key,
        "datetime": _time(acquisition),
        "items": list(acquisition.items),
        "platform": acquisition.platform,
        "cloud_cover": acquisition.cloud_cover,
        "properties": dict(acquisition.properties),
    }
    bands = dict.fromkeys(band for of in grids.values() for band in of)
    contents = _contents(acquisition, bands)
    if contents:
        facts[STATES] = {band: content.state for band, content in contents.items()}
        if links := {band: content.link for band, content in contents.items() if content.link}:
            facts[LINKS] = links
    for prefix, of in grids.items():
        if all(band in contents for band in of):
            facts[f"{prefix}scale"] = [contents[band].scale for band in of]
            facts[f"{prefix}offset"] = [contents[band].offset for band in of]
    return facts


def _contents(acquisition: Acquisition, bands: Iterable[str]) -> dict[str, BandContent]:
    found = {band: acquisition.bands.get(band) for band in bands}
    return {band: content for band, content in found.items() if content is not None}


def _time(acquisition: Acquisition) -> str:
    return acquisition.datetime.replace(tzinfo=None).isoformat(timespec="seconds")


def fingerprint(pixels: Iterable[tuple[NDArray[Any], ...]]) -> str:
    """A hash of values and data mask, as they were read on one grid after another."""
    found = hashlib.blake2b(digest_size=16)
    for values, mask in pixels:
        found.update(np.ascontiguousarray(values, np.uint16).reshape(-1).data)
        found.update(np.packbits(mask.astype(bool)).tobytes())
    return found.hexdigest()
