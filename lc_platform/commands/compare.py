"""Several configurations, each validated on the same ground, and how they differ."""

from __future__ import annotations

import contextlib
import functools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lc_platform import assets, report
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import EVERY_ASSET, key
from lc_platform.artefacts.records import Records
from lc_platform.artefacts.sharing import take_over
from lc_platform.commands import run as running
from lc_platform.commands.instance import HOME_VARIABLE, chosen
from lc_platform.commands.run import Outcome
from lc_platform.config import Config
from lc_platform.config.differing import settings_that_differ
from lc_platform.eo.bootstrap import ScoreIntervals
from lc_platform.errors import DataError, PlatformError
from lc_platform.platform import Platform
from lc_platform.products.comparison import Compared, Validated
from lc_platform.products.comparison import compare as compared
from lc_platform.products.evaluation import SCORES, plain
from lc_platform.report.baseline import few_blocks
from lc_platform.report.simulated import of_simulated_imagery
from lc_platform.storage.store import Store

UNTIL = "evaluation"
"""The asset that a way is judged by: what it is not made of is not made."""
TABLE, PAGE = "comparison.json", "comparison.html"
_COMMON = ("aoi", "reference", "years")
"""Sections that must agree, so that all are judged on the same pixels."""
_FILES = ("aoi.boundary", "reference.path")
"""Files of these sections, which may be named from other folders."""


class ComparisonError(PlatformError):
    """Configurations cannot be compared."""


@dataclass
class Comparison:
    """A comparison, and where it was written."""

    found: dict[str, Any] = field(default_factory=dict)
    """The content of ``comparison.json``."""
    files: list[Path] = field(default_factory=list)
    runs: dict[str, running.Report] = field(default_factory=dict)
    """By name: the run that made its evaluation."""
    left_out: list[str] = field(default_factory=list)
    """Names of those that have no evaluation, and are not among what is compared."""
    warnings: list[str] = field(default_factory=list)


def compare(
    configurations: Mapping[str, Config],
    progress: running.Progress,
    folder: Path,
    *,
    years: Sequence[int] = (),
    workers: int = 1,
    until: str = UNTIL,
) -> Comparison:
    """Make each configuration's evaluation in a store of its own under a folder, and compare them.

    configurations  by name, two or more; the others are compared with the first
    folder          what is there already is made use of
    until           the last asset that is made of each; the comparison itself is of
                    `held_out_predictions`

    What a configuration shares with one before it, or with what stands in its own `storage` (where
    that is a folder), is linked and not made again. Raises ComparisonError where the
    configurations cannot be compared, RunError for a year that is not of them.
    """
    _check(configurations)
    first = next(iter(configurations.values()))
    wanted = chosen(years, first.years, "--year", "years of the configurations")
    comparison = Comparison()
    platforms: dict[str, Platform] = {}
    taken: dict[str, dict[str, int]] = {}
    own = [Store.of(config) for config in configurations.values()]
    for name, config in configurations.items():
        config = config.model_copy(update={"storage": str((folder / name / "data").absolute())})
        (folder / name).mkdir(parents=True, exist_ok=True)
        with _home(folder / name / "dagster"):
            sources = [platforms[before].versions.records for before in platforms]
            sources += [Records(store) for store in own if store.local]
            shown = functools.partial(_named, name, progress)
            platform, done, taken[name] = _made(config, shown, sources, wanted, workers, until)
        comparison.runs[name] = done
        if _evaluated(platform, wanted, until):
            platforms[name] = platform
        else:
            comparison.left_out.append(name)
    if len(platforms) < 2:
        return comparison
    comparison.found = _told(configurations, platforms, taken, wanted, comparison.warnings)
    comparison.files = _written(comparison.found, folder)
    return comparison


def _check(configurations: Mapping[str, Config]) -> None:
    if len(configurations) < 2:
        raise ComparisonError("One configuration cannot be compared. Name two or more")
    (name, first), *others = configurations.items()
    for other, config in others:
        for section in _COMMON:
            if _common(config, section) != _common(first, section):
                raise ComparisonError(
                    f"{other}: {section} is not as in {name}, and what is compared is judged on "
                    f"the same pixels. Make {section} the same in all"
                )
        for path, value, wanted in (
            ("validation.folds", config.validation.folds, first.validation.folds),
            ("validation.block_size", config.validation.block_size, first.validation.block_size),
            ("sampling.seed", config.sampling.seed, first.sampling.seed),
        ):
            if value != wanted:
                raise ComparisonError(
                    f"{other}: {path} is {value}, and {wanted} in {name}; what is compared is "
                    f"judged on the same folds. Make {path} the same in all"
                )


def _common(config: Config, section: str) -> Any:
    """What must agree of a section; the files that it names by where they are."""
    about: Any = getattr(config, section)
    if section == "years":
        return about
    told = about.model_dump()
    for path in _FILES:
        of, name = path.split(".")
        if of == section and told.get(name):
            told[name] = config.located(told[name], path)
    return told


def _named(
    name: str, progress: running.Progress, stage: str, count: int, outcomes: Iterable[Outcome]
) -> Iterator[Outcome]:
    yield from progress(f"{name}: {stage}", count, outcomes)


