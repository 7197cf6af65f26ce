"""Clouds, shadows and bright ground that each mask finds, and what the features make of it: against
the simulated archive's truth, and counted on the real series."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.cloud_scenes import PLACES, Listed, Scenes, Truth, flanders, real, year_of
from benchmarks.report import Table
from benchmarks.settings import Settings
from lc_platform.acquisition.acquire import acquire
from lc_platform.acquisition.search import search_acquisitions
from lc_platform.config import Clouds
from lc_platform.products import cloud_masks, features
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.feature_options import FeatureOptions
from lc_platform.products.options import AcquisitionOptions, DetectionOptions
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.sources.simulated import SimulatedArchive

BRIGHT = 0.7
"""Share of places in towns and on bare ground that are bright roofs and quarries."""
ASKED: Mapping[str, Mapping[str, bool]] = {
    "the method alone": {},
    "shadows": {"shadows": True},
    "temporal": {"temporal": True},
    "shadows, temporal": {"shadows": True, "temporal": True},
    "shadows, temporal, snow": {"shadows": True, "temporal": True, "snow": True},
}


class Shares(NamedTuple):
    """Pixels that the masks hide, of those that are so in truth."""

    thick: float
    thin: float
    shadow: float
    clear: float
    bright: float
    """Of bright roofs and quarries that s2cloudless alone calls cloud under a clear sky, those that
    are used."""
    valid: float
    ndvi: float
    """Mean absolute error of NDVI in the features."""


def run(settings: Settings) -> list[Table]:
    """Raises FileNotFoundError where the real imagery is missing."""
    size, places = min(settings.size, 256), PLACES if settings.full else PLACES[:2]
    years = [_Year.of(place, size, settings.threads[-1]) for place in places]
    return [
        _against_truth(years, size),
        _speed(years[0], settings),
        _counted(real(settings.data), "Slovenia, five scenes of L1C", settings),
        _counted(flanders(settings.data), "Flanders, a series of L2A", settings),
    ]


def stack(scenes: Scenes, **clouds: Any) -> tuple[AcquisitionStack, Clouds]:
    """Return acquisitions in memory as the platform acquires them with settings of ``clouds``."""
    asked = scenes.config.clouds.model_copy(update=clouds)
    config = scenes.config.model_copy(update={"clouds": asked})
    options = AcquisitionOptions.of(config)
    found = search_acquisitions(scenes.source, scenes.patch, config.years[0], options)
    return AcquisitionStack(acquire(scenes.source, found).load()), asked


def detect(
    raw: AcquisitionStack, clouds: Clouds, threads: int, asked: Mapping[str, bool]
) -> CloudMasks:
    off = dict.fromkeys(("shadows", "snow", "temporal"), False)
    options = DetectionOptions(**{**dict(clouds), **off, **asked}, threads=threads)
    return CloudMasks(cloud_masks.detect(raw, options).load())


@dataclass(frozen=True)
class _Year:
    """A cloudy year of the simulated archive, and what each mask makes of it."""

    scenes: Scenes
    raw: AcquisitionStack
    clouds: Clouds
    truth: Truth
    bright: NDArray[np.bool_]
    """(y, x)"""
    bare: AcquisitionStack
    """Under a sky without clouds."""
    threads: int

    @classmethod
    def of(cls, place: tuple[float, float], size: int, threads: int) -> _Year:
        scenes = year_of(place, size)
        assert isinstance(scenes.source, Listed)
        listed = scenes.source.acquisitions
        archive = SimulatedArchive(bright=BRIGHT)
        scenes = replace(scenes, source=Listed(listed, archive))
        bare = SimulatedArchive(bright=BRIGHT, cloudiness=0.0)
        raw, clouds = stack(scenes, shadows=True, snow=True, temporal=True)
        return cls(
            scenes,
            raw,
            clouds,
            scenes.truth(),
            archive.bright_truth(scenes.patch.geobox),
            stack(replace(scenes, source=Listed(listed, bare)))[0],
            threads,
        )

    def shares(self) -> dict[str, Shares]:
        """What each mask hides, and its features' error."""
        masks = {name: detect(self.raw, self.clouds, self.threads, a) for name, a in ASKED.items()}
        own = self.scenes.config.clouds.model_copy(update={"threshold": 1.0})
        unmasked = detect(self.bare, own, self.threads, {})
        expected = self._ndvi(self.bare, unmasked)
        found = {name: self._ndvi(self.raw, one) for name, one in masks.items()}
        everywhere = np.isfinite(expected)
        for one in found.values():
            everywhere &= np.isfinite(one)
        truth, data = self.truth, self.raw.data_mask()
        called = masks["the method alone"].cloud() & truth.clear & self.bright & data
        return {
            name: Shares(
                *(_share(~one.valid(), of & data)
                  for of in (truth.thick, truth.thin, truth.shadow & ~truth.thick, truth.clear)),
                bright=_share(one.valid(), called),
                valid=_share(one.valid(), data),
                ndvi=float(np.abs(found[name] - expected)[everywhere].mean()),
            )
            for name, one in masks.items()
        }  # fmt: skip

    def _ndvi(self, raw: AcquisitionStack, masks: CloudMasks) -> NDArray[np.float32]:
        """(date, y, x), NaN where missing."""
        config = self.scenes.config
        options = FeatureOptions(
            bands=("B08",),
            indices=tuple(index for index in config.indices if index.name == "NDVI"),
            interval=config.features.interval,
            min_valid_fraction=0.0,
            window=config.processing.window,
        )
        found: NDArray[np.float32] = features.build(raw, masks, options).load().read("features")
        return found[:, 1]


