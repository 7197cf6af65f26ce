"""A map of several regions with a model each, through the whole graph."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas
import numpy as np
import pytest
import shapely
import yaml

import lc_platform
from lc_platform.config import Config, parse
from lc_platform.config.model import REGIONS
from lc_platform.platform import Platform
from lc_platform.products.regions import read_regions
from lc_platform_tests.artefacts.snapshots import run
from lc_platform_tests.command_line import Command
from lc_platform_tests.graphs import YEAR
from lc_platform_tests.seams import SIDE, SOUTH, WEST, Made, differences, ground, made

BORDER = WEST + 430
"""Within the second of three columns of patches."""


def _regions(folder: Path) -> dict[str, object]:
    low, high = SOUTH - 5000, SOUTH + SIDE + 5000
    slanted = [(BORDER - 80, low), (BORDER + 60, high)]
    west = shapely.Polygon([*slanted, (WEST - 5000, high), (WEST - 5000, low)])
    east = shapely.Polygon([*slanted, (WEST + 9000, high), (WEST + 9000, low)])
    table = geopandas.GeoDataFrame(
        {"zone": ["Alps / west", "plain"]}, geometry=[west, east], crs="EPSG:32633"
    )
    folder.mkdir(exist_ok=True)
    table.to_file(folder / "zones.gpkg", driver="GPKG")
    return {"path": "zones.gpkg", "attribute": "zone", "blend": 120}


def _in_patches(folder: Path, size: int) -> Config:
    return ground(folder, size, model={REGIONS: _regions(folder)}, validation={"folds": 2})


@pytest.mark.slow
@pytest.mark.proof
def test_a_map_of_two_regions_is_that_of_one_patch_and_shows_no_edge(tmp_path: Path) -> None:
    config = _in_patches(tmp_path / "nine", 320)
    report = run(config)
    assert report.succeeded, report.failures
    nine = Made(config)
    opened = lc_platform.open(config)
    model = opened.model(YEAR)
    assert [one["name"] for one in model.card["regions"]] == ["Alps / west", "plain"]
    assert all(sum(one["samples"].values()) > 300 for one in model.card["regions"])
    folder = tmp_path / "nine" / "data" / "model" / str(YEAR)
    assert (folder / "model_Alps_west.txt").read_text().startswith("tree\n")
    assert (folder / "training_space_plain.parquet").exists()
    metrics = json.loads(
        (folder.parents[1] / "evaluation" / str(YEAR) / "metrics.json").read_text()
    )
    assert metrics["overall_accuracy"] > 0.5
    page = next((tmp_path / "nine").rglob("report.html")).read_text(encoding="utf-8")
    assert "Each of 2 regions has a classifier of its own, and over 120 m" in page
    one = made(_in_patches(tmp_path / "one", SIDE))
    one.map_with(model)
    assert list(differences(one, nine)) == []
    patch, grid = next(iter(one.patches.items()))
    centre = grid.geographic_extent.centroid.coords[0]
    story = opened.at(*centre, YEAR)
    assert story.attrs["model_version"] == model.version
    # Of pairs of neighbours in a row, those across the border differ no more than all others do.
    mapped = one.opened("predictions", patch)
    names = [name for name in mapped.layers if name.startswith("probability_")]
    probabilities = np.stack([mapped.read(name).astype(float) for name in names])
    steps = np.abs(np.diff(probabilities, axis=2)).sum(axis=0)
    regions = Platform(one.config).training_options().regions
    assert regions is not None
    west = read_regions(regions).on(grid).read()[0]
    across = (west[:, 1:] < 0.5) & (west[:, :-1] >= 0.5)
    assert across.sum() == 96
    assert steps[across].mean() < 1.25 * steps.mean()


@pytest.mark.slow
@pytest.mark.proof
def test_a_map_of_two_regions_is_made_by_networks(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="could not import torch")
    pytest.importorskip("onnxruntime")
    small = {"epochs": 3, "channels": 32, "heads": 4, "units": 32}
    folder = tmp_path / "four"
    told = json.loads(_in_patches(folder, SIDE // 2).model_dump_json(exclude_unset=True))
    told["model"] = {"of": {"ltae": small, "discriminant": 1}, REGIONS: _regions(folder)}
    config = parse(told, folder)
    report = run(config)
    assert report.succeeded, report.failures
    opened = lc_platform.open(config)
    assert [one["name"] for one in opened.model(YEAR).card["regions"]] == ["Alps / west", "plain"]
    stored = folder / "data" / "model" / str(YEAR)
    assert {"model.onnx", "model_1.onnx"} <= {one.name for one in stored.glob("*.onnx")}
    metrics = json.loads(
        (stored.parents[1] / "evaluation" / str(YEAR) / "metrics.json").read_text()
    )
    assert metrics["overall_accuracy"] > 0.5
    page = next(folder.rglob("report.html")).read_text(encoding="utf-8")
    assert "Each of 2 regions has a classifier of its own" in page
    assert "Lightweight temporal self-attention" in page


@pytest.mark.slow
def test_check_says_how_regions_lie_and_names_what_is_wrong_with_them(
    lc: Command, tmp_path: Path
) -> None:
    asked = _in_patches(tmp_path, 320)
    file = tmp_path / "lc.yaml"
    file.write_text(yaml.safe_dump(json.loads(asked.model_dump_json(exclude_unset=True))))
    done = lc("check", "-c", file)
    assert done.status == 0, done.err
    words = " ".join((done.out + done.err).split())
    assert "2 regions of zones.gpkg with a model each: Alps / west on 6 patches" in words
    (tmp_path / "zones.gpkg").unlink()
    done = lc("check", "-c", file)
    assert done.status == 1
    words = " ".join((done.out + done.err).split())
    assert "model.regions.path: zones.gpkg is not there" in words
