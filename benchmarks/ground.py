"""Ground with imagery and a reference, prepared by the platform: what accuracy is measured on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from lc_platform import config
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import key
from lc_platform.commands.demo import write_reference
from lc_platform.commands.run import run
from lc_platform.config import Config, template
from lc_platform.platform import Platform
from lc_platform.products.features import FeatureStack
from lc_platform.products.reference_rasters import ReferenceMap

_ASSETS = ("patch_grid", "raw_bands", "cloud_masks", "reference_rasters", "features")


@dataclass(frozen=True)
class Ground:
    """Patches of a year whose features and reference are stored."""

    config: Config

    @cached_property
    def platform(self) -> Platform:
        return Platform(self.config)

    @property
    def year(self) -> int:
        return self.config.years[0]

    @cached_property
    def patches(self) -> dict[str, tuple[FeatureStack, ReferenceMap]]:
        """By patch."""
        opened, store = formats(), self.platform.store
        return {
            patch: (
                opened["features"].open(store, key("features", patch, self.year)),
                opened["reference_rasters"].open(store, key("reference_rasters", patch)),
            )
            for patch in self.platform.grid().keys
        }

    def truth(self, patch: str) -> NDArray[np.uint8]:
        """Return what the simulated archive knows, (y, x)."""
        source: Any = self.platform.source
        found: NDArray[np.uint8] = source.truth(self.patches[patch][0].geobox)
        return found


def flanders(data: Path, folder: Path, **features: Any) -> Ground:
    """The site of 640 m in Flanders as one patch, every observation of 2018.

    data      the folder of real imagery
    features  laid over the section of the configuration
    """
    os.environ["LC_SHARED_DATA"] = str(data)
    path = Path("lc_platform_tests/configurations/flanders.yaml").resolve()
    told = yaml.safe_load(path.read_text(encoding="utf-8"))
    told["aoi"]["split"] = [1, 1]
    told["storage"] = str(folder / "data")
    told["features"] |= features
    return _prepared(told, folder)


def simulated(folder: Path) -> Ground:
    """24 patches of 128 x 128 pixels of the demonstration, whose reference has mistakes."""
    told = yaml.safe_load(template("simulated"))
    west, south, _, _ = told["aoi"]["bbox"]
    told["aoi"] |= {"bbox": [west, south, west + 0.0955, south + 0.0425], "patch_size": 1280}
    return _prepared(told, folder)


def _prepared(told: dict[str, Any], folder: Path) -> Ground:
    folder.mkdir(parents=True, exist_ok=True)
    parsed = config.parse(told, folder)
    if parsed.imagery.source == "simulated":
        write_reference(parsed)

    def unseen(_stage: str, _total: int, outcomes: Any) -> Iterator[Any]:
        yield from outcomes

    report = run(parsed, unseen, select=_ASSETS)
    if not report.succeeded:
        raise RuntimeError(f"{folder}: {report.failures}")
    return Ground(parsed)
