"""A reference sample: points drawn at random from a year's map, for people to judge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

import numpy as np
from odc.geo.geobox import GeoBox

from lc_platform import assets
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import REFERENCE_SAMPLE, key
from lc_platform.commands.instance import RunError, chosen
from lc_platform.config import Config
from lc_platform.eo import area_estimation, sample_design
from lc_platform.eo.point_sample import PointDraw
from lc_platform.eo.sample_design import Allocation
from lc_platform.platform import Platform
from lc_platform.products.reference_sample import (
    MapFacts,
    Places,
    ReferenceSample,
    SampleFile,
    assemble,
    open_elsewhere,
)
from lc_platform.runtime.progress import at
from lc_platform.storage.errors import MissingArtefactError

STANDARD_ERROR = 0.01
SEED = 42
_ALLOCATIONS: tuple[Allocation, ...] = ("mixed", "equal", "proportional", "optimal")
_USERS_ACCURACY = 0.85
"""What is expected of a class that has not been evaluated."""
_EXPECTED = 0.5, 0.98
"""Bounds of what is expected of a class: a test on few pixels may say 0 or 1."""
_RARE = 50
"""Points of a rare class, where the allocation is mixed and the sample large enough."""
_ORIGIN = 2**40
"""Row and column of the place where a CRS has its origin, so that they are positive everywhere."""


@dataclass(frozen=True)
class Stratum:
    """A class of the map, and the points drawn of it."""

    id: int
    name: str
    pixels: int
    hectares: float
    users_accuracy: float
    """What is expected, by the evaluation where there is one."""
    points: int
    standard_error: float | None = None
    """Anticipated, of the class's area, in hectares; None where it cannot be told."""


@dataclass(frozen=True)
class Sampled:
    """A sample that was drawn, and where it lies."""

    path: str
    strata: Sequence[Stratum]
    seed: int
    mosaic_version: str
    standard_error: float | None
    """Anticipated, of the overall accuracy; None where it cannot be told."""
    complemented: bool
    """Whether a sample was there, whose judged points are in this one where they could be."""
    kept: int
    """Judged points of the sample that was there."""
    set_aside: int
    """Those that are not in the sample, and are kept beside it."""

    @property
    def points(self) -> int:
        return sum(one.points for one in self.strata)


def sample(
    config: Config,
    year: int,
    *,
    standard_error: float | None = None,
    points: int | None = None,
    allocation: str = "mixed",
    seed: int | None = None,
    again: bool = False,
) -> Sampled:
    """Draw a stratified random sample from a year's map, whose classes are the strata.

    standard_error  of the overall accuracy, that the number of points follows from
    points          how many, in its place
    allocation      of points to strata: mixed, equal, proportional or optimal
    seed            of the draw; by default that of the sample that is there
    again           whether a sample that is there is complemented: what people have judged stays in
                    it where its pixel is drawn again, as it is while its class on the map stays,
                    and is else kept in a layer of its own

    Raises RunError where the sample is there already, or cannot be drawn as asked; StorageError
    where there is no map.
    """
    method = next((one for one in _ALLOCATIONS if one == allocation), None)
    if method is None:
        raise RunError(f"--allocation {allocation}: there are {', '.join(_ALLOCATIONS)}")
    (year,) = chosen([year], config.years, "--year", "years of the configuration")
    if standard_error is not None and points is not None:
        raise RunError("--points and --standard-error: one follows from the other. Give one")
    platform = Platform(config, [asset.recipe for asset in assets.ALL])
    platform.store.expect_folder()
    target = REFERENCE_SAMPLE.format(year=year)
    before = platform.reference_sample(year)
    earlier = _earlier(before, again=again)
    _expect_closed(platform, target)
    if earlier is not None and seed not in (None, earlier.design.seed):
        raise RunError(
            f"--seed {seed}: the sample that is there was drawn with {earlier.design.seed}, and "
            "another would draw other points than those that are judged. Leave --seed out"
        )
    if seed is None:
        seed = earlier.design.seed if earlier is not None else SEED
    folder = key("mosaic", year=year)
    try:
        files = formats()["mosaic"].open(platform.store, folder)
    except MissingArtefactError as error:
        raise MissingArtefactError(
            f"{platform.store.path(folder)}: there is no map of {year} to draw points from. Make "
            "it by `lc-platform run`"
        ) from error
    land_cover = platform.land_cover(year, files)
    with at("sample", str(year)), land_cover.opened() as opened:
        grid = opened.geobox
        counts = np.zeros(256, np.int64)
        for _, values in opened.windows():
            counts += np.bincount(values.ravel(), minlength=256)
        pixels = {int(one): int(counts[one]) for one in np.flatnonzero(counts[1:]) + 1}
        if not pixels:
            raise RunError(
                f"{platform.store.path(folder)}: the map of {year} has no class anywhere"
            )
        expected = _expected(platform, year, pixels)
        wanted = _allocated(pixels, expected, standard_error, points, method)
        draw = PointDraw(wanted, seed)
        top, left = _first_pixel(grid)
        for (rows, columns), values in opened.windows():
            draw.add(values, top + rows.start, left + columns.start)
        facts = MapFacts(
            year,
            str(grid.crs),
            abs(grid.affine.a * grid.affine.e),
            land_cover.version,
            opened.model_version,
            pixels,
            platform.classes,
            changing=bool(config.change_evidence(year)),
        )
    found = draw.points()
    places = Places(
        found.strata,
        grid.affine.c + grid.affine.a * (found.columns - left + 0.5),
        grid.affine.f + grid.affine.e * (found.rows - top + 0.5),
    )
    drawn = assemble(places, facts, seed, allocation, earlier)
    content = drawn.content
    with platform.store.file(target) as path:
        path.write_bytes(content)
        _expect_closed(platform, target)
        now = platform.reference_sample(year)
        if (now and now.identity) != (before and before.identity):
            raise RunError(
                f"{platform.store.path(target)}: was changed while points were drawn, and is left "
                "as it is now. Run the command again"
            )
    strata, overall = _anticipated(facts, expected, wanted)
    return Sampled(
        platform.store.path(target),
        strata,
        seed,
        facts.mosaic_version,
        overall,
        earlier is not None,
        drawn.kept,
        0 if drawn.set_aside is None else len(drawn.set_aside),
    )


