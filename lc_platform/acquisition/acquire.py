"""From archives to a patch's year of raw bands."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import fmean
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.acquisition.corrections import Reused, reusable, updated
from lc_platform.acquisition.read_plan import Grid, Plan
from lc_platform.acquisition.reuse import (
    TAGS,
    ReusableAcquisition,
    archive_facts,
    checkpoint_content,
    fingerprint,
)
from lc_platform.acquisition.search import SearchResult
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
from lc_platform.eo.season import CALENDAR_YEAR
from lc_platform.errors import PlatformError, naming
from lc_platform.products.handle import SEASON
from lc_platform.products.options import AcquisitionOptions
from lc_platform.products.raw_bands import DETECTOR, MAP_MARGIN
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
"""Among an acquisition's facts: which of its values are impossible; absent where none is."""
IN_MEMORY = 2**29
"""Bytes of acquisitions that are read at the same time, beyond the first."""
_POLL = 0.2
"""Seconds between two checks whether the work must end, while an acquisition is being read."""
_GRACE = 10.0
"""Seconds for which acquisitions that are being read are waited for then."""
COVERED = 0.2
"""Share of a patch that an acquisition must cover by its footprint to be expected to have data;
footprints are rough, so that a corner may have none."""


@dataclass(frozen=True)
class _Collection:
    """What is acquired of one collection."""

    source: Source
    plan: Plan
    wanted: Sequence[Acquisition]
    collection: str
    """Its id."""


