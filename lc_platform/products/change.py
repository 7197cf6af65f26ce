"""Change from one year to the next: of every pixel what it was, what it became, and how sure that
is, from the probabilities of both years and of those around them; and how much there is of each
transition, with its uncertainty where people have judged points of both years."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.area.grid import Patch
from lc_platform.area.mask import AreaMask
from lc_platform.cube import Legend, Summary, Thumbnail, Window, points_in, windows
from lc_platform.eo import area_estimation, change, markov
from lc_platform.eo.area_estimation import Estimate
from lc_platform.errors import DataError
from lc_platform.products.filled_sample import BEFORE
from lc_platform.products.joining import WINDOW, check_grids, grid_of, on_grid, windows_of
from lc_platform.products.model import common_version
from lc_platform.products.options import ChangeOptions
from lc_platform.products.probability_layers import NO_DATA, classes_kept, probability_layer
from lc_platform.products.reference_rasters import colored
from lc_platform.products.reference_sample import ReferenceSample, SampleFile, places_on
from lc_platform.runtime.overlap import read_ahead
from lc_platform.runtime.progress import track
from lc_platform.storage.raster_cube import Draft, RasterCube, palettes, tiled
from lc_platform.storage.staging import PART, Staging

LAYERS = (
    "change",
    "class_before",
    "class_after",
    "change_probability",
    "transition_probability",
    "confirmation",
)
"""Of the map, each uint8 and 0 without data: the class that a pixel has become where it has
changed, and 0 elsewhere; the class in the year before and in the year, which differ without a
change where crops rotate; the probability of all changes together, and that of the transition,
both in percent and 1 where it is less; whether other years confirm a change."""
CONSISTENT = ("consistent_class_before", "consistent_class")
"""Further layers where all years are made consistent: the most probable sequence of classes, in the
year before and in the year."""
UNCONFIRMED, CONFIRMED, DENIED = 1, 2, 3
CONFIRMATION: Legend = {
    UNCONFIRMED: ("change that no other year has a say in", "#fdae61"),
    CONFIRMED: ("change that other years confirm", "#d7191c"),
    DENIED: ("no change, since other years deny it", "#878787"),
}
_LEAST = 0.002
"""Stands for a probability that is kept as 0 %, which is below half a percent."""
_PIXELS = 512
"""Along the side of the windows that are computed at a time; of a series fewer."""


@dataclass(frozen=True)
class ChangeStatistics:
    """How much has changed from one year to the next."""

    content: Mapping[str, Any]
    """Of the JSON file."""
    picture: NDArray[np.uint8] | None = None
    """(y, x, 3), what has changed."""

    @property
    def summary(self) -> Summary:
        """What the page of its partition shows."""
        content, changed = self.content, self.content["changed"]
        facts: dict[str, Any] = {
            "from_year": content["from_year"],
            "years_read": content["years"],
            "changed_hectares": changed["mapped_hectares"],
            "changed_percent": changed["percent"],
            "confirmed_pixels": changed["confirmed_pixels"],
            "denied_pixels": content["denied_pixels"],
            "no_data_pixels": content["no_data_pixels"],
        }
        if estimate := changed.get("hectares"):
            facts["changed_hectares_estimated"] = estimate["value"]
            facts["changed_hectares_standard_error"] = estimate["standard_error"]
        if content["no_estimate_because"]:
            facts["no_estimate_because"] = content["no_estimate_because"]
        warnings = {f"{i}": said for i, said in enumerate(content["warnings"], 1)}
        return Summary(facts, warnings, self.picture)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row a transition that occurs, staying among them."""
        found = []
        for one in self.content["transitions"]:
            row = {name: value for name, value in one.items() if name != "hectares"}
            told = one.get("hectares") or {}
            for part in ("value", "standard_error", "low", "high"):
                row["hectares" if part == "value" else f"hectares_{part}"] = told.get(part)
            found.append(row)
        return found


