"""From archives to a patch's year of raw bands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from statistics import fmean
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.acquisition.corrections import Reused, reusable, updated
from lc_platform.acquisition.read_plan import Grid, Plan, plans
from lc_platform.acquisition.reuse import (
    STATES,
    TAGS,
    ReusableAcquisition,
    as_told,
    changed,
    fingerprint,
    identity,
    mark,
    named_alone,
)
from lc_platform.area.grid import Patch
from lc_platform.catalogue import SENTINEL2_BANDS
from lc_platform.cube import (
    Block,
    Checkpoint,
    LazyCube,
    ReusedPart,
    Summary,
    Thumbnail,
    stretched,
    whole,
)
from lc_platform.eo.plausibility import implausible
from lc_platform.errors import DataError, PlatformError, naming
from lc_platform.products.options import AcquisitionOptions
from lc_platform.products.raw_bands import DETECTOR
from lc_platform.runtime import interruption
from lc_platform.runtime.progress import track
from lc_platform.sources.protocol import (
    Acquisition,
    Cost,
    MissingBandError,
    Pixels,
    QuotaError,
    Source,
    SourceError,
    TransientSourceError,
)

TRUE_COLOUR = ("B04", "B03", "B02")
IMPLAUSIBLE = "implausible"
"""Among an acquisition's facts: what of its values cannot be, in words; absent where all can."""
IN_MEMORY = 2**29
"""Bytes of acquisitions that are read at the same time, beyond the first."""
_LOOKING = 0.2
"""Seconds between two looks whether the work is to end, while an acquisition is on its way."""
_GRACE = 10.0
"""Seconds that those on their way are waited for when it is."""
COVERED = 0.2
"""Share of a patch that an acquisition covers by its footprint, from which on it must have data
there; footprints are drawn roughly, so that a corner may have none."""


class NoAcquisitionError(DataError):
    """The archive has nothing usable for a patch in a year."""


@dataclass(frozen=True)
class SearchResult:
    """What the archives have of a patch in a year, and is to be acquired."""

    patch: Patch
    year: int
    acquisitions: Sequence[Acquisition]
    """Of the main collection."""
    too_cloudy: int
    """Acquisitions that it has beside them."""
    options: AcquisitionOptions
    """By which it was searched for, and is acquired."""
    auxiliary: Mapping[str, Sequence[Acquisition]] = field(default_factory=dict)
    """Of further collections by their names; there may be none."""
    plans: Sequence[Plan] = ()
    """How each collection is read."""
    as_before: bool = False
    """Whether it is named as offers were whose files were not looked at."""

    @property
    def named(self) -> Any:
        """What tells one offer from another: items, what is known of their processing, and the
        state of their files."""
        return self.named_alone if self.as_before else self._named(identity)

    @property
    def named_alone(self) -> Any:
        """The same without the files."""
        return self._named(lambda acquisition, _: named_alone(acquisition))

    def is_as(self, held: Iterable[ReusableAcquisition]) -> bool:
        """Whether what is held from a time when files were not looked at is all of the offer, and
        nothing tells that any of it has changed since."""
        known = [one.facts for one in held if STATES not in one.facts]
        return all(
            any(
                facts["key"] == acquisition.key
                and changed(facts, acquisition, plan.bands) == frozenset()
                for facts in known
            )
            for plan, found in self._by_plan
            for acquisition in found
        )

    @property
    def _by_plan(self) -> list[tuple[Plan, Sequence[Acquisition]]]:
        found = {"": self.acquisitions, **self.auxiliary}
        return [(plan, found[plan.name]) for plan in self.plans]

    def _named(self, identity: Callable[[Acquisition, Iterable[str]], Any]) -> Any:
        named = {
            plan.name: [identity(one, plan.all_bands) for one in found]
            for plan, found in self._by_plan
        }
        main = named.pop("")
        return [main, named] if named else main