def acquire(
    source: Source,
    found: SearchResult,
    stored: Sequence[ReusableAcquisition] = (),
    auxiliary: Mapping[str, Source] = MappingProxyType({}),
    beside: Callable[[], Sequence[ReusableAcquisition]] = tuple,
) -> LazyCube:
    """Return a lazy cube of all acquisitions that were found, as the archives have them.

    stored     acquisitions from before: each is reused unless the archive has a newer one; one that
               is not known to be whole is read first
    auxiliary  archives of the auxiliary collections, by name
    beside     gives what the years before and after have of the patch, whose seasons may share
               acquisitions with this one; asked again when those of the year before are due, which
               come last, so that of two years that are acquired at the same time one reads them

    Raises SourceError where an archive cannot give an acquisition; those that are being read are
    waited for and get a checkpoint, so that they need not be acquired again. Raises QuotaError
    where nothing more can be acquired.
    """
    options = found.options
    main, *others = found.plans
    ids = {one.name: one.collection for one in options.auxiliary}
    collections = [_Collection(source, main, found.acquisitions, options.collection)]
    collections += [
        _Collection(auxiliary[p.name], p, found.auxiliary[p.name], ids[p.name]) for p in others
    ]
    attributes: dict[str, Any] = {
        "patch": found.patch.key,
        "year": found.year,
        "margin": main.margin,
        "collection": options.collection,
        "acquisitions": [],
    }
    if options.season != CALENDAR_YEAR:
        attributes[SEASON] = options.season.described
    if options.map_margin:
        attributes[MAP_MARGIN] = options.map_margin
    if others:
        attributes["collections"] = {
            one.name: {"collection": one.collection, "acquisitions": []}
            for one in options.auxiliary
        }

    def blocks(summary: Summary) -> Iterator[Block | ReusedPart | Checkpoint]:
        listed: list[dict[int, Mapping[str, Any]]] = [{} for _ in collections]
        picture, spent, kept = _ClearestPicture(main.grids[0]), Cost(), 0
        for part in _in_turns(found, collections):
            known = [*stored, *beside()]
            reused = [
                reusable(of.plan, of.wanted, known, positions)
                for of, positions in zip(collections, part, strict=True)
            ]
            for of, facts, there in zip(collections, listed, reused, strict=True):
                for position, one in there.items():
                    if one.changed:
                        continue
                    kept += 1
                    facts[position] = _still_plausible(
                        of, one.acquisition, archive_facts(of.wanted[position], of.plan.bands)
                    )
                    for layer in of.plan.layers:
                        yield ReusedPart(
                            layer, position, one.acquisition.origin, one.acquisition.position
                        )
                    yield _checkpoint(of.plan, position, facts[position], new=False)
            for of, facts, there, positions in zip(collections, listed, reused, part, strict=True):
                left = [n for n in positions if n not in facts]
                # What has been read is written before the work ends: it stops before the next one.
                new = _read_new(of, there, left, options)
                for position, pixels, its in track(new, "acquisitions", len(left), stops=False):
                    facts[position] = its
                    for grid, read in zip(of.plan.grids, pixels, strict=True):
                        yield from _blocks(grid, position, read)
                        spent += read.cost
                    yield _checkpoint(of.plan, position, its)
                    if of.plan is main:
                        picture.consider(position, pixels[0])
        for of, facts in zip(collections, listed, strict=True):
            _list(attributes, of.plan).extend(facts[position] for position in sorted(facts))
        summary.warnings |= {
            str(one["key"]): one[IMPLAUSIBLE]
            for facts in listed
            for one in facts.values()
            if IMPLAUSIBLE in one
        }
        summary.picture = picture.best
        summary.facts |= {
            "acquisitions": len(found.acquisitions),
            **{f"acquisitions_{name}": len(one) for name, one in found.auxiliary.items()},
            "acquisitions_new": sum(map(len, listed)) - kept,
            "acquisitions_too_cloudy": found.too_cloudy,
            "valid_fraction": fmean(one["data_fraction"] for one in listed[0].values()),
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


def _in_turns(found: SearchResult, collections: Sequence[_Collection]) -> list[list[list[int]]]:
    """Return the positions of each collection's acquisitions that are dealt with one after the
    other: in a first turn those that the year after has too, and all others; in a second one those
    of the year before."""
    turns: list[list[list[int]]] = [[], []]
    for of in collections:
        before = [found.is_of_year_before(one) for one in of.wanted]
        turns[0].append(
            sorted(
                (n for n in range(len(of.wanted)) if not before[n]),
                key=lambda n: not found.is_of_year_after(of.wanted[n]),
            )
        )
        turns[1].append([n for n in range(len(of.wanted)) if before[n]])
    return [turn for turn in turns if any(turn)]


def _list(attributes: dict[str, Any], of: Plan) -> list[Any]:
    """Return the list of a collection's acquisitions in the attributes."""
    section = attributes["collections"][of.name] if of.name else attributes
    listed: list[Any] = section["acquisitions"]
    return listed


def _coordinates(of: Plan, acquisitions: Sequence[Acquisition]) -> dict[str, NDArray[Any]]:
    times = [a.datetime.replace(tzinfo=None) for a in acquisitions]
    found: dict[str, NDArray[Any]] = {of.time: np.array(times, dtype="datetime64[s]")}
    return found | {f"{grid.prefix}band": np.array(grid.bands) for grid in of.grids}


_Result = tuple[list[Pixels], dict[str, Any]]
"""An acquisition's pixels on each grid, and its facts."""


def _read_new(
    of: _Collection,
    there: Mapping[int, Reused],
    positions: Sequence[int],
    options: AcquisitionOptions,
) -> Iterator[tuple[int, list[Pixels], dict[str, Any]]]:
    """Read the acquisitions at some positions, which are not wholly stored; yield their positions,
    pixels on each grid and facts as they come, so that they are written while others are read.

    Where one cannot be read, or the work must end, no further one is begun, and the error is raised
    when those that were begun have ended.
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
                raise _with_reason(error, of, options) from error
            for grid, one in zip(of.plan.grids, pixels, strict=True):
                _check(acquisition, grid, one, of.plan.data_type)
            return pixels, _facts(of, position, pixels)

    together = max(1, min(options.connections, IN_MEMORY // of.plan.bytes))
    ahead = together if of.source.remote else 1
    failures: dict[int, Exception] = {}
    stopped: BaseException | None = None
    waiting: dict[Future[_Result], int] = {}
    left = iter(positions)
    with ThreadPoolExecutor(ahead, thread_name_prefix="acquire") as pool, _stopping(of.source):
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
            future = _first_done(waiting)
            position = waiting.pop(future)
            try:
                pixels, facts = future.result()
            except Exception as error:
                failures[position] = error
                continue
            yield position, pixels, facts
    # The error does not hang on which came first; but a spent quota makes all retries useless.
    spent = [n for n, error in failures.items() if isinstance(error, QuotaError)]
    if stopped is not None and not spent:
        raise stopped
    if failures:
        raise failures[min(spent or failures)]


def _with_reason(
    error: MissingBandError, of: _Collection, options: AcquisitionOptions
) -> SourceError:
    """Return the error with the key of the configuration that needs the band."""
    needed = options.needed_for.get(error.band) or [f"clouds.method: {options.cloud_method}"]
    keys = [f"imagery.also: {of.plan.name}"] if of.plan.name else needed
    remedy = "Take it out there, or use an archive that has it"
    if [key.partition(":")[0] for key in keys] == ["statistics.index"]:
        remedy = (
            "No feature needs it: set statistics.index to an index of bands that there are, or to "
            "none"
        )
    text = str(error).rstrip(".")
    return SourceError(f"{text}. {error.band} is needed for {' and '.join(keys)}. {remedy}")


def _first_done(waiting: Mapping[Future[_Result], int]) -> Future[_Result]:
    """Return the first read that has ended. Raises StopRequested where none ends within the grace
    time after the work should have ended."""
    done: set[Future[_Result]] = set()
    while not done and not interruption.requested():
        done = wait(waiting, _POLL, FIRST_COMPLETED).done
    done = done or wait(waiting, _GRACE, FIRST_COMPLETED).done
    if not done:
        raise interruption.StopRequested
    return min(done, key=waiting.__getitem__)


@contextmanager
def _stopping(source: Source) -> Iterator[None]:
    """Keep a read that is broken off (Ctrl+C, or the rest is not consumed) from waiting for an
    archive's retries."""
    try:
        yield
    except BaseException:
        if source.remote:
            source.stop()
        raise


def _check(acquisition: Acquisition, grid: Grid, pixels: Pixels, data_type: str) -> None:
    """Raise SourceError where the archive has returned something else than was requested."""
    shape = tuple(grid.geobox.shape)
    given = pixels.values.shape, pixels.data_mask.shape
    if given != ((len(grid.bands), *shape), shape) or pixels.values.dtype != data_type:
        raise TransientSourceError(
            f"acquisition {acquisition.key}: {pixels.values.dtype} of {given[0]} with a mask of "
            f"{given[1]} was returned, and not {data_type} of {(len(grid.bands), *shape)}. Run "
            "again"
        )
    if grid.name != DETECTOR and acquisition.coverage >= COVERED and not pixels.data_mask.any():
        raise TransientSourceError(
            f"acquisition {acquisition.key}: no pixel has data, and by the archive's catalog it "
            f"covers {acquisition.coverage:.0%} of the patch. Run again later; if that stays, "
            f"leave it out by imagery.exclude: [{acquisition.key}]"
        )


def _checkpoint(
    of: Plan, position: int, facts: Mapping[str, Any], *, new: bool = True
) -> Checkpoint:
    return Checkpoint(f"{of.name}-{position}", checkpoint_content(position, facts), new)


def _blocks(grid: Grid, position: int, pixels: Pixels) -> Iterator[Block]:
    here = slice(position, position + 1)
    values, mask = pixels.values[None], pixels.data_mask[None].astype(np.uint8)
    yield Block(f"{grid.prefix}bands", (here, slice(None)), whole(grid.geobox), values)
    yield Block(f"{grid.prefix}data_mask", (here,), whole(grid.geobox), mask)


def _facts(of: _Collection, position: int, pixels: Sequence[Pixels]) -> dict[str, Any]:
    facts = archive_facts(of.wanted[position], of.plan.bands) | {
        "data_fraction": float(pixels[0].data_mask.mean()),
        "hash": fingerprint([(one.values, one.data_mask) for one in pixels]),
        "read_as": of.plan.digest(),
    }
    for grid, one in zip(of.plan.grids, pixels, strict=True):
        facts |= {
            f"{grid.facts}scale": one.scale.tolist(),
            f"{grid.facts}offset": one.offset.tolist(),
        }
    if tags := {band: tag for one in pixels for band, tag in one.tags.items()}:
        facts[TAGS] = tags
    return facts | _plausibility(of, pixels[0].values, pixels[0].data_mask, facts)


def _still_plausible(
    of: _Collection, stored: ReusableAcquisition, now: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Return the facts of a reused acquisition: those of its pixels, and the archive's present
    ones."""
    facts = {**stored.facts, **now}
    if all(facts[name] == stored.facts[name] for name in ("scale", "offset")):
        return facts
    facts.pop(IMPLAUSIBLE, None)
    prefix = of.plan.grids[0].prefix
    try:
        values, mask = (
            stored.origin.part(f"{prefix}{layer}", stored.position)
            for layer in ("bands", "data_mask")
        )
    except PlatformError as error:
        if not error.damaged:
            raise
        return facts  # of an unfinished write, which may be reused without being readable
    return facts | _plausibility(of, values, mask.astype(bool), facts)


def _plausibility(
    of: _Collection,
    values: NDArray[Any],
    mask: NDArray[np.bool_],
    facts: Mapping[str, Any],
) -> dict[str, str]:
    """Return the fact that some values of an acquisition are impossible; empty where none is."""
    bands = of.plan.grids[0].bands
    bright = SENTINEL2_BANDS if not of.plan.name and "sentinel-2" in of.collection else ()
    problem = implausible(values, mask, facts["scale"], facts["offset"], bands, bright)
    return {IMPLAUSIBLE: problem} if problem else {}


class _ClearestPicture:
    """True colour of the acquisition that is darkest in the blue among the most complete."""

    def __init__(self, grid: Grid) -> None:
        self.best: NDArray[np.uint8] | None = None
        self._score = (-1, 0.0, 0)
        shown = [b for b in TRUE_COLOUR if b in grid.bands] or [grid.bands[0]]
        self._positions = [grid.bands.index(b) for b in (shown * 3)[:3]]
        self._geobox = grid.geobox

    def consider(self, position: int, pixels: Pixels) -> None:
        small = Thumbnail(self._geobox.shape)
        values = np.where(pixels.data_mask, pixels.values[self._positions], 0)
        small.update(whole(self._geobox), values)
        scale, offset = (v[self._positions][:, None, None] for v in (pixels.scale, pixels.offset))
        colours = small.values * scale + offset
        blue = float(np.quantile(colours[2], 0.9))
        # Of two alike the first in time is taken, whichever was read first.
        score = (round(float(pixels.data_mask.mean()) * 10), -blue, -position)
        if score > self._score or self.best is None:
            self._score = score
            self.best = stretched(np.moveaxis(colours, 0, -1), 0.0, 0.3)