@dataclass
class Change:
    """A country's change from one year to the next, to be computed from its patches."""

    year: int
    patches: Sequence[Patch]
    """All patches of the grid."""
    predictions: Mapping[int, Mapping[str, RasterCube]]
    """By year, in their order, and patch: of the two years, and of those around them that have a
    say. They keep the probabilities."""
    options: ChangeOptions
    file: SampleFile | None = None
    """Points whose class in both years people have judged; None where there are none."""
    statistics: ChangeStatistics | None = None
    """Known once it is written."""

    @property
    def summary(self) -> Summary:
        """What the page of its partition shows, once it is written."""
        return self.statistics.summary if self.statistics is not None else Summary()

    def write(self, staging: Staging) -> int:
        """Write the map and its colours; returns the bytes. What it holds is in ``statistics``
        then.

        Raises DataError where one of the two years has no predictions, or some without
        probabilities, or of several models; where the rules leave the classes no change; and where
        the sample is no sample.
        """
        series = _Series.of(self)
        options = self.options
        grid = grid_of(self.patches, series.crs)
        inside = options.area.on(grid) if options.area is not None else None
        names = [*LAYERS, *(CONSISTENT if options.series == "markov" else ())]
        sample = self.file.read() if self.file is not None else None
        with staging.file(f"{PART}.tif.aux.xml") as path:
            of_classes = ("change", "class_before", "class_after", *CONSISTENT)
            legends = {names.index(one) + 1: options.classes for one in of_classes if one in names}
            legends[names.index("confirmation") + 1] = CONFIRMATION
            path.write_text(palettes(legends), encoding="utf-8")
        with staging.file(f"{PART}.tif") as path:
            with tiled(path, grid, names, "uint8", 0) as target:
                for window, layers in series.computed(grid, inside):
                    _put(target, window, [layers[name] for name in names])
                count = _Count.of(target, grid, names, sample)
                target.describe({"year": self.year, "from_year": series.before})
            size = path.stat().st_size
        content = _content(series, count, sample)
        picture = colored(count.picture.values[0].astype(np.uint8), options.classes)
        self.statistics = ChangeStatistics(content, picture)
        return size


