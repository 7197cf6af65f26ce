"""Whether what a configuration names can become a map: its area, reference, classes and archive.

What would stop a run, or make its map another than is meant, is found before anything is acquired.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib.util import find_spec
from pathlib import PurePath
from typing import Any

import numpy as np
from pyproj import CRS

from lc_platform.acquisition.read_plan import plans
from lc_platform.acquisition.search import NoAcquisitionError
from lc_platform.area import patches as area
from lc_platform.area.boundary import swap_question, swapped
from lc_platform.area.grid import Patch
from lc_platform.area.options import SplitOptions
from lc_platform.artefacts.layout import Partition
from lc_platform.config import Config
from lc_platform.config.model import networks
from lc_platform.config.reference import resembling
from lc_platform.errors import PlatformError, some
from lc_platform.platform import Platform
from lc_platform.products import trained_elsewhere
from lc_platform.products.feature_options import season_names
from lc_platform.products.region_options import KEY
from lc_platform.products.regions import regions_of
from lc_platform.products.units import read_units
from lc_platform.runtime.progress import at, track
from lc_platform.sources.object_polygons import open_objects
from lc_platform.sources.protocol import QuotaError
from lc_platform.sources.reference_classes import listed

LABEL_SECONDS = 20.0
"""Seconds for which `check` counts labels; of a large area it reads a part."""
_PROBE = 16
"""Pixels along the side of what is read of one acquisition to try an archive."""


@dataclass
class Inputs:
    """The findings about a configuration's inputs, in sentences."""

    problems: list[str] = field(default_factory=list)
    """For each of these a run would fail."""
    warnings: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)


@dataclass
class Labels:
    """The classes that the reference has on patches."""

    of: int
    """Patches of the area."""
    found: dict[str, frozenset[int]] = field(default_factory=dict)
    """Class ids by the key of each patch that was looked at."""

    @property
    def labelled(self) -> list[str]:
        return [patch for patch, ids in self.found.items() if ids]

    @property
    def classes(self) -> Counter[int]:
        """Class -> the number of patches with labels of it."""
        return Counter(one for ids in self.found.values() for one in ids)

    @property
    def suffice(self) -> bool:
        """Whether there is something to learn from, and something to test on."""
        return len(self.labelled) > 1 and len(self.classes) > 1

    @property
    def complete(self) -> bool:
        return len(self.found) == self.of


def look_at_labels(
    platform: Platform,
    patches: Sequence[Patch],
    *,
    seconds: float = float("inf"),
    until_enough: bool = False,
) -> Labels:
    """Burn the reference on one patch after the other, in an order that is spread over the area.

    seconds       that are spent, at most
    until_enough  whether to stop where the labels suffice

    Raises SourceError where the reference cannot be read or understood.
    """
    started = time.perf_counter()
    labels = Labels(len(patches))
    spread = sorted(patches, key=lambda one: sha256(one.key.encode()).digest())
    for patch in track(spread, "patches", len(spread)):
        raster = platform.reference.burnt(patch.geobox)
        ids = np.unique(raster.classes).tolist()
        labels.found[patch.key] = frozenset(int(one) for one in ids if one)
        if time.perf_counter() - started > seconds or (until_enough and labels.suffice):
            break
    return labels


def untrainable(config: Config, labels: Labels) -> str | None:
    """Return why no classifier can be trained, and what to do; None if one can, or is already."""
    if labels.suffice or config.trained_elsewhere:
        return None
    where = config.reference.path or "the simulated reference"
    if config.sampling.points is not None and config.points_are_the_reference:
        where = config.sampling.points.path
    if not labels.labelled:
        return (
            f"reference.path: {where} has no label of any class on any of the {labels.of} patches "
            "of the area. Check that it overlaps the area of aoi, and that its CRS is right"
        )
    blocks_in_a_patch = config.validation.folds and config.validation.block_size is not None
    if len(labels.labelled) == 1 and not blocks_in_a_patch:
        return (
            f"reference.path: {where} has labels on patch {labels.labelled[0]} alone, of "
            f"{labels.of} patches. At least two are needed, one to train and one to test on: split "
            "the area into smaller patches (aoi.patch_size), test on smaller blocks of ground "
            "(validation.folds, validation.block_size), or extend the reference"
        )
    if len(labels.classes) > 1:
        return None
    (only,) = labels.classes
    return (
        f"reference.classes: all labels on the area are of one class "
        f"({config.class_names[only]}); at least two are needed. Extend the reference, or the area"
    )