@contextlib.contextmanager
def _home(folder: Path) -> Iterator[None]:
    """Have Dagster's records of a store of the comparison in a folder, also in the processes that
    are started: those of a deployment belong to its own store."""
    before = os.environ.get(HOME_VARIABLE)
    os.environ[HOME_VARIABLE] = str(folder.absolute())
    try:
        yield
    finally:
        if before is None:
            del os.environ[HOME_VARIABLE]
        else:
            os.environ[HOME_VARIABLE] = before


def _made(
    config: Config,
    progress: running.Progress,
    sources: Sequence[Records],
    years: Sequence[int],
    workers: int,
    until: str,
) -> tuple[Platform, running.Report, dict[str, int]]:
    """Make what the evaluation is made of; returns how many artefacts of each asset others had."""
    grid = running.run(config, progress, years=years, select=["patch_grid"])
    platform = Platform(config, [asset.recipe for asset in assets.ALL])
    if not grid.succeeded:
        return platform, grid, {}
    needed = _needed(platform, until)
    taken = take_over(platform.versions.look, sources, needed[1:], years)
    done = running.run(config, progress, years=years, select=needed[1:], workers=workers)
    return platform, done, taken


def _evaluated(platform: Platform, years: Sequence[int], until: str) -> bool:
    """Whether what is asked for of every year is as it should be."""
    if not platform.store.exists(key("patch_grid")):
        return False
    snapshot = platform.versions.look()
    return all(
        state.kind == "current" for year in years for state in snapshot.states(until, year).values()
    )


def _needed(platform: Platform, until: str) -> list[str]:
    """The assets that an asset is made of, and itself, in the order of the work."""
    needed, waiting = {"patch_grid"}, [until]
    while waiting:
        asset = waiting.pop()
        if asset not in needed:
            needed.add(asset)
            waiting += platform.versions.recipes[asset].inputs
    return [asset for asset in EVERY_ASSET if asset in needed]


def _told(
    configurations: Mapping[str, Config],
    platforms: Mapping[str, Platform],
    taken: Mapping[str, Mapping[str, int]],
    years: Sequence[int],
    warnings: list[str],
) -> dict[str, Any]:
    names = list(platforms)
    classes = [name for name, _ in next(iter(platforms.values())).classes.values()]
    differing = settings_that_differ([configurations[name] for name in names])
    found: dict[str, Any] = {
        "first": names[0],
        "configurations": {
            name: {
                "settings": settings,
                "taken_over": dict(taken[name]),
            }
            for name, settings in zip(names, differing, strict=True)
        },
        "simulated": next(filter(None, map(_simulated, configurations.values())), ""),
        "years": {},
    }
    for year in years:
        try:
            ways = [_opened(platform, year) for platform in platforms.values()]
            one = _compared(ways, next(iter(platforms.values())))
        except DataError as error:
            raise ComparisonError(f"{year}: {error}") from error
        for name, same in zip(names, one.same_folds, strict=True):
            if not same:
                warnings.append(
                    f"{year}: {name} has not the folds of {names[0]}, as its samples lie on other "
                    "ground. The difference is also one of the folds"
                )
        found["years"][str(year)] = _rows(one, names, ways, classes)
    return found


def _opened(platform: Platform, year: int) -> Validated:
    opened, store = formats(), platform.store
    held_out = {
        patch.key: opened["held_out_predictions"].open(store, at)
        for patch in platform.grid().patches
        if store.exists(at := key("held_out_predictions", patch.key, year))
    }
    return Validated(opened["model"].open(store, key("model", year=year)), held_out)


def _compared(ways: Sequence[Validated], first: Platform) -> Compared:
    opened = formats()["reference_rasters"]
    references = {
        patch: opened.open(first.store, key("reference_rasters", patch))
        for patch in ways[0].held_out
    }
    config = first.config
    return compared(
        ways,
        references,
        first.classes,
        seed=config.sampling.seed,
        window=config.processing.window,
    )


def _rows(
    one: Compared, names: Sequence[str], ways: Sequence[Validated], classes: Sequence[str]
) -> dict[str, Any]:
    rows = [
        {
            "name": name,
            "features": len(way.model.card["features"]),
            "samples": sum(way.model.card["samples"].values()),
            "same_folds": one.same_folds[position],
            "scores": _intervals(one.scores[position], classes),
            "differences": _intervals(one.differences[position - 1], classes) if position else None,
        }
        for position, (name, way) in enumerate(zip(names, ways, strict=True))
    ]
    return {
        "pixels": one.pixels,
        "blocks": one.blocks,
        "few_blocks": few_blocks(one.blocks),
        "configurations": rows,
    }


def _simulated(config: Config) -> str:
    return of_simulated_imagery(config.imagery.source, config.reference_file)


def _intervals(found: ScoreIntervals, classes: Sequence[str]) -> dict[str, Any]:
    """Return [value, low, high] of each score, and of each class's F1."""

    def of(score: str, position: int | None = None) -> list[float | None]:
        values = [getattr(part, score) for part in (found.value, found.low, found.high)]
        return [plain(one if position is None else one[position]) for one in values]

    return {
        **{score: of(score) for score in SCORES},
        "f1": {name: of("f1", position) for position, name in enumerate(classes)},
    }


def _written(found: dict[str, Any], folder: Path) -> list[Path]:
    files = [folder / TABLE, folder / PAGE]
    for file, text in zip(
        files,
        [json.dumps(found, indent=2, ensure_ascii=False), report.write_comparison(found)],
        strict=True,
    ):
        file.write_text(text, encoding="utf-8")
    return files