@dataclass
class _Series:
    """What the change of a year is computed from."""

    year: int
    before: int
    years: Sequence[int]
    """Those that have predictions, in order."""
    predictions: Mapping[int, Mapping[str, RasterCube]]
    patches: Sequence[Patch]
    """Those that have predictions of both years."""
    class_ids: Sequence[int]
    """Those that any year's model knows."""
    known: Mapping[int, Sequence[int]]
    """Those that each year's model knows."""
    steps: NDArray[np.float64]
    """(year - 1, from, to), prior probabilities of transitions."""
    counted: NDArray[np.bool_]
    """(from, to), which transitions are a change."""
    options: ChangeOptions
    crs: str
    model_versions: Mapping[int, str]
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, of: Change) -> _Series:
        year, options = of.year, of.options
        asked = sorted(of.predictions)
        before = asked[asked.index(year) - 1]
        there = {one: found for one in asked if (found := of.predictions[one])}
        for one in (before, year):
            if one not in there:
                raise DataError(
                    f"{year}: no patch of {one} has a prediction, so that nothing can be said of "
                    f"what has changed from {before} to {year}. Materialize model and predictions "
                    f"of {one} first, or take {one} out of years"
                )
        patches = [p for p in of.patches if p.key in there[before] and p.key in there[year]]
        if not patches:
            raise DataError(f"{year}: no patch has predictions of {before} and of {year}")
        warnings = [
            f"{one} has no predictions, and no say in what has changed from {before} to {year}"
            for one in asked
            if one not in there
        ]
        known = {}
        for one, cubes in there.items():
            check_grids(patches, cubes)
            known[one] = _class_ids(one, cubes)
        class_ids = sorted({i for ids in known.values() for i in ids})
        for one, ids in known.items():
            if absent := [i for i in class_ids if i not in ids]:
                names = ", ".join(_name(options, i) for i in absent)
                warnings.append(f"the model of {one} knows no {names}")
        try:
            steps = _steps(options, class_ids, [*there])
        except ValueError as error:
            raise DataError(
                f"{year}: change.forbidden leaves the classes {class_ids}, which the models of "
                f"{', '.join(map(str, there))} know, no transition ({error})"
            ) from error
        return cls(
            year, before, [*there], there, patches, class_ids, known, steps,
            _counted(options, class_ids), options,
            options.crs or Counter(p.crs for p in patches).most_common(1)[0][0],
            {
                one: common_version(
                    {key: str(cube.attributes["model_version"]) for key, cube in cubes.items()},
                    None,
                )
                for one, cubes in there.items()
            },
            warnings,
        )  # fmt: skip

    @property
    def first(self) -> int:
        """The position of the year before."""
        return self.years.index(self.before)

    def computed(
        self, grid: GeoBox, inside: AreaMask | None
    ) -> Iterator[tuple[Window, Mapping[str, NDArray[np.uint8]]]]:
        """Yield windows of the grid with their layers, (y, x)."""
        size = _PIXELS if len(self.years) <= 4 else _PIXELS // 2

        def read(part: tuple[Patch, Window]) -> NDArray[np.float32]:
            patch, window = part
            found = self._probabilities(patch, grid, window)
            if inside is not None:
                found[:, :, ~inside.read(window)] = np.nan
            return found

        parts = [(p, window) for p in self.patches for window in windows_of(p, grid, size)]
        reads = read_ahead(read, parts)
        for (_, window), values in track(reads, "windows of change", len(parts)):
            yield window, self._layers(values)

    def _probabilities(self, patch: Patch, grid: GeoBox, window: Window) -> NDArray[np.float32]:
        """Return (year, class, y, x), NaN where a year has no data."""
        shape = tuple(part.stop - part.start for part in window)
        found = np.full((len(self.years), len(self.class_ids), *shape), np.nan, np.float32)
        for position, year in enumerate(self.years):
            cube = self.predictions[year].get(patch.key)
            if cube is None:
                continue
            layers = [probability_layer(i) for i in self.known[year]]
            percent = on_grid(patch, cube, layers, grid, window)
            # Beyond a patch of another CRS there is 0 everywhere.
            seen = (percent != NO_DATA).all(axis=0) & percent.any(axis=0)
            values = np.full(found.shape[1:], _LEAST, np.float32)
            for i, one in zip(self.known[year], percent, strict=True):
                values[self.class_ids.index(i)] = np.maximum(one / np.float32(100), _LEAST)
            values /= values.sum(axis=0)
            found[position] = np.where(seen, values, np.nan)
        return found

    def _layers(self, values: NDArray[np.float32]) -> Mapping[str, NDArray[np.uint8]]:
        options, first = self.options, self.first
        pair = slice(first, first + 2)
        needed = options.probability

        def found_in(years: slice) -> change.Transitions:
            return change.transitions(
                values[years], self.steps[years.start : years.stop - 1], self.class_ids,
                first=first - years.start, counted=self.counted, evidence=needed,
                threads=options.threads,
            )  # fmt: skip

        found = found_in(slice(0, len(self.years)))
        is_change = self._is_change(found)
        confirmation = np.where(is_change, UNCONFIRMED, 0).astype(np.uint8)
        if len(self.years) > 2:
            others = np.delete(values, [first, first + 1], axis=0)
            asked = ~np.isnan(others[:, 0]).all(axis=0)
            confirmation[is_change & asked] = CONFIRMED
            confirmation[~is_change & asked & self._is_change(found_in(pair))] = DENIED
        layers = {
            "change": np.where(is_change, found.after, 0).astype(np.uint8),
            "class_before": found.before,
            "class_after": found.after,
            "change_probability": _percent(found.change),
            "transition_probability": _percent(found.probability),
            "confirmation": confirmation,
        }
        if options.series == "markov":
            sequence = markov.most_probable_classes(
                values, self.steps, self.class_ids, threads=options.threads
            )
            layers |= dict(zip(CONSISTENT, sequence[pair], strict=True))
        return layers

    def _is_change(self, found: change.Transitions) -> NDArray[np.bool_]:
        """Return where a transition is a change, (y, x)."""
        table = np.zeros((256, 256), np.bool_)
        table[np.ix_(self.class_ids, self.class_ids)] = self.counted
        return np.asarray(table[found.before, found.after])


def _class_ids(year: int, cubes: Mapping[str, RasterCube]) -> Sequence[int]:
    """Return the classes whose probabilities a year's patches have, in order."""
    found = set[int]()
    for patch, cube in cubes.items():
        own = classes_kept(cube.layers)
        if not own:
            raise DataError(
                f"patch {patch}, {year}: {cube.path} was made without the probabilities of the "
                "classes. Materialize predictions again"
            )
        found.update(own)
    return sorted(found)


