"""A variant of a configuration, validated beside the defaults."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.ablation.sites import Site
from benchmarks.ablation.variants import Variant
from lc_platform import config
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import key
from lc_platform.assets import imagery, learning, maps
from lc_platform.commands.compare import compare
from lc_platform.commands.demo import write_reference
from lc_platform.commands.run import Outcome
from lc_platform.config import Config
from lc_platform.config.problems import ConfigError
from lc_platform.cube import Window
from lc_platform.eo import accuracy, bootstrap
from lc_platform.eo.bootstrap import ScoreIntervals
from lc_platform.platform import Platform
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.comparison import Validated, confusion_by_block
from lc_platform.products.features import FeatureStack
from lc_platform.products.reference_rasters import ReferenceMap
from lc_platform.sources import open_source

DEFAULT = "default"
_ROUNDS, _TIMED = 3, 2
"""How often how many patches are timed; the first round warms up."""
_LEAST_VALID = 0.5
"""Of an acquisition whose date is chosen."""
Matrices = NDArray[np.int64]
"""(block, reference class, predicted class), pixels."""


@dataclass(frozen=True, eq=False)
class Measured:
    """A variant's scores and what it took."""

    before: Matrices
    """Of the defaults."""
    matrices: Matrices
    patch_seconds: float | None
    """The processor's, of masks, features and map of a patch."""
    training_seconds: float | None
    """The processor's, of all classifiers; None where that is not known any more."""

    def score(self, name: str) -> float:
        """Return a score, of all blocks together."""
        return float(getattr(accuracy.scores(self.matrices.sum(axis=0)), name))

    @cached_property
    def _differences(self) -> ScoreIntervals:
        return bootstrap.score_differences(self.before, self.matrices, seed=1)

    def difference(self, name: str) -> tuple[float, float, float]:
        """Return by how much a score is higher than by default, and its interval of 95 %."""
        found = self._differences
        value, low, high = (
            float(getattr(one, name)) for one in (found.value, found.low, found.high)
        )
        return value, low, high


@dataclass(frozen=True)
class Truth(ReferenceMap):
    """A reference whose labels are those of the simulated archive's truth."""

    truth: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 0), np.uint8))
    """(y, x)"""

    def unambiguous(self, window: Window | None = None) -> NDArray[np.uint8]:
        """Return (y, x), the true classes where the reference has a label."""
        found = self.truth if window is None else self.truth[window]
        return np.where(self.classes(window) != 0, found, np.uint8(0))


