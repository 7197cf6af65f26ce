"""Stored acquisitions of a patch in a year, which need not be acquired again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lc_platform.cube import Cube, Origin
from lc_platform.errors import PlatformError
from lc_platform.products.raw_bands import ADDRESSES, SUN
from lc_platform.runtime.progress import track
from lc_platform.sources.protocol import Acquisition, BandContent

STATES = "states"
"""Among an acquisition's facts: the states of its bands' files when they were read."""
LINKS, TAGS = "links", "tags"
"""Further facts, for files whose change only their server can show: the state without the archive's
times, and the tag that the server gave when the file was read."""


class ReusableAcquisition(NamedTuple):
    """An acquisition, and where its pixels are."""

    facts: Mapping[str, Any]
    origin: Origin
    position: int
    """Along time in the origin."""
    verified: bool
    """Whether the pixels are known to match the facts' hash."""


def stored(cube: Cube, origin: Origin, *, verified: bool) -> Iterator[ReusableAcquisition]:
    """Return the acquisitions of a patch's raw bands."""
    lists: list[Iterable[Mapping[str, Any]]] = [cube.attributes.get("acquisitions", ())]
    lists += [one["acquisitions"] for one in cube.attributes.get("collections", {}).values()]
    for acquisitions in lists:
        for position, facts in enumerate(acquisitions):
            yield ReusableAcquisition(facts, origin, position, verified)


def damaged(cube: Cube, origin: Origin) -> list[str]:
    """Return the keys of the acquisitions whose pixels are not what was acquired."""
    collections = cube.attributes.get("collections", {})
    own = [name for name in cube.grids if name not in collections]
    of = [(cube.attributes["acquisitions"], own)]
    of += [(one["acquisitions"], [name]) for name, one in collections.items()]
    stored = [
        (ReusableAcquisition(facts, origin, position, verified=False), grids)
        for acquisitions, grids in of
        for position, facts in enumerate(acquisitions)
    ]
    return [
        str(one.facts["key"])
        for one, grids in track(stored, "acquisitions", len(stored))
        if not is_whole(one, grids)
    ]


def is_whole(one: ReusableAcquisition, grids: Iterable[str]) -> bool:
    """Whether an acquisition's pixels, on all grids, are those that were acquired; False where they
    are damaged. Raises PlatformError where they cannot be reached."""
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


def from_checkpoints(
    checkpoints: Iterable[Mapping[str, Any]], origin: Origin
) -> Iterator[ReusableAcquisition]:
    """Return the acquisitions that were read before an unfinished write stopped."""
    for content in checkpoints:
        yield ReusableAcquisition(content["facts"], origin, content["position"], verified=True)


def checkpoint_content(position: int, facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what a checkpoint holds of an acquisition, for `from_checkpoints`."""
    return {"position": position, "facts": facts}


def identity(acquisition: Acquisition, bands: Iterable[str]) -> Any:
    """Return what distinguishes an acquisition from another, and from itself before a correction.

    bands  those that are read
    """
    files = {
        band: [content.scale, content.offset, content.state]
        for band, content in _contents(acquisition, bands).items()
    }
    items = identity_without_files(acquisition)
    return [*items, _time(acquisition), files] if files else items


def identity_without_files(acquisition: Acquisition) -> Any:
    """Return the same without the state of its files, which was not recorded at first."""
    return [acquisition.key, list(acquisition.items), sorted(acquisition.properties.items())]


def changed(
    facts: Mapping[str, Any], acquisition: Acquisition, grids: Mapping[str, Sequence[str]]
) -> frozenset[str] | None:
    """Return the bands whose files have changed since they were read, an empty set where none has;
    None where it is another acquisition, or all of it must be read.

    facts  of the stored acquisition
    grids  prefix of a grid's facts -> the bands that are read on it

    Where the facts have no states of files, a band counts as changed if its scale or offset has.
    """
    bands = dict.fromkeys(band for of in grids.values() for band in of)
    if [facts["key"], facts["items"]] != identity_without_files(acquisition)[:2]:
        return None
    contents, states = _contents(acquisition, bands), facts.get(STATES)
    if states is not None:
        now = {band: content.state for band, content in contents.items()}
        return frozenset(band for band in bands if now.get(band) != states.get(band))
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


def archive_facts(acquisition: Acquisition, grids: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the facts that the archive gives of an acquisition, whether or not it is read.

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
    if any(acquisition.addresses):
        facts[ADDRESSES] = list(acquisition.addresses)
    if acquisition.sun is not None:
        facts |= dict(zip(SUN, acquisition.sun, strict=True))
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
    """Return a hash of values and data mask on one grid after another."""
    found = hashlib.blake2b(digest_size=16)
    for values, mask in pixels:
        found.update(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)
        found.update(np.packbits(mask.astype(bool)).tobytes())
    return found.hexdigest()