def _name(options: ChangeOptions, class_id: int) -> str:
    return options.classes[class_id][0] if class_id in options.classes else str(class_id)


def _steps(
    options: ChangeOptions, class_ids: Sequence[int], years: Sequence[int]
) -> NDArray[np.float64]:
    """Return the prior probabilities of transitions between years that follow one another, (year -
    1, from, to); over several years those of one, several times.

    Raises ValueError where the rules leave nothing.
    """
    rotations = [[i for i in group if i in class_ids] for group in options.rotations]
    matrix = markov.transition_matrix(
        class_ids,
        change=options.rate,
        forbidden=[pair for pair in options.forbidden if set(pair) <= set(class_ids)],
        probabilities={
            (one, other): (1 - options.rate) / len(group)
            for group in rotations
            for one in group
            for other in group
        },
    )
    steps = [np.linalg.matrix_power(matrix, after - before) for before, after in pairwise(years)]
    return np.array(steps)


def _counted(options: ChangeOptions, class_ids: Sequence[int]) -> NDArray[np.bool_]:
    """Return which transitions (from, to) are a change: those to another class that is in no
    rotation with it."""
    counted = ~np.eye(len(class_ids), dtype=np.bool_)
    for group in options.rotations:
        own = [class_ids.index(i) for i in group if i in class_ids]
        counted[np.ix_(own, own)] = False
    return counted


