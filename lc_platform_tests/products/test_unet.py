"""`clouds.method: unet`: masks by networks of clouds and shadows."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lc_platform.acquisition.acquire import acquire
from lc_platform.area import patches as area
from lc_platform.area.options import SplitOptions
from lc_platform.config import Config, parse
from lc_platform.cube import first_pixel
from lc_platform.eo import cloud_network, csmask
from lc_platform.eo.csmask import STEP, TILE, NetworkName
from lc_platform.platform import Platform
from lc_platform.products import cloud_masks
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.options import AcquisitionOptions, DetectionOptions
from lc_platform.products.raw_bands import AcquisitionStack, detector_grid, tiled_grid
from lc_platform_tests.artefacts.snapshots import look, run, stale
from lc_platform_tests.products import cubes
from lc_platform_tests.seams import Made, ground

pytestmark = pytest.mark.slow

RESOLUTION, REACH = 80.0, 9
REFINED: dict[str, Any] = {
    "shadows": True, "shadow_reach": RESOLUTION * REACH, "temporal": True, "snow": True,
}  # fmt: skip
BANDS = ("B02", "B03", "B04", "B08", "B11", "B12", "B8A")
DAYS = list(range(20, 360, 40))
ROWS, COLUMNS = 4, 8
"""Pixels of 80 m under the map."""


@cache
def world() -> tuple[NDArray[np.uint16], tuple[int, int]]:
    """Digital numbers (time, band, y, x) of 80 m in blobs of bright and dark, and the row and
    column of the first, from the CRS's origin; some have no data."""
    grid = detector_grid(cubes.grid(8 * ROWS, 8 * COLUMNS), RESOLUTION, REACH + 10)
    grid = tiled_grid(grid)
    shape = len(DAYS), len(BANDS), *(-(-n // 4) for n in grid.shape)
    values = np.random.default_rng(5).integers(200, 6000, shape).repeat(4, 2).repeat(4, 3)
    values = values[:, :, : grid.shape[0], : grid.shape[1]]
    row, column = np.indices(grid.shape)
    values[1, :, row + 2 * column < 700] = 0
    values[2] = 0
    return values.astype(np.uint16), first_pixel(grid)


def patch(first: int, columns: int, beyond: int) -> AcquisitionStack:
    """Some columns of 80 m of the world as a patch of its own, with whole tiles around them."""
    inner = cubes.grid(8 * ROWS, 8 * columns, west=500_000 + 80 * first)
    own = tiled_grid(detector_grid(inner, RESOLUTION, beyond + 1))
    values, corner = world()
    down, across = (a - b for a, b in zip(first_pixel(own), corner, strict=True))
    part = values[:, :, down : down + own.shape[0], across : across + own.shape[1]]
    assert part.shape[2:] == tuple(own.shape)
    fine = np.full((len(DAYS), 1, *inner.shape), 1000)
    return cubes.stack(fine, DAYS, ["B01"], geobox=inner, detector=(part, BANDS, own))


def detected(first: int, columns: int, **changed: Any) -> CloudMasks:
    asked: dict[str, Any] = {
        "method": "unet", "network": NetworkName("l1c", 6), "resolution": RESOLUTION,
        "dilation": 1, "threads": 2, **changed,
    }  # fmt: skip
    reach = REACH if asked.get("shadows") else 0
    raw = patch(first, columns, reach + asked["dilation"])
    return CloudMasks(cloud_masks.detect(raw, DetectionOptions(**asked)).load())


@pytest.mark.usefixtures("network_package")
@pytest.mark.parametrize("asked", [{}, REFINED], ids=["alone", "refined"])
def test_neighbouring_patches_have_the_masks_of_one_patch_twice_their_size(
    asked: dict[str, Any],
) -> None:
    both, left, right = (
        detected(first, columns, **asked)
        for first, columns in ((0, COLUMNS), (0, COLUMNS // 2), (COLUMNS // 2, COLUMNS // 2))
    )
    for layer in both.cube.layers:
        joined = np.concatenate([one.cube.read(layer) for one in (left, right)], axis=-1)
        np.testing.assert_array_equal(joined, both.cube.read(layer), layer)
        if layer in ("cloud_mask", "shadow_mask"):
            assert 0.01 < joined.mean() < 0.9, layer


@pytest.mark.usefixtures("network_package")
def test_a_pixel_is_valid_where_it_is_neither_cloud_nor_shadow_nor_without_data() -> None:
    for asked in ({}, REFINED):
        masks = detected(0, COLUMNS, **asked)
        found = {name: masks.cube.read(name).astype(bool) for name in masks.cube.layers}
        hidden = found["cloud_mask"] | found["shadow_mask"]
        assert not (found["cloud_mask"] & found["shadow_mask"]).any()
        assert not (found["valid"] & hidden).any()
        # No network says anything of the third acquisition.
        assert not any(found[name][2].any() for name in ("valid", "cloud_mask", "shadow_mask"))
        assert found["valid"].any()


@pytest.mark.usefixtures("network_package")
def test_the_networks_shadows_are_hidden_with_those_that_are_projected() -> None:
    alone, both = (
        detected(0, COLUMNS, dilation=0, **asked)
        for asked in ({}, {"shadows": True, "shadow_reach": RESOLUTION * REACH})
    )
    own, found = (one.cube.read("shadow_mask").astype(bool) for one in (alone, both))
    assert found[own].all()
    assert found.sum() > own.sum()
    np.testing.assert_array_equal(both.cloud(), alone.cloud())


@pytest.mark.usefixtures("network_package")
def test_a_large_map_has_the_same_masks_in_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    one = detected(0, COLUMNS)
    monkeypatch.setattr("lc_platform.products.cloud_detectors.TILE", 24)
    windows = detected(0, COLUMNS, threads=1)
    for layer in one.cube.layers:
        np.testing.assert_array_equal(windows.cube.read(layer), one.cube.read(layer))


def configured(bands: Any = ("B02", "B11", "B12"), **clouds: Any) -> Config:
    return parse(
        {
            "name": "masks",
            "storage": "unused",
            "years": [2018],
            "aoi": {"bbox": [16, 46, 16.1, 46.1], "crs": "EPSG:32633", "patch_size": 1000},
            "imagery": {"source": "simulated", "bands": [*bands]},
            "clouds": {"method": "unet", **clouds},
        }
    )


def options_of(config: Config) -> tuple[AcquisitionOptions, DetectionOptions]:
    return AcquisitionOptions.of(config), DetectionOptions.of(config)


@pytest.mark.usefixtures("network_package")
def test_six_bands_are_read_where_shortwave_infrared_is_acquired_and_else_four() -> None:
    for bands, count in ((("B02", "B11", "B12"), 6), (("B02", "B11"), 4)):
        acquisition, detection = options_of(configured(bands=bands))
        assert acquisition.detector_bands == ("B02", "B03", "B04", "B08", "B11", "B12")[:count]
        assert detection.network == NetworkName("l1c", count)


def test_another_file_of_the_network_gives_another_version(network_package: Path) -> None:
    before = options_of(configured())[1].counted("data")
    (network_package / "model_6b_l1c.onnx").write_bytes(b"another")
    csmask._digest.cache_clear()
    after = options_of(configured())[1].counted("data")
    assert before["clouds"].pop("network") != after["clouds"].pop("network")
    assert before == after


def own_class(scene: NDArray[np.float32], first: tuple[int, int], level: str) -> NDArray[np.uint8]:
    """What the package itself makes of a scene (band, y, x): of a canvas of the tiles that it lies
    in, which begins where one of the package's own tiles does after the first."""
    from ukis_csmask.mask import CSmask

    starts = [csmask.extent(a, n)[0] for a, n in zip(first, scene.shape[1:], strict=True)]
    stops = [csmask.extent(a, n)[1] for a, n in zip(first, scene.shape[1:], strict=True)]
    lead = STEP - (TILE - STEP - 1)
    canvas = np.zeros((scene.shape[0], *(b - a + lead for a, b in zip(starts, stops, strict=True))))
    at = tuple(a - s + lead for a, s in zip(first, starts, strict=True))
    missing = np.full(canvas.shape, np.nan, np.float32)
    here = tuple(slice(a, a + n) for a, n in zip(at, scene.shape[1:], strict=True))
    missing[(slice(None), *here)] = scene
    for row in range(lead, canvas.shape[1] - TILE + 1, STEP):
        for column in range(lead, canvas.shape[2] - TILE + 1, STEP):
            tile = slice(row, row + TILE), slice(column, column + TILE)
            filled = cloud_network.completed(missing[(slice(None), *tile)])
            assert filled is not None
            canvas[(slice(None), *tile)] = filled
    image = np.moveaxis(canvas, 0, -1).astype(np.float32)
    found = CSmask(image, list(csmask.BANDS[: len(scene)]), level, intra_op_num_threads=1)
    classes: NDArray[np.uint8] = found.csm[..., 0][here]
    return classes


@pytest.mark.proof
@pytest.mark.real_data
def test_real_scenes_have_the_classes_that_the_package_itself_finds(
    shared_data: Path, tmp_path: Path
) -> None:
    """The five scenes of Slovenia at 10 m, by the network of six bands and by that of four."""
    pytest.importorskip("ukis_csmask", reason="the extra unet is not installed")
    items = sorted((shared_data / "slovenia" / "l1c").glob("*/S2A*.json"))
    seen = set()
    for bands in (("B02", "B11", "B12"), ("B02",)):
        config = parse(
            {
                "name": "scenes",
                "storage": str(tmp_path),
                "years": [2015],
                "aoi": {
                    "bbox": json.loads(items[0].read_text(encoding="utf-8"))["bbox"],
                    "crs": "EPSG:32633",
                    "split": [1, 1],
                },
                "imagery": {
                    "source": "stac",
                    "catalog": str(items[0].parents[1] / "catalog.json"),
                    "max_cloud_cover": 100,
                    "bands": [*bands],
                },
                "clouds": {"method": "unet", "resolution": 10, "dilation": 0},
                "features": {"indices": []},
                "statistics": {"index": "none"},
                "reference": {
                    "path": "unused.tif",
                    "classes": [{"id": 1, "name": "any", "color": "#000000"}],
                },
            }
        )
        platform = Platform(config)
        (one,), _ = area.patches(SplitOptions.of(config))
        raw = AcquisitionStack(acquire(platform.source, platform.search(one, 2015)).load())
        masks = CloudMasks(cloud_masks.detect(raw, platform.detection_options()).load())
        assert len(raw) == 5
        network = AcquisitionOptions.of(config).detector_bands
        seen.add(len(network))
        grid = raw.detector.geobox
        for time in range(len(raw)):
            data = raw.detector.data_mask(None, [time])[0]
            rows, columns = (np.flatnonzero(data.any(axis=axis)) for axis in (1, 0))
            here = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            scene = raw.detector.reflectance(here, [time], network)[0]
            first = tuple(a + s.start for a, s in zip(first_pixel(grid), here, strict=True))
            expected = own_class(scene, first, "l1c")
            east, south = ~raw.geobox.affine * (grid[here].affine.c, grid[here].affine.f)
            there = tuple(
                slice(round(a), round(a) + n)
                for a, n in zip((south, east), expected.shape, strict=True)
            )
            known = raw.data_mask(there, [time])[0]
            for layer, number in (("cloud_mask", 1), ("shadow_mask", 2)):
                found = masks.cube.read(layer)[(time, *there)].astype(bool)
                np.testing.assert_array_equal(found[known], (expected == number)[known])
    assert seen == {4, 6}


@pytest.mark.proof
@pytest.mark.usefixtures("network_package")
def test_a_run_makes_a_networks_masks_which_are_stale_where_the_network_is_another(
    network_package: Path, tmp_path: Path
) -> None:
    config = ground(
        tmp_path,
        960,
        aoi={"bbox": [16.0, 46.95, 16.001, 46.951], "patch_size": 320},
        imagery={"max_cloud_cover": 2},
        clouds={"method": "unet"},
    )
    select = ["patch_grid", "raw_bands", "cloud_masks"]
    report = run(config, select=select)
    assert report.succeeded, report.failures
    made = Made(config)
    for patch in made.patches:
        masks = made.opened("cloud_masks", patch)
        assert "shadow_mask" in masks.cube.layers
        # The small network takes this dark ground for shadow.
        assert masks.cube.read("shadow_mask").any()
    assert not {"raw_bands", "cloud_masks"} & {*stale(look(config))}
    about = network_package / "model_6b_l1c.json"
    about.write_text(about.read_text(encoding="utf-8").replace("0.1", "0.11"), encoding="utf-8")
    csmask._digest.cache_clear()
    assert {"raw_bands", "cloud_masks"} & {*stale(look(config))} == {"cloud_masks"}