def offer(
    source: Source,
    patch: Patch,
    year: int,
    options: AcquisitionOptions,
    auxiliary: Mapping[str, Source] = MappingProxyType({}),
) -> SearchResult:
    """Search the archive, and those of further collections by their names.

    Raises NoAcquisitionError where the main collection has none, SourceError where an archive
    cannot be searched.
    """
    start, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    limit = options.max_cloud_cover

    def found(archive: Source) -> tuple[list[Acquisition], list[Acquisition]]:
        """All that is not left out by its key, and of these what is not too cloudy."""
        there = [
            acquisition
            for acquisition in archive.search(patch.geobox.extent, start, end)
            if acquisition.key not in options.exclude
        ]
        return there, [a for a in there if a.cloud_cover is None or a.cloud_cover <= limit]

    there, kept = found(source)
    if not kept:
        raise NoAcquisitionError(_nothing(patch, year, options, there))
    others = {name: found(archive)[1] for name, archive in auxiliary.items()}
    read_as = plans(patch, options)
    return SearchResult(patch, year, kept, len(there) - len(kept), options, others, read_as)


@dataclass(frozen=True)
class _Collection:
    """What of one collection is to be there in the end."""

    source: Source
    plan: Plan
    wanted: Sequence[Acquisition]
    collection: str
    """Its id."""


def acquire(
    source: Source,
    offer: SearchResult,
    held: Sequence[ReusableAcquisition] = (),
    auxiliary: Mapping[str, Source] = MappingProxyType({}),
) -> LazyCube:
    """Every acquisition of an offer, as the archives have it.

    held     what is there from before: it is taken over where the archive has nothing newer, and
             what is not known to be whole is looked at first
    further  archives of further collections by their names

    Raises SourceError where an archive cannot give an acquisition; those that were under way are
    waited for and marked, so that they need not be acquired again. Raises QuotaError where nothing
    more can be had.
    """
    options = offer.options
    main, *others = offer.plans
    ids = {one.name: one.collection for one in options.auxiliary}
    collections = [_Collection(source, main, offer.acquisitions, options.collection)]
    collections += [
        _Collection(auxiliary[p.name], p, offer.auxiliary[p.name], ids[p.name]) for p in others
    ]
    attributes: dict[str, Any] = {
        "patch": offer.patch.key,
        "year": offer.year,
        "margin": main.margin,
        "collection": options.collection,
        "acquisitions": [],
    }
    if others:
        attributes["collections"] = {
            one.name: {"collection": one.collection, "acquisitions": []}
            for one in options.auxiliary
        }

    def blocks(summary: Summary) -> Iterator[Block | ReusedPart | Checkpoint]:
        told: list[dict[int, Mapping[str, Any]]] = [{} for _ in collections]
        found = [reusable(of.plan, of.wanted, held) for of in collections]
        for of, facts, there in zip(collections, told, found, strict=True):
            for position, one in there.items():
                if one.changed:
                    continue
                facts[position] = _still_plausible(
                    of, one.held, as_told(of.wanted[position], of.plan.bands)
                )
                for layer in of.plan.layers:
                    yield ReusedPart(layer, position, one.held.origin, one.held.position)
                yield _mark(of.plan, position, facts[position], new=False)
        kept = sum(map(len, told))
        picture, spent = _ClearestPicture(main.grids[0]), Cost()
        for of, facts, there in zip(collections, told, found, strict=True):
            # What has come is written before the work ends: it stops where the next is asked for.
            new = _arriving(of, there, options)
            for position, pixels, known in track(
                new, "acquisitions", len(of.wanted) - len(facts), stops=False
            ):
                facts[position] = known
                for grid, read in zip(of.plan.grids, pixels, strict=True):
                    yield from _blocks(grid, position, read)
                    spent += read.cost
                yield _mark(of.plan, position, facts[position])
                if of.plan is main:
                    picture.offer(position, pixels[0])
            _list(attributes, of.plan).extend(facts[position] for position in sorted(facts))
        summary.warnings |= {
            str(one["key"]): one[IMPLAUSIBLE]
            for facts in told
            for one in facts.values()
            if IMPLAUSIBLE in one
        }
        summary.picture = picture.best
        summary.facts |= {
            "acquisitions": len(offer.acquisitions),
            **{f"acquisitions_{name}": len(found) for name, found in offer.auxiliary.items()},
            "acquisitions_new": sum(map(len, told)) - kept,
            "acquisitions_too_cloudy": offer.too_cloudy,
            "valid_fraction": fmean(one["data_fraction"] for one in told[0].values()),
            "bands": ", ".join(main.grids[0].bands),
        }
        if spent != Cost():
            summary.facts |= {
                "requests": spent.requests,
                "processing_units": round(spent.processing_units, 3),
                "bytes_moved": spent.bytes,
            }

    coordinates: dict[str, NDArray[Any]] = {}
    for of in collections:
        coordinates |= _coordinates(of.plan, of.wanted)
    return LazyCube(
        {grid.name: grid.geobox for of in collections for grid in of.plan.grids},
        {name: layer for of in collections for name, layer in of.plan.layers.items()},
        blocks,
        coordinates,
        attributes,
        calibrations=lambda: {
            f"{grid.prefix}bands": of.plan.calibration(grid, _list(attributes, of.plan))
            for of in collections
            for grid in of.plan.grids
        },
    )