def _percent(share: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return percent, 1 to 100, and 0 for NaN."""
    percent = np.maximum(np.rint(np.nan_to_num(share) * 100), 1)
    return np.where(np.isnan(share), 0, percent).astype(np.uint8)


def _put(target: Draft, window: Window, layers: Sequence[NDArray[np.uint8]]) -> None:
    """Write layers in a window; where patches overlap, the last that knows wins."""
    known = layers[LAYERS.index("class_before")] > 0
    for band, values in enumerate(layers, 1):
        own = known if band <= len(LAYERS) else values > 0
        merged = values if own.all() else np.where(own, values, target.read(window, band))
        target.write(merged, window, band)


@dataclass
class _Count:
    """What one pass over the map finds."""

    geobox: GeoBox
    pixels: NDArray[np.int64]
    """(256, 256), pixels by class before and after."""
    confirmed: NDArray[np.int64]
    """Likewise, those of a change that other years confirm."""
    denied: int
    mapped: NDArray[np.int64]
    """(point,), 256 * class before + class after at the sample's points, 0 without data."""
    picture: Thumbnail

    @classmethod
    def of(
        cls, target: Draft, grid: GeoBox, names: Sequence[str], sample: ReferenceSample | None
    ) -> _Count:
        pixels, confirmed = np.zeros((2, 256 * 256), np.int64)
        denied, picture = 0, Thumbnail(grid.shape, 1)
        rows, columns = places_on(sample, grid)
        mapped = np.zeros(len(rows), np.int64)
        bands = {name: position + 1 for position, name in enumerate(names)}
        for window in windows(grid.shape, WINDOW):
            before, after, changed, confirmation = (
                target.read(window, bands[name])
                for name in ("class_before", "class_after", "change", "confirmation")
            )
            pairs = before.astype(np.int64) * 256 + after
            pixels += np.bincount(pairs.ravel(), minlength=256 * 256)
            sure = confirmation == CONFIRMED
            confirmed += np.bincount(pairs[sure], minlength=256 * 256)
            denied += int((confirmation == DENIED).sum())
            picture.update(window, changed[None])
            here, at = points_in(window, rows, columns)
            mapped[here] = pairs[at]
        shape = (256, 256)
        return cls(grid, pixels.reshape(shape), confirmed.reshape(shape), denied, mapped, picture)


_NO_SAMPLE = (
    f"no points have their class of the year before in the column `{BEFORE}` of the year's "
    "reference sample. Pixel counts are wrong by as much as the map is: draw points by "
    "`lc-platform sample`, and judge them for both years"
)


def _content(series: _Series, count: _Count, sample: ReferenceSample | None) -> dict[str, Any]:
    options = series.options
    hectare = abs(count.geobox.affine.a * count.geobox.affine.e) / 1e4
    is_change = np.zeros((256, 256), np.bool_)
    is_change[np.ix_(series.class_ids, series.class_ids)] = series.counted
    pairs = [(int(b), int(a)) for b, a in np.argwhere(count.pixels) if b and a]
    changed = int(count.pixels[is_change].sum())
    known = sum(int(count.pixels[pair]) for pair in pairs)
    summed: dict[str, Any] = {
        "pixels": changed,
        "mapped_hectares": changed * hectare,
        "percent": 100 * changed / max(known, 1),
        "confirmed_pixels": int(count.confirmed.sum()),
    }
    warnings, estimates = list(series.warnings), dict[Any, Any]()
    reason: str | None = _NO_SAMPLE
    if sample is not None:
        warnings += sample.warnings
        estimates, reason = _estimates(sample, options, count, pairs, is_change)
        summed["hectares"] = estimates.pop("changed", None)
        if reason is not None:
            warnings.append(f"no area is estimated: {reason}")
    transitions = []
    for before, after in sorted({*pairs, *estimates}):
        transitions.append(
            {
                "from": before,
                "from_name": _name(options, before),
                "to": after,
                "to_name": _name(options, after),
                "is_change": bool(is_change[before, after]),
                "pixels": int(count.pixels[before, after]),
                "mapped_hectares": int(count.pixels[before, after]) * hectare,
                "confirmed_pixels": int(count.confirmed[before, after]),
                "hectares": estimates.get((before, after)),
            }
        )
    return {
        "year": series.year,
        "from_year": series.before,
        "years": list(series.years),
        "model_versions": {str(one): v for one, v in series.model_versions.items()},
        "crs": str(count.geobox.crs),
        "pixel_square_metres": hectare * 1e4,
        "probability": options.probability,
        "rate": options.rate,
        "forbidden": [[_name(options, i) for i in pair] for pair in options.forbidden],
        "rotations": [[_name(options, i) for i in group] for group in options.rotations],
        "series": options.series,
        "changed": summed,
        "denied_pixels": count.denied,
        "no_data_pixels": int(count.pixels[0].sum()),
        "transitions": transitions,
        "no_estimate_because": reason,
        "warnings": warnings,
    }


def _estimates(
    sample: ReferenceSample,
    options: ChangeOptions,
    count: _Count,
    pairs: Sequence[tuple[int, int]],
    is_change: NDArray[np.bool_],
) -> tuple[dict[Any, Any], str | None]:
    """Return the estimated area of each transition by its classes, and of all changes together by
    ``changed``; and why there is none, if so. The strata are the classes of the year's map, so that
    it is the general estimator (Stehman 2014)."""
    before = sample.references(options.classes, BEFORE)
    after = sample.references(options.classes)
    judged = np.where((before > 0) & (after > 0), before * 256 + after, 0)
    seen = {int(one) for one in judged[judged > 0]}
    ids = sorted({b * 256 + a for b, a in pairs} | seen)
    identities = sample.points["id"].to_numpy(np.int64)
    strata = sample.points["stratum"].to_numpy(np.int64)

    def estimated(
        mapped: NDArray[np.int64], reference: NDArray[np.int64], class_ids: Sequence[int]
    ) -> Estimate:
        counts = area_estimation.count_points(
            identities, strata, mapped, reference, pixels=sample.design.pixels, class_ids=class_ids
        )
        return area_estimation.estimate(counts, sample.design.hectares).area

    def kinds(codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """1 for a change, 2 for none, 0 where nothing is known."""
        changed = is_change[codes // 256, codes % 256]
        return np.where(codes > 0, np.where(changed, 1, 2), 0)

    try:
        areas = estimated(count.mapped, judged, ids)
        both = estimated(kinds(count.mapped), kinds(judged), [1, 2])
    except ValueError as error:
        return {}, f"{sample.path}: {error}"
    found: dict[Any, Any] = {
        divmod(one, 256): told
        for position, one in enumerate(ids)
        if (told := _told(areas, position)) and (told["value"] or told["high"])
    }
    return {**found, "changed": _told(both, 0)}, None


def _told(estimate: Estimate, at: int) -> dict[str, float] | None:
    """Return an estimate with its 95 % interval; None where the sample says nothing."""
    names = ("value", "standard_error", "low", "high")
    found = {name: float(getattr(estimate, name)[at]) for name in names}
    return None if any(np.isnan(value) for value in found.values()) else found