@dataclass
class Trial:
    """The variants of a site."""

    site: Site
    folder: Path
    pixels: int = 0
    """That were judged last, of all draws."""
    blocks: int = 0

    @cached_property
    def default(self) -> Measured:
        """What the defaults are, which the first call of `measured` makes."""
        matrices = self._summed([])
        return self._told_of(DEFAULT, {}, matrices, matrices)

    def measured(self, variants: Sequence[Variant]) -> dict[str, Measured | str]:
        """Make variants beside the defaults, where they are not there; return by key how each
        differs, or why it could not be made."""
        settings: dict[str, Mapping[str, Any]] = {}
        failed: dict[str, str] = {}
        for one in variants:
            changed = self._settings(one)
            try:
                self._config(one.key, changed, self.site.seeds[0])
            except ConfigError as error:
                failed[one.key] = str(error).splitlines()[0]
            else:
                settings[one.key] = changed
        for seed in self.site.seeds if settings else ():
            failed |= self._made(settings, seed)
        found: dict[str, Measured | str] = {**failed}
        for name, changed in settings.items():
            if name not in failed:
                found[name] = self._told_of(name, changed, *self._summed([(name, changed)]))
        return found

    def _summed(self, others: Sequence[tuple[str, Mapping[str, Any]]]) -> Matrices:
        """Return the matrices of the defaults, and of others: ([way,] block, reference class,
        predicted class), of all draws."""
        total: dict[int, Matrices] = {}
        for seed in self.site.seeds:
            told = [self._config(name, of, seed) for name, of in ((DEFAULT, {}), *others)]
            ways = [self._validated(one) for one in told]
            first = Platform(told[0])
            found = confusion_by_block(
                ways if others else ways * 2,
                self._references(first),
                first.classes,
                window=first.config.processing.window,
            )
            for block, matrices in found.items():
                total[block] = total.get(block, 0) + matrices
        stacked = np.stack([total[block] for block in sorted(total)], axis=1)
        self.pixels, self.blocks = int(stacked[0].sum()), stacked.shape[1]
        return stacked if others else stacked[0]

    def _told_of(
        self, name: str, settings: Mapping[str, Any], before: Matrices, matrices: Matrices
    ) -> Measured:
        if "patch" not in self._noted(name):
            told = self._config(name, settings, self.site.seeds[0])
            self._note(name, {"patch": _patch_seconds(Platform(told))})
        took = self._noted(name)
        return Measured(before, matrices, took["patch"], took.get("training"))

    # Configurations

    def _told(self, settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
        told = deepcopy(dict(self.site.settings))
        for section, changed in settings.items():
            told[section] = {**told.get(section, {}), **changed}
        features = told.get("features", {})
        for family in features.get("families", ()):
            if family in self.site.families:
                features[family] = dict(self.site.families[family])
        told["sampling"] = {**told.get("sampling", {}), "seed": seed}
        return told

    def _config(
        self, name: str, settings: Mapping[str, Any], seed: int, storage: Path | None = None
    ) -> Config:
        told = self._told(settings, seed)
        told["storage"] = str(storage or self._store(name, seed))
        told["processing"] = {"threads": 1}  # seconds of several threads count their waiting
        self.folder.mkdir(parents=True, exist_ok=True)
        found = config.parse(told, self.folder)
        if found.imagery.source == "simulated":
            write_reference(found)
        return found

    def _store(self, name: str, seed: int) -> Path:
        """Return where `compare` has the store of a configuration."""
        return self.folder / str(seed) / name / "data"

    def _settings(self, variant: Variant) -> Mapping[str, Any]:
        if not variant.chosen_dates:
            return variant.settings
        return {**variant.settings, "features": {"series": {"dates": self._dates}}}

    @cached_property
    def _dates(self) -> list[str]:
        """Of each interval the day whose acquisitions show most of the site, where that is half of
        it; MM-DD."""
        platform = Platform(self._config(DEFAULT, {}, self.site.seeds[0]))
        shown: dict[str, list[float]] = {}
        for patch in platform.grid().keys:
            masks = _opened(platform, "cloud_masks", patch)
            for one, valid in zip(masks.acquisitions, masks.valid_fraction, strict=True):
                shown.setdefault(str(one["datetime"])[:10], []).append(float(valid))
        patches = len(platform.grid().keys)
        best: dict[int, tuple[float, str]] = {}
        first = np.datetime64(f"{platform.config.years[0]}-01-01")
        for day, valid in shown.items():
            interval = int((np.datetime64(day) - first).astype(int)) // 16
            best[interval] = max(best.get(interval, (0.0, "")), (sum(valid) / patches, day))
        days = sorted(day[5:] for valid, day in best.values() if valid >= _LEAST_VALID)
        return [day for day in days if day != "02-29"]

    # What is made

    def _made(self, settings: Mapping[str, Mapping[str, Any]], seed: int) -> dict[str, str]:
        """Make the defaults and others of a draw; return why those that failed did, by name."""
        first = self.site.seeds[0]
        # What the draw does not change is that of the first one.
        asked = {
            name: self._config(
                name,
                of,
                seed,
                self.folder / "nothing" if seed == first else self._store(name, first),
            )
            for name, of in {DEFAULT: {}, **settings}.items()
        }

        def progress(stage: str, _count: int, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
            began, made = process_time(), set()
            for outcome in outcomes:
                made |= {asset for asset, _ in outcome.made}
                yield outcome
            if "model" in made and seed == first:
                self._note(stage.partition(":")[0], {"training": process_time() - began})

        done = compare(asked, progress, self.folder / str(seed), until="held_out_predictions")
        if DEFAULT in done.left_out:
            raise RuntimeError(f"{self.site.title}: {done.runs[DEFAULT].failures}")
        reasons = {name: [why for *_, why in done.runs[name].failures] for name in done.left_out}
        return {
            name: (why or [done.runs[name].stopped or "it has no predictions"])[0].splitlines()[0]
            for name, why in reasons.items()
        }

    def _validated(self, told: Config) -> Validated:
        platform = Platform(told)
        year = told.years[0]
        held_out = {
            patch: _opened(platform, "held_out_predictions", patch)
            for patch in platform.grid().keys
            if platform.store.exists(key("held_out_predictions", patch, year))
        }
        return Validated(_opened(platform, "model"), held_out)

    def _references(self, platform: Platform) -> dict[str, ReferenceMap]:
        found = {
            patch: _opened(platform, "reference_rasters", patch) for patch in platform.grid().keys
        }
        if not self.site.by_truth:
            return found
        archive: Any = open_source(platform.config)
        return {
            patch: Truth(one.cube, truth=archive.truth(one.geobox)) for patch, one in found.items()
        }

    # What it takes

    def _note(self, name: str, found: Mapping[str, float]) -> None:
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps({**self._noted(name), **found}), encoding="utf-8")

    def _noted(self, name: str) -> dict[str, float]:
        file = self.folder / f"{name}.json"
        found: dict[str, float] = (
            json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        )
        return found


def _opened(platform: Platform, asset: str, patch: str | None = None) -> Any:
    year = None if asset == "reference_rasters" else platform.config.years[0]
    return formats()[asset].open(platform.store, key(asset, patch, year))


def _patch_seconds(platform: Platform) -> float:
    """Return the processor's seconds from a patch's stored imagery to its map, in memory."""
    model = _opened(platform, "model")
    patches = platform.grid().keys[:_TIMED]
    least = []
    for patch in patches:
        raw = _opened(platform, "raw_bands", patch)
        times = []
        for _ in range(_ROUNDS):
            began = process_time()
            masks = CloudMasks(imagery.cloud_masks.body(raw, platform.detection_options()).load())
            found = learning.features.body(raw, masks, platform.feature_options())
            stack = FeatureStack(found.load())
            maps.predictions.body(stack, model, platform.prediction_options()).load()
            times.append(process_time() - began)
        least.append(min(times))
    return sum(least) / len(least)