def inspect(platform: Platform) -> Inputs:
    """Look at the area, the reference, their overlap and the archive."""
    found, reference = Inputs(), platform.config.reference.path
    with at("area"):
        patches = _patches(platform.config, found)
    with at("reference", PurePath(reference or "").name):
        readable = _reference(platform, found)
    if readable and patches:
        with at("labels"):
            _overlap(platform, patches, found)
    _change(platform.config, found)
    if (why := unusable_model(platform)) is not None:
        found.problems.append(why)
    if patches:
        _points(platform, patches, found)
        _units(platform, patches, found)
        _regions(platform, patches, found)
        _objects(platform, found)
        _layers(platform, patches, found)
        _archive(platform, patches, found)
    return found


def unusable_model(platform: Platform) -> str | None:
    """Return why what classifies cannot do so, and what to do; None if it can.

    There is a year without a model, and what trains a network is not installed; or a model that was
    trained elsewhere does not fit. Where there are layers, which name features of their own, the
    features of such a model are compared when there are samples.
    """
    config, options = platform.config, platform.training_options()
    recorded = platform.versions.records.of
    untrained = any(recorded("model", Partition(year=year)) is None for year in config.years)
    for method in networks(config.model) if untrained else ():
        lacking = [name for name in ("torch", "onnxruntime") if find_spec(name) is None]
        if lacking:
            return (
                f"model.method: {method} is trained by PyTorch and run by onnxruntime, and there "
                f"is no {' and no '.join(lacking)} here: `pip install 'lc-platform[networks]'`"
            )
    if options.trained is None or options.card is None:
        return None
    features = platform.feature_options()
    try:
        of = trained_elsewhere.read(options.trained, options.card, options.classes)
        for year in () if features.layers else config.years:
            of.fitted_to(season_names(features, config.season.span, year))
    except PlatformError as error:
        return str(error)
    return None


def _points(platform: Platform, patches: Sequence[Patch], found: Inputs) -> None:
    """Look at the samples that users bring, where they bring some."""
    if platform.config.sampling.points is None:
        return
    path = platform.config.sampling.points.path
    with at("points", PurePath(path).name):
        try:
            points = platform.points
        except PlatformError as error:
            if str(error) not in found.problems:  # as where they are the reference, too
                found.problems.append(str(error))
            return
    assert points is not None
    if points.count(0):
        found.warnings.append(
            f"sampling.points: {points.count(0)} points of {path} are dated between two seasons "
            "(season.begins, season.months), and are no samples"
        )
    for year in platform.config.years:
        count, outside = points.count(year), points.outside([p.geobox for p in patches], year)
        found.facts.append(f"{count} points of {year} of {path}")
        if outside or not count:
            found.warnings.append(
                f"sampling.points: {outside} of the {count} points of {year} lie on no patch of "
                "the area, and are no samples. Extend the area, or check their CRS"
                if outside
                else f"sampling.points: no point of {path} is of {year}"
            )


def _units(platform: Platform, patches: Sequence[Patch], found: Inputs) -> None:
    """Look at the units that areas are to be added up by, where there are any."""
    options = platform.area_statistics_options()
    if options.units is None or options.unit_name is None:
        return
    with at("units"):
        try:
            crs = platform.config.mosaic_crs or patches[0].crs
            units = read_units(options.units, options.unit_name, crs)
        except PlatformError as error:
            found.problems.append(str(error))
            return
    found.facts.append(f"{len(units.names)} units of {options.units.written}")
    found.warnings += units.warnings


