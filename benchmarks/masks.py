"""Clouds, shadows and bright ground that each mask finds, and what the features make of it: against
the simulated archive's truth, and counted on the real series."""

from __future__ import annotations

from collections.abc import Mapping
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
from lc_platform.eo import csmask
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
    "shadows, snow": {"shadows": True, "snow": True},
    "shadows, temporal": {"shadows": True, "temporal": True},
    "shadows, temporal, snow": {"shadows": True, "temporal": True, "snow": True},
}


NETWORK: Mapping[str, Mapping[str, bool]] = {
    name: ASKED[name] for name in ("the method alone", "shadows, temporal")
}
"""What is asked for beside a network, which takes minutes of imagery and of one core a year."""
CHOSEN, UNSEEN = PLACES[0], (PLACES[2], PLACES[1])
"""The place on which thresholds were chosen, and those on which none was; the last one lies in
mountains."""


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
    size, threads = min(settings.size, 256), settings.threads[-1]
    rows, speed = [], None
    for place in (CHOSEN, *UNSEEN):
        year = _Year.of(place, size, threads)
        rows += _rows(place, year.shares(networks=settings.full or place == UNSEEN[0]))
        if place == UNSEEN[0]:
            speed = _speed(year, settings)
    assert speed is not None
    return [
        _against_truth(rows, size),
        speed,
        _counted(real(settings.data), "Slovenia, five scenes of L1C", settings),
        _counted(flanders(settings.data), "Flanders, a series of L2A", settings),
    ]


def stack(scenes: Scenes, **clouds: Any) -> tuple[AcquisitionStack, DetectionOptions]:
    """Return acquisitions in memory as the platform acquires them with settings of ``clouds``, and
    the detector's options."""
    given = {"method": scenes.config.clouds.method, **clouds}
    config = scenes.config.model_copy(update={"clouds": Clouds.model_validate(given)})
    options = AcquisitionOptions.of(config)
    found = search_acquisitions(scenes.source, scenes.patch, config.years[0], options)
    raw = AcquisitionStack(acquire(scenes.source, found).load())
    return raw, replace(DetectionOptions.of(config), threads=1)


def detect(
    raw: AcquisitionStack, options: DetectionOptions, threads: int, asked: Mapping[str, bool]
) -> CloudMasks:
    off = dict.fromkeys(("shadows", "snow", "temporal"), False)
    options = replace(options, threads=threads, **{**off, **asked})
    return CloudMasks(cloud_masks.detect(raw, options).load())


@dataclass(frozen=True)
class _Year:
    """A cloudy year of the simulated archive, and what each mask makes of it."""

    scenes: Scenes
    raw: AcquisitionStack
    options: DetectionOptions
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
        raw, options = stack(scenes, shadows=True, snow=True, temporal=True)
        return cls(
            scenes,
            raw,
            options,
            scenes.truth(),
            archive.bright_truth(scenes.patch.geobox),
            stack(replace(scenes, source=Listed(listed, bare)))[0],
            threads,
        )

    def shares(self, *, networks: bool) -> dict[str, Shares]:
        """What each mask hides, and its features' error.

        networks  whether of a network too, where it is installed
        """
        masks = {
            f"s2cloudless, {name}": detect(self.raw, self.options, self.threads, asked)
            for name, asked in ASKED.items()
        }
        alone = masks["s2cloudless, the method alone"]
        if networks and not csmask.lacking():
            raw, options = stack(self.scenes, method="unet", shadows=True, temporal=True)
            for name, asked in NETWORK.items():
                masks[f"unet, {name}"] = detect(raw, options, self.threads, asked)
        unmasked = detect(self.bare, replace(self.options, threshold=1.0), self.threads, {})
        expected = self._ndvi(self.bare, unmasked)
        found = {name: self._ndvi(self.raw, one) for name, one in masks.items()}
        everywhere = np.isfinite(expected)
        for one in found.values():
            everywhere &= np.isfinite(one)
        truth, data = self.truth, self.raw.data_mask()
        called = alone.cloud() & truth.clear & self.bright & data
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


def _rows(place: tuple[float, float], shares: Mapping[str, Shares]) -> list[tuple[str, ...]]:
    where = f"{place[0]} E {place[1]} N"
    before = shares["s2cloudless, the method alone"].ndvi
    return [
        (where, name, *(f"{100 * share:.1f} %" for share in one[:-1]), f"{one.ndvi:.5f}",
         f"{100 * (one.ndvi / before - 1):+.0f} %")
        for name, one in shares.items()
    ]  # fmt: skip


def _against_truth(rows: list[tuple[str, ...]], size: int) -> Table:
    return Table(
        "masks-truth",
        "Masks against the simulated truth",
        (
            "place",
            "mask",
            "thick cloud hidden",
            "thin cloud hidden",
            "shadow hidden",
            "clear ground hidden",
            "bright ground freed",
            "valid",
            "error of NDVI",
            "beside s2cloudless alone",
        ),
        rows,
        (
            f"All acquisitions of a year, {size} x {size} pixels a place; thresholds were chosen "
            "on the first place, and none on the others; clouds that cast shadows up to "
            f"{Clouds().shadow_reach:g} m beyond. Thick cloud "
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
                detect(year.raw, year.options, threads, asked)
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
    raw, options = stack(scenes, shadows=True, snow=True, temporal=True)
    rows = []

    def count(raw: AcquisitionStack, options: DetectionOptions, asked: str) -> None:
        masks = detect(raw, options, settings.threads[-1], ASKED[asked])
        method = f"{options.method}, {options.resolution:g} m, {asked}"
        rows.append((method, *(_percent(masks, one) for one in _COUNTED)))

    for name in ASKED:
        count(raw, options, name)
    if not csmask.lacking():
        # The scenes are of a kilometre, which is little of a tile at 30 m.
        network = stack(scenes, method="unet", resolution=10, shadows=True, temporal=True)
        for name in NETWORK:
            count(*network, name)
    return Table(
        f"masks-{title.partition(',')[0].lower()}",
        f"Masks of {title}",
        ("mask", "cloud", "shadow", "snow", "valid"),
        rows,
        (f"{len(raw)} acquisitions of {raw.geobox.shape[0]} x {raw.geobox.shape[1]} pixels.",),
    )