def _earlier(file: SampleFile | None, *, again: bool) -> ReferenceSample | None:
    """Return the sample that is there. Raises RunError where it is not to be complemented."""
    if file is None:
        return None
    if not again:
        raise RunError(
            f"{file.path}: is there already, and what people have judged is not overwritten. It "
            "serves a later map as it is (`lc-platform run` estimates the areas); with --again it "
            "is complemented: judged points stay, and others are drawn"
        )
    return file.read()


def _expect_closed(platform: Platform, target: str) -> None:
    """Raise RunError where a program has a sample's file open: what it has not yet written into the
    file would be lost, or would be written into another."""
    there = open_elsewhere(platform.store, target)
    if there:
        raise RunError(
            f"{platform.store.path(target)}: is open in another program, such as QGIS, which keeps "
            f"its changes in {there}. Save them, remove the layer from the project or close the "
            "program, and run the command again. If no program has it open, open and close it once "
            "in QGIS, or remove that file where there is no sample beside it"
        )


def _first_pixel(grid: GeoBox) -> tuple[int, int]:
    """Return row and column of a grid's first pixel, counted from the origin of its CRS: a pixel
    keeps its random number when a later map begins elsewhere."""
    column = floor(grid.affine.c / grid.affine.a + 1e-3)
    row = ceil(grid.affine.f / -grid.affine.e - 1e-3)
    return _ORIGIN - row, _ORIGIN + column


def _expected(platform: Platform, year: int, pixels: Mapping[int, int]) -> dict[int, float]:
    """Return the user's accuracies that are expected, by class: the precision on held-out ground,
    where they are evaluated."""
    told: Mapping[str, Any] = {}
    try:
        found = formats()["evaluation"].open(platform.store, key("evaluation", year=year))
        told = found.metrics["per_class"]
    except MissingArtefactError:
        pass  # the map may have been made without it
    names = platform.config.class_names
    expected = {}
    for one in pixels:
        precision = told.get(names.get(one, ""), {}).get("precision")
        known = _USERS_ACCURACY if precision is None else float(precision)
        expected[one] = min(max(known, _EXPECTED[0]), _EXPECTED[1])
    return expected


def _allocated(
    pixels: Mapping[int, int],
    expected: Mapping[int, float],
    standard_error: float | None,
    points: int | None,
    allocation: Allocation,
) -> dict[int, int]:
    """Return how many points are drawn, by class."""
    option = "--points" if points is not None else "--standard-error"
    try:
        count = points
        if count is None:
            count = sample_design.sample_size(
                list(pixels.values()),
                [expected[one] for one in pixels],
                STANDARD_ERROR if standard_error is None else standard_error,
            )
            # Each class is to have some points, also where so many are not needed for all together.
            least = sum(min(sample_design.FEWEST, n) for n in pixels.values())
            count = min(max(count, least), sum(pixels.values()))
        rare = min(_RARE, max(sample_design.FEWEST, count // (2 * len(pixels))))
        return sample_design.allocate(
            count, pixels, allocation, minimum=rare, users_accuracy=expected
        )
    except ValueError as error:
        raise RunError(f"{option}: {error}") from error


def _anticipated(
    facts: MapFacts, expected: Mapping[int, float], wanted: Mapping[int, int]
) -> tuple[list[Stratum], float | None]:
    """Return the strata, with the standard errors of their areas if the map is as right as is
    expected, and that of the overall accuracy."""
    hectares = {one: n * facts.pixel_area / 1e4 for one, n in facts.pixels.items()}
    # A stratum of one pixel has no standard error, and hardly any area.
    ids = [one for one, n in wanted.items() if n >= sample_design.FEWEST]
    errors: dict[int, float] = {}
    overall = None
    if len(ids) > 1:
        area = [hectares[one] for one in ids]
        matrix = sample_design.expected_matrix(area, [expected[one] for one in ids])
        found = area_estimation.anticipate(
            matrix, [wanted[one] for one in ids], area, ids, sum(area)
        )
        errors = dict(zip(ids, found.area.standard_error.tolist(), strict=True))
        overall = float(found.overall_accuracy.standard_error)
    names = {one: name for one, (name, _) in facts.classes.items()}
    strata = [
        Stratum(
            one,
            names.get(one, str(one)),
            n,
            hectares[one],
            expected[one],
            wanted[one],
            errors.get(one),
        )
        for one, n in facts.pixels.items()
    ]
    return strata, overall