def _regions(platform: Platform, patches: Sequence[Patch], found: Inputs) -> None:
    """Look at the regions that are to have a model each, where there are any."""
    options = platform.training_options().regions
    if options is None:
        return
    grids = [patch.geobox for patch in patches]
    with at("regions"):
        try:
            regions, counts = regions_of(options, grids)
            beyond = regions.share_beyond(grids)
        except PlatformError as error:
            found.problems.append(str(error))
            return
    on = ", ".join(f"{name} on {number} patches" for name, number in counts.items())
    found.facts.append(f"{len(counts)} regions of {options.file.written} with a model each: {on}")
    if beyond > 0.001:
        found.warnings.append(
            f"{KEY}: {beyond:.1%} of the area of the patches lies in no region, and is told by the "
            "model of the nearest one"
        )


def _change(config: Config, found: Inputs) -> None:
    """Say which years' change is made, and what it needs."""
    if not config.change_years:
        return
    years = ", ".join(map(str, config.change_years))
    found.facts.append(
        f"change of {years}: predictions keeps the probabilities of {len(config.class_names)} "
        "classes for it, a byte a pixel each before compression"
    )
    if config.change.series == "markov":
        found.facts.append("change.series: markov: a new year has all of them made again")


def _objects(platform: Platform, found: Inputs) -> None:
    """Look at the objects that are to have a class each, where there are any."""
    options = platform.object_options()
    if options.polygons is None:
        return
    with at("objects"):
        try:
            objects = open_objects(options.polygons, options.attribute)
        except PlatformError as error:
            found.problems.append(str(error))
            return
    found.facts.append(f"{objects.count - objects.others} objects of {objects.name}")


def _layers(platform: Platform, patches: Sequence[Patch], found: Inputs) -> None:
    """Look at the rasters that have no season, where there are any."""
    if not platform.config.features.layers:
        return
    from lc_platform.commands.layer_inputs import look_at_layers

    with at("layers"):
        look_at_layers(platform, patches, found)


def _patches(config: Config, found: Inputs) -> list[Patch]:
    try:
        patches, notes = area.patches(SplitOptions.of(config))
    except (PlatformError, ValueError) as error:
        found.problems.append(str(error))
        return []
    several = sorted({str(patch.crs) for patch in patches})
    found.facts.append(
        f"{len(patches)} {'patch' if len(patches) == 1 else 'patches'} in {some(several, 3)}; "
        f"the map ends {'at the area' if config.aoi.clipped else 'with them'}"
    )
    found.warnings += notes
    if (why := _swapped_by_crs(config)) is not None:
        found.warnings.append(why)
    return patches


def _swapped(config: Config) -> Config | None:
    """The configuration with latitude and longitude of its box exchanged; None without a box."""
    if config.aoi.bbox is None:
        return None
    aoi = config.aoi.model_copy(update={"bbox": swapped(config.aoi.bbox)})
    return config.model_copy(update={"aoi": aoi})


def _swapped_by_crs(config: Config) -> str | None:
    """The question whether the box is swapped, where its CRS is made for the other place."""
    if config.aoi.bbox is None or config.aoi.crs == "utm":
        return None
    use = CRS.from_user_input(config.aoi.crs).area_of_use
    if use is None:
        return None

    def inside(x: float, y: float) -> bool:
        return use.west <= x <= use.east and use.south <= y <= use.north

    west, south, east, north = config.aoi.bbox
    x, y = (west + east) / 2, (south + north) / 2
    if inside(x, y) or not inside(y, x):
        return None
    return (
        f"aoi.bbox: {list(config.aoi.bbox)} lies where {config.aoi.crs} is not used. "
        f"{swap_question(config.aoi.bbox)}"
    )