def _list(attributes: dict[str, Any], of: Plan) -> list[Any]:
    """Where the facts of a collection's acquisitions are listed."""
    told = attributes["collections"][of.name] if of.name else attributes
    listed: list[Any] = told["acquisitions"]
    return listed


def _coordinates(of: Plan, acquisitions: Sequence[Acquisition]) -> dict[str, NDArray[Any]]:
    times = [a.datetime.replace(tzinfo=None) for a in acquisitions]
    found: dict[str, NDArray[Any]] = {of.time: np.array(times, dtype="datetime64[s]")}
    return found | {f"{grid.prefix}band": np.array(grid.bands) for grid in of.grids}


_Result = tuple[list[Pixels], dict[str, Any]]
"""An acquisition's pixels on each grid, and its facts."""


def _arriving(
    of: _Collection, there: Mapping[int, Reused], options: AcquisitionOptions
) -> Iterator[tuple[int, list[Pixels], dict[str, Any]]]:
    """The positions that are not all there yet, with the acquisition's pixels on each grid and its
    facts, as they come: what has come is stored while others are still read.

    Where one cannot be had, or the work is to end, no further one is asked for, and the error is
    raised after those that were under way have come.
    """

    def read(position: int) -> _Result:
        acquisition = of.wanted[position]
        reused = there.get(position)
        with naming(f"acquisition {acquisition.key}"):
            try:
                pixels = [
                    of.source.read(acquisition, g.geobox, g.bands)
                    if reused is None
                    else updated(of.source, acquisition, g, reused)
                    for g in of.plan.grids
                ]
            except MissingBandError as error:
                raise _with_who_needs_it(error, of, options) from error
            for grid, one in zip(of.plan.grids, pixels, strict=True):
                _check(acquisition, grid, one)
            return pixels, _facts(of, position, pixels)

    together = max(1, min(options.connections, IN_MEMORY // of.plan.bytes))
    ahead = together if of.source.remote else 1
    failures: dict[int, Exception] = {}
    stopped: BaseException | None = None
    waiting: dict[Future[_Result], int] = {}
    left = iter([n for n in range(len(of.wanted)) if n not in there or there[n].changed])
    with ThreadPoolExecutor(ahead, thread_name_prefix="acquire") as pool, _broken_off(of.source):
        while True:
            if stopped is None and not failures and interruption.requested():
                stopped = interruption.StopRequested()
            while stopped is None and not failures and len(waiting) < ahead:
                position = next(left, None)
                if position is None:
                    break
                waiting[pool.submit(read, position)] = position
            if not waiting:
                break
            future = _first_of(waiting)
            position = waiting.pop(future)
            try:
                pixels, facts = future.result()
            except Exception as error:
                failures[position] = error
                continue
            yield position, pixels, facts
    # The same whichever came first; but nobody need try again where the quota is spent.
    spent = [n for n, error in failures.items() if isinstance(error, QuotaError)]
    if stopped is not None and not spent:
        raise stopped
    if failures:
        raise failures[min(spent or failures)]


def _with_who_needs_it(
    error: MissingBandError, of: _Collection, options: AcquisitionOptions
) -> SourceError:
    """The same error, saying which key of the configuration asks for the band."""
    needed = options.needed_for.get(error.band) or [f"clouds.method: {options.cloud_method}"]
    keys = [f"imagery.also: {of.plan.name}"] if of.plan.name else needed
    remedy = "Take it out there, or use an archive that has it"
    if [key.partition(":")[0] for key in keys] == ["statistics.index"]:
        remedy = (
            "No feature needs it: set statistics.index to an index of bands that there are, or to "
            "none"
        )
    told = str(error).rstrip(".")
    return SourceError(f"{told}. {error.band} is needed for {' and '.join(keys)}. {remedy}")


def _first_of(waiting: Mapping[Future[_Result], int]) -> Future[_Result]:
    """The first read that has ended. Raises StopRequested where none does long after the work was
    to end."""
    come: set[Future[_Result]] = set()
    while not come and not interruption.requested():
        come = wait(waiting, _LOOKING, FIRST_COMPLETED).done
    come = come or wait(waiting, _GRACE, FIRST_COMPLETED).done
    if not come:
        raise interruption.StopRequested
    return min(come, key=waiting.__getitem__)


@contextmanager
def _broken_off(source: Source) -> Iterator[None]:
    """Have a read that ends before its time (Ctrl+C, or nobody takes the rest) not wait for an
    archive's retries."""
    try:
        yield
    except BaseException:
        if source.remote:
            source.stop()
        raise


def _check(acquisition: Acquisition, grid: Grid, pixels: Pixels) -> None:
    """Raises SourceError where the archive has given something else than was asked for."""
    shape = tuple(grid.geobox.shape)
    given = pixels.values.shape, pixels.data_mask.shape
    if given != ((len(grid.bands), *shape), shape) or pixels.values.dtype != np.uint16:
        raise TransientSourceError(
            f"acquisition {acquisition.key}: {pixels.values.dtype} of {given[0]} with a mask of "
            f"{given[1]} came, and not uint16 of {(len(grid.bands), *shape)}. Run again"
        )
    if grid.name != DETECTOR and acquisition.coverage >= COVERED and not pixels.data_mask.any():
        raise TransientSourceError(
            f"acquisition {acquisition.key}: no pixel has data, and by the archive's catalog it "
            f"covers {acquisition.coverage:.0%} of the patch. Run again later; if that stays, "
            f"leave it out by imagery.exclude: [{acquisition.key}]"
        )


def _mark(of: Plan, position: int, facts: Mapping[str, Any], *, new: bool = True) -> Checkpoint:
    return Checkpoint(f"{of.name}-{position}", mark(position, facts), new)


def _blocks(grid: Grid, position: int, pixels: Pixels) -> Iterator[Block]:
    here = slice(position, position + 1)
    values, mask = pixels.values[None], pixels.data_mask[None].astype(np.uint8)
    yield Block(f"{grid.prefix}bands", (here, slice(None)), whole(grid.geobox), values)
    yield Block(f"{grid.prefix}data_mask", (here,), whole(grid.geobox), mask)


def _facts(of: _Collection, position: int, pixels: Sequence[Pixels]) -> dict[str, Any]:
    facts = as_told(of.wanted[position], of.plan.bands) | {
        "data_fraction": float(pixels[0].data_mask.mean()),
        "hash": fingerprint([(one.values, one.data_mask) for one in pixels]),
        "read_as": of.plan.described(),
    }
    for grid, one in zip(of.plan.grids, pixels, strict=True):
        facts |= {
            f"{grid.facts}scale": one.scale.tolist(),
            f"{grid.facts}offset": one.offset.tolist(),
        }
    if tags := {band: tag for one in pixels for band, tag in one.tags.items()}:
        facts[TAGS] = tags
    return facts | _judged(of, pixels[0].values, pixels[0].data_mask, facts)


def _still_plausible(
    of: _Collection, held: ReusableAcquisition, told: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Facts of an acquisition that is taken over as it is: what its pixels are, and what the
    archive tells now."""
    facts = {**held.facts, **told}
    if all(facts[name] == held.facts[name] for name in ("scale", "offset")):
        return facts
    facts.pop(IMPLAUSIBLE, None)
    prefix = of.plan.grids[0].prefix
    try:
        values, mask = (
            held.origin.part(f"{prefix}{layer}", held.position) for layer in ("bands", "data_mask")
        )
    except PlatformError as error:
        if not error.damaged:
            raise
        return facts  # of a writing that did not end: it may be taken over, and not be read
    return facts | _judged(of, values, mask.astype(bool), facts)


def _judged(
    of: _Collection,
    values: NDArray[np.uint16],
    mask: NDArray[np.bool_],
    facts: Mapping[str, Any],
) -> dict[str, str]:
    """What of an acquisition's values cannot be, as a fact; none where all can."""
    bands = of.plan.grids[0].bands
    bright = SENTINEL2_BANDS if not of.plan.name and "sentinel-2" in of.collection else ()
    words = implausible(values, mask, facts["scale"], facts["offset"], bands, bright)
    return {IMPLAUSIBLE: words} if words else {}


def _nothing(
    patch: Patch, year: int, options: AcquisitionOptions, too_cloudy: list[Acquisition]
) -> str:
    longitude, latitude = patch.centre
    place = (
        f"the patch lies at {abs(latitude):.2f}{'N' if latitude >= 0 else 'S'} "
        f"{abs(longitude):.2f}{'E' if longitude >= 0 else 'W'}"
    )
    if too_cloudy:
        clearest = min(too_cloudy, key=lambda a: a.cloud_cover or 0.0)
        return (
            f"patch {patch.key}, {year}: none of {len(too_cloudy)} acquisitions between "
            f"{year}-01-01 and {year}-12-31 in {options.collection} has at most "
            f"{options.max_cloud_cover:g} % cloud (the clearest, {clearest.key}, has "
            f"{clearest.cloud_cover:g} %). Raise imagery.max_cloud_cover, or check the area (aoi): "
            f"{place}"
        )
    return (
        f"patch {patch.key}, {year}: no acquisition between {year}-01-01 and {year}-12-31 in "
        f"{options.collection}. Check years, imagery.collection and the area (aoi): {place}"
    )


class _ClearestPicture:
    """True colour of the acquisition that is darkest in the blue among the most complete."""

    def __init__(self, grid: Grid) -> None:
        self.best: NDArray[np.uint8] | None = None
        self._score = (-1, 0.0, 0)
        shown = [b for b in TRUE_COLOUR if b in grid.bands] or [grid.bands[0]]
        self._positions = [grid.bands.index(b) for b in (shown * 3)[:3]]
        self._geobox = grid.geobox

    def offer(self, position: int, pixels: Pixels) -> None:
        small = Thumbnail(self._geobox.shape)
        values = pixels.values[self._positions]
        small.update(whole(self._geobox), values)
        scale, offset = (v[self._positions][:, None, None] for v in (pixels.scale, pixels.offset))
        colours = small.values * scale + offset
        blue = float(np.quantile(colours[2], 0.9))
        # Of two alike the first in time, whichever came first.
        score = (round(float(pixels.data_mask.mean()) * 10), -blue, -position)
        if score > self._score or self.best is None:
            self._score = score
            self.best = stretched(np.moveaxis(colours, 0, -1), 0.0, 0.3)