def _share(hidden: NDArray[np.bool_], of: NDArray[np.bool_]) -> float:
    return float((hidden & of).sum() / max(int(of.sum()), 1))


def _against_truth(years: Sequence[_Year], size: int) -> Table:
    each = [year.shares() for year in years]
    rows = []
    for name in ASKED:
        mean = Shares(*np.mean([shares[name] for shares in each], axis=0).tolist())
        rows.append((f"s2cloudless, {name}", *(f"{100 * v:.1f} %" for v in mean[:-1]),
                     f"{mean.ndvi:.5f}"))  # fmt: skip
    clouds = years[0].clouds
    return Table(
        "masks-truth",
        "Masks against the simulated truth",
        (
            "mask",
            "thick cloud hidden",
            "thin cloud hidden",
            "shadow hidden",
            "clear ground hidden",
            "bright ground freed",
            "valid",
            "error of NDVI",
        ),
        rows,
        (
            f"All acquisitions of a year, {size} x {size} pixels at {len(years)} places, mean of "
            f"them; clouds that cast shadows up to {clouds.shadow_reach:g} m beyond. Thick cloud "
            "is at least half opaque, thin cloud or cirrus 4 to 50 %; shadow is on ground that no "
            "cloud hides; clear ground is neither, and without snow. Freed is what is valid of "
            "roofs and quarries in the sun that s2cloudless alone calls cloud. The error of NDVI "
            "is the mean absolute difference of the regular features from those of the same year "
            "under a sky without clouds, where no mask leaves a feature missing.",
        ),
    )


def _speed(year: _Year, settings: Settings) -> Table:
    """All masks against the detector alone, in turns."""
    rows = []
    for threads in settings.threads:
        times: dict[str, list[float]] = {}
        for attempt in range(settings.pairs + 1):
            for name, asked in ASKED.items():
                began = perf_counter()
                detect(year.raw, year.clouds, threads, asked)
                if attempt:
                    times.setdefault(name, []).append(perf_counter() - began)
        alone = times["the method alone"]
        for name, taken in times.items():
            beyond = [t / a - 1 for t, a in zip(taken, alone, strict=True)]
            rows.append((str(threads), name, f"{median(taken):.2f} s", f"{median(beyond):+.2f}"))
    detector = year.raw.detector.geobox.shape
    return Table(
        "masks-speed",
        "What the masks take beyond the detector",
        ("threads", "mask", "a year", "beyond the detector, of its time"),
        rows,
        (
            f"{len(year.raw)} acquisitions in memory, {detector[0]} x {detector[1]} pixels of the "
            f"detector's grid, the same for all, {year.raw.geobox.shape[0]} x "
            f"{year.raw.geobox.shape[1]} of the map; medians of {settings.pairs} turns.",
        ),
    )


_COUNTED = ("cloud_mask", "shadow_mask", "snow_mask", "valid")


def _percent(masks: CloudMasks, layer: str) -> str:
    if layer not in masks.cube.layers:
        return "-"
    return f"{100 * float(masks.cube.read(layer).astype(bool).mean()):.2f} %"


def _counted(scenes: Scenes, title: str, settings: Settings) -> Table:
    raw, clouds = stack(scenes, shadows=True, snow=True, temporal=True)
    rows = []
    for name, asked in ASKED.items():
        masks = detect(raw, clouds, settings.threads[-1], asked)
        rows.append((name, *(_percent(masks, one) for one in _COUNTED)))
    return Table(
        f"masks-{title.partition(',')[0].lower()}",
        f"Masks of {title}",
        (f"{clouds.method}, and", "cloud", "shadow", "snow", "valid"),
        rows,
        (f"{len(raw)} acquisitions of {raw.geobox.shape[0]} x {raw.geobox.shape[1]} pixels.",),
    )
