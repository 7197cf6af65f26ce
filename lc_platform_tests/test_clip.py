"""The map ends at the area, from the boundary's file to the mosaic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import shapely
import shapely.geometry
from numpy.typing import NDArray
from pyproj import Transformer

from lc_platform.config import Config, parse
from lc_platform_tests.artefacts.snapshots import look, run, stale
from lc_platform_tests.graphs import METRES, YEAR, configured

WEST, SOUTH = METRES * 1720, METRES * 16250
to_degrees = Transformer.from_crs(32633, 4326, always_xy=True).transform
RING = np.array([(90, 70), (560, 30), (600, 410), (330, 600), (250, 330), (50, 420)])
"""Metres from the south-west corner of 2 x 2 patches, all of which it touches."""


def ring() -> shapely.Polygon:
    return shapely.Polygon(np.column_stack(to_degrees(WEST + RING[:, 0], SOUTH + RING[:, 1])))


def bounded(folder: Path, **aoi: Any) -> Config:
    """An area in degrees."""
    feature = {
        "type": "Feature",
        "properties": {},
        "geometry": shapely.geometry.mapping(ring()),
    }
    (folder / "area.geojson").write_text(json.dumps(feature), encoding="utf-8")
    area = {"boundary": "area.geojson", "bbox": None, **aoi}
    return configured(folder, aoi=area, sampling={"pixels_per_patch": 10_000, "erosion": 0})


def mosaic(config: Config, name: str = "land_cover") -> tuple[NDArray[Any], NDArray[Any]]:
    """A map of 64 x 64 pixels, and which of them have their centre in the ring."""
    with rasterio.open(f"{config.storage_url}/mosaic/{YEAR}/{name}.tif") as file:
        assert file.bounds[:2] == (WEST, SOUTH)
        assert file.shape == (64, 64)
        columns, rows = np.meshgrid(np.arange(64), np.arange(64))
        x, y = WEST + 10 * (columns + 0.5), SOUTH + 10 * (64 - rows - 0.5)
        return file.read(1), shapely.contains_xy(ring(), *to_degrees(x, y))


@pytest.fixture(scope="module")
def clipped(tmp_path_factory: pytest.TempPathFactory) -> Config:
    config = bounded(tmp_path_factory.mktemp("clipped"))
    assert run(config).succeeded
    return config


@pytest.mark.slow
@pytest.mark.parametrize("name", ["land_cover", "confidence", "valid_observations"])
def test_the_map_of_a_boundary_ends_at_it_to_the_pixels_centre(clipped: Config, name: str) -> None:
    found, inside = mosaic(clipped, name)
    assert 1000 < inside.sum() < 3000
    np.testing.assert_array_equal(found > 0, inside)


@pytest.mark.slow
def test_nothing_beyond_the_boundary_is_sampled_or_counted(clipped: Config) -> None:
    _, inside = mosaic(clipped)
    store = Path(clipped.storage_url)
    import pyarrow.parquet as pq

    drawn = 0
    for file in (store / "training_samples" / str(YEAR)).glob("[!.]*.parquet"):
        table = pq.read_table(file)
        with rasterio.open(store / "predictions" / str(YEAR) / f"{file.stem}.tif") as raster:
            column = round((raster.bounds.left - WEST) / 10)
            row = round((SOUTH + 640 - raster.bounds.top) / 10)
        rows, columns = (table[name].to_numpy() for name in ("row", "column"))
        assert inside[rows + row, columns + column].all()
        drawn += len(rows)
    assert drawn > 500
    metrics = json.loads((store / "evaluation" / str(YEAR) / "metrics.json").read_text("utf-8"))
    counted = metrics["test_pixels"] + metrics["unclassified_pixels"]
    assert len(metrics["test_patches"]) == 4
    assert 0 < counted <= inside.sum()
    held_out = 0
    for file in (store / "held_out_predictions" / str(YEAR)).glob("[!.]*.tif"):
        with rasterio.open(file) as raster:
            column = round((raster.bounds.left - WEST) / 10)
            row = round((SOUTH + 640 - raster.bounds.top) / 10)
            here = inside[row : row + 32, column : column + 32]
            assert not raster.read(1)[~here].any()
            held_out += np.count_nonzero(raster.read(1))
    assert held_out >= counted - metrics["unclassified_pixels"] > 0


@pytest.mark.slow
def test_one_patch_ends_where_its_four_quarters_end(clipped: Config, tmp_path: Path) -> None:
    config = bounded(tmp_path, patch_size=2 * METRES)
    run(config, select=["patch_grid", "raw_bands", "cloud_masks", "observation_stats", "features"])
    from lc_platform.platform import Platform

    area = Platform(config).area
    assert area is not None
    (patch,) = Platform(config).grid().patches
    np.testing.assert_array_equal(area.on(patch.geobox).read(), mosaic(clipped)[0] > 0)


@pytest.mark.slow
def test_clip_may_be_turned_off_for_a_boundary_and_on_for_a_box(clipped: Config) -> None:
    def other(**aoi: Any) -> Config:
        data = clipped.model_dump(exclude_unset=True, mode="json")
        data["aoi"] = {**data["aoi"], **aoi}
        return parse(data, clipped.folder)

    assert stale(look(clipped)) == {}
    # The same map, but the report tells what is set.
    assert set(stale(look(other(clip=True)))) == {"report"}
    from_area = {
        *("features", "training_samples", "model", "held_out_predictions", "evaluation"),
        *("predictions", "mosaic", "area_statistics", "objects", "report", "catalog"),
    }
    unclipped = stale(look(other(clip=False)))
    assert set(unclipped) == from_area
    assert not other(clip=False).aoi.clipped
    box = other(boundary=None, bbox=[*ring().bounds])
    assert not box.aoi.clipped
    assert other(boundary=None, bbox=[*ring().bounds], clip=True).aoi.clipped


@pytest.mark.slow
def test_a_wider_buffer_makes_stale_what_ends_with_it(clipped: Config) -> None:
    data = clipped.model_dump(exclude_unset=True, mode="json")
    data["aoi"]["buffer"] = 5
    found = stale(look(parse(data, clipped.folder)))
    assert set(found) == {
        *("patch_grid", "features", "training_samples"),
        *("model", "held_out_predictions", "evaluation"),
        *("predictions", "mosaic", "area_statistics", "objects", "report", "catalog"),
    }