def _reference(platform: Platform, found: Inputs) -> bool:
    """Whether the reference can be read."""
    try:
        values = platform.reference.values()
    except PlatformError as error:
        found.problems.append(str(error))
        return False
    config = platform.config.reference
    found.warnings += platform.reference.notes
    for unknown in values.unknown.values():  # of a raster: polygons that have some are refused
        part = "" if values.complete else " (in the part that was looked at)"
        found.warnings.append(
            f"reference.classes: {config.path} has values that no class has{part}: "
            f"{listed(unknown, values.unit.removesuffix('s'))}. A patch on which they lie fails: "
            "add them to a class's values, or to reference.ignore"
        )
    if not values.complete:
        return True  # what was not seen of a large raster may have them
    taken = {str(value) for one in config.classes for value in one.values}
    for i, one in enumerate(config.classes):
        there = values.counts.get(one.attribute or config.attribute or "", {})
        others = [value for value in there if value not in taken]
        absent = values.absent.get(one.id, ())
        for value in one.values:
            # A value that a region has not, of a class that is there, is no mistake; one that is
            # nearly another may be.
            hint = resembling(value, others)
            if one.id in values.unused or (hint and str(value) in absent):
                hint = hint or resembling(value, there) or " Correct it, or remove it."
                found.warnings.append(
                    f"reference.classes[{i}].values: {value!r} of class {one.name} is nowhere in "
                    f"{config.path or 'the simulated reference'}.{hint}"
                )
    return True


def _overlap(platform: Platform, patches: Sequence[Patch], found: Inputs) -> None:
    config = platform.config
    try:
        labels = look_at_labels(platform, patches, seconds=LABEL_SECONDS)
    except PlatformError as error:
        found.problems.append(str(error))
        return
    looked = len(labels.found)
    on = len(labels.labelled)
    part = f" of {looked} that were looked at" if not labels.complete else ""
    found.facts.append(
        f"labels on {on} {'patch' if on == 1 and not part else 'patches'}{part}: "
        + (
            ", ".join(
                f"{config.class_names[one]} on {count}"
                for one, count in labels.classes.most_common()
            )
            or "none"
        )
    )
    why = untrainable(config, labels)
    if why is not None and labels.complete:
        box, meant = config.aoi.bbox, _swapped(config)
        if not labels.labelled and box and meant is not None and _is_covered(platform, meant):
            why += f". {swap_question(box)}"
        found.problems.append(why)
    elif why is not None:
        found.warnings.append(f"{why}. {looked} of {labels.of} patches were looked at")
    absent = [n for one, n in config.class_names.items() if one not in labels.classes]
    if absent and labels.labelled:
        found.warnings.append(
            f"reference.classes: no patch{' that was looked at' if part else ''} has a label of "
            f"{', '.join(absent)}, so the map will not have "
            + ("it" if len(absent) == 1 else "them")
        )


def _is_covered(platform: Platform, config: Config) -> bool:
    """Whether the reference lies in another area."""
    try:
        patches, _ = area.patches(SplitOptions.of(config))
        return any(platform.reference.covers(patch.geobox) for patch in patches[:50])
    except (PlatformError, ValueError):
        return False


def _archive(platform: Platform, patches: Sequence[Patch], found: Inputs) -> None:
    """Search the archive on one patch for every year, and try its bands where that is free."""
    config = platform.config
    patch = min(patches, key=lambda one: sha256(one.key.encode()).digest())
    tried = False
    for year in config.years:
        try:
            with at("archive", f"{patch.key} {year}"):
                offered = platform.search(patch, year)
            there = len(offered.acquisitions)
            found.facts.append(
                f"{there} {'acquisition' if there == 1 else 'acquisitions'} of {year} on patch "
                f"{patch.key}"
            )
            if not tried and config.imagery.source == "stac":
                tried = True
                _try(platform, offered)
        except (NoAcquisitionError, QuotaError) as error:
            found.warnings.append(str(error))
        except PlatformError as error:
            (found.warnings if error.transient else found.problems).append(str(error))
            return


def _try(platform: Platform, offered: Any) -> None:
    """Read some pixels of each collection's first acquisition, with all bands.

    Raises SourceError where the archive does not have a band.
    """
    sources = {"": platform.source, **platform.auxiliary}
    first = {"": offered.acquisitions, **offered.auxiliary}
    for plan in plans(offered.patch, platform.acquisition_options()):
        for acquisition in first[plan.name][:1]:
            for grid in plan.grids:
                rows, columns = (_middle(size) for size in grid.geobox.shape)
                sources[plan.name].read(acquisition, grid.geobox[rows, columns], grid.bands)


def _middle(size: int) -> slice:
    start = max(0, (size - _PROBE) // 2)
    return slice(start, min(size, start + _PROBE))
