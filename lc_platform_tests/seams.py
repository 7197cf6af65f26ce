"""The same ground in patches of several sizes, and what differs between them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from pyproj import Transformer

from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import key
from lc_platform.config import Config
from lc_platform.products.features import FeatureStack
from lc_platform.products.model import LandCoverModel, train
from lc_platform.products.options import TrainingOptions
from lc_platform.products.training_samples import Samples
from lc_platform.storage.store import Store
from lc_platform_tests.artefacts.snapshots import run
from lc_platform_tests.graphs import YEAR, configured

WEST, SOUTH, SIDE = 960 * 573, 960 * 5417, 960
"""Metres: the ground is one patch of 96 x 96 pixels, or 3 x 3, or 2 x 2."""
IMAGERY = ["raw_bands", "cloud_masks", "observation_stats", "reference_rasters", "features"]
LAYERS = ["class", "confidence", "entropy", "margin", "applicability"]
FORMATS = formats()


def ground(folder: Path, size: int, **sections: Any) -> Config:
    """The ground in patches of a size in metres."""
    to_degrees = Transformer.from_crs(32633, 4326, always_xy=True).transform
    low, high = to_degrees(WEST + 30, SOUTH + 30), to_degrees(WEST + SIDE - 30, SOUTH + SIDE - 30)
    return configured(
        folder,
        **{
            "aoi": {"bbox": [*low, *high], "patch_size": size},
            "imagery": {"max_cloud_cover": 25},
            "processing": {"probabilities": True, "window": 32},
            "features": {"min_valid_fraction": 0},
            **sections,
        },
    )


@dataclass(frozen=True)
class Made:
    """What a run has made."""

    config: Config

    @cached_property
    def store(self) -> Store:
        return Store(self.config.storage_url)

    def opened(self, asset: str, patch: str) -> Any:
        year = None if asset == "reference_rasters" else YEAR
        return FORMATS[asset].open(self.store, key(asset, patch, year))

    @cached_property
    def patches(self) -> dict[str, GeoBox]:
        grid = FORMATS["patch_grid"].open(self.store, key("patch_grid"))
        return {patch.key: patch.geobox for patch in grid.patches}

    def map_with(self, model: LandCoverModel) -> None:
        FORMATS["model"].write(self.store, key("model", year=YEAR), model)
        report = run(self.config, select=["predictions", "mosaic"])
        assert report.succeeded, report.failures

    def mosaic(self, name: str) -> tuple[NDArray[Any], Any]:
        with rasterio.open(f"{self.config.storage_url}/mosaic/{YEAR}/{name}.tif") as file:
            return file.read(1), file.bounds


def made(config: Config) -> Made:
    report = run(config, select=["patch_grid", *IMAGERY])
    assert report.succeeded, report.failures
    return Made(config)


def model_of(
    stack: FeatureStack, truth: NDArray[np.uint8] | None = None, count: int = 10
) -> LandCoverModel:
    """Classes of the truth, or else such as lie in pieces of a few pixels: shades, of which each
    is a class."""
    values = stack.read()
    known = ~np.isnan(values).all(axis=0)
    shade = np.nansum(values, axis=0)
    steps = np.quantile(shade[known], np.arange(1, count) / count)
    labels = np.digitize(shade, steps).astype(np.uint8) + 1 if truth is None else truth
    rows, columns = np.random.default_rng(1).permutation(np.argwhere(known))[:2000].T
    halves = {
        name: Samples(
            name, stack.year, stack.names, values[:, rows[at], columns[at]].T,
            labels[rows[at], columns[at]], rows[at], columns[at],
            np.zeros(len(rows[at]), np.uint32),
        )
        for name, at in (("a", slice(0, 1000)), ("b", slice(1000, None)))
    }  # fmt: skip
    options = TrainingOptions(
        classes={i: f"class {i}" for i in range(1, 11)},
        parameters={"num_iterations": 5},
        test_fraction=0.5,
        seed=1,
        threads=1,
    )
    return train(halves, options, year=stack.year)


def differences(one: Made, other: Made) -> Iterator[str]:
    """Yield the products of patches that are not those of the one patch, with how much of them."""
    (whole_key, whole_grid) = next(iter(one.patches.items()))
    of_one = {asset: one.opened(asset, whole_key) for asset in [*IMAGERY, "predictions"]}
    for patch, grid in other.patches.items():
        east, south = ~whole_grid.affine * (grid.affine.c, grid.affine.f)
        row, column = round(south), round(east)
        here = slice(row, row + grid.shape[0]), slice(column, column + grid.shape[1])
        own = {asset: other.opened(asset, patch) for asset in of_one}
        margin = own["features"].margin
        wide = tuple(slice(-margin, length + margin) for length in grid.shape)
        there = tuple(slice(s.start - margin, s.stop + margin) for s in here)

        def pairs(
            own: dict[str, Any] = own, here: Any = here, wide: Any = wide, there: Any = there
        ) -> Iterator[tuple[str, Any, Any]]:
            for read in ("digital_numbers", "data_mask"):
                stack, of = own["raw_bands"], of_one["raw_bands"]
                yield f"raw_bands {read}", getattr(stack, read)(wide), getattr(of, read)(there)
            for read in ("valid", "cloud", "probability"):
                masks, of = own["cloud_masks"], of_one["cloud_masks"]
                yield f"cloud_masks {read}", getattr(masks, read)(wide), getattr(of, read)(there)
            yield "features", own["features"].read(wide), of_one["features"].read(there)
            for read in ("classes", "ambiguous"):
                of = of_one["reference_rasters"]
                yield (
                    f"reference {read}",
                    getattr(own["reference_rasters"], read)(),
                    getattr(of, read)(here),
                )
            for asset in ("observation_stats", "predictions"):
                for layer in own[asset].layers:
                    yield (
                        f"{asset} {layer}",
                        own[asset].read(layer),
                        of_one[asset].read(layer, here),
                    )

        for name, found, expected in pairs():
            if not np.array_equal(found, expected, equal_nan=found.dtype.kind == "f"):
                if found.shape != expected.shape:
                    yield f"{patch} {name}: {found.shape}, not {expected.shape}"
                    continue
                yield f"{patch} {name}: {np.mean(found != expected):.2%}"
    for name in ("land_cover", "confidence", "valid_observations"):
        found, expected = one.mosaic(name), other.mosaic(name)
        if found[1] != expected[1] or not np.array_equal(found[0], expected[0]):
            yield f"mosaic {name}"
