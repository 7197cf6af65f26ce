"""From a map to areas with their uncertainty: a sample is drawn, judged, and read by a run."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas
import pytest
import rasterio
import yaml
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.config import Config
from lc_platform.sources import open_source
from lc_platform.sources.simulated import SimulatedArchive
from lc_platform_tests.command_line import Command
from lc_platform_tests.graphs import YEAR, configured


def judge(config: Config, file: Path) -> NDArray[np.uint8]:
    """Write the simulated truth at each point, as people do in QGIS; returns all of it, (y, x)."""
    archive = open_source(config)
    assert isinstance(archive, SimulatedArchive)
    with rasterio.open(Path(config.storage_url) / f"mosaic/{YEAR}/land_cover.tif") as raster:
        truth = archive.truth(GeoBox(raster.shape, raster.transform, raster.crs.to_string()))
        points = geopandas.read_file(file, layer="reference_sample")
        rows, columns = rasterio.transform.rowcol(
            raster.transform, points.geometry.x, points.geometry.y
        )
    classes = truth[np.asarray(rows, int), np.asarray(columns, int)]
    points["reference"] = [config.class_names[int(one)] for one in classes]
    points.to_file(file, layer="reference_sample", driver="GPKG")
    return np.asarray(truth)


@pytest.mark.slow
def test_a_judged_sample_gives_the_areas_of_the_next_run_their_intervals(
    lc: Command, tmp_path: Path
) -> None:
    config = configured(tmp_path, columns=2, rows=1)
    written = tmp_path / "lc-platform.yaml"
    settings: dict[str, Any] = config.model_dump(exclude_unset=True, mode="json")
    written.write_text(yaml.safe_dump(settings), encoding="utf-8")
    store = Path(config.storage_url)
    sample, areas = store / f"reference_sample/{YEAR}.gpkg", store / f"area_statistics/{YEAR}.json"

    assert lc("run", "-c", written).status == 0
    counted = json.loads(areas.read_text())
    assert "there is no reference sample" in counted["no_estimate_because"]

    drawn = lc("sample", "-c", written, "--year", YEAR, "--points", 150)
    assert drawn.status == 0, drawn.err
    assert f"{sample}: 150 points of " in drawn.out
    assert "a standard error of 0.0" in drawn.out
    assert "filled in from the training reference" in drawn.out
    truth = judge(config, sample)
    judged = sample.read_bytes()
    refused = lc("sample", "-c", written, "--year", YEAR)
    assert refused.status == 1
    assert "is there already, and what people have judged is not overwritten" in refused.err

    status = lc("status", "-c", written)
    assert "area_statistics" in status.out
    assert "1: the reference sample has changed" in status.out
    again = lc("run", "-c", written)
    assert again.status == 0, again.err
    assert "3 artefacts made" in again.out  # areas, the report and the catalogue
    assert f"Areas:         {areas}" in again.out
    mailed = tmp_path / "mailed.html"
    reported = lc("report", "-c", written, "--year", YEAR, "-o", mailed)
    assert (reported.status, reported.err.count("warning")) == (0, 0)
    assert f"Report of {YEAR}:   {mailed}" in reported.out
    assert mailed.read_bytes() == (store / f"evaluation/{YEAR}/report.html").read_bytes()
    elsewhere = lc("report", "-c", written, "-o", tmp_path / "no folder" / "mailed.html")
    assert elsewhere.status == 1
    assert "cannot be written (No such file or directory). Give another file" in elsewhere.err
    told = json.loads(areas.read_text())
    assert told["no_estimate_because"] is None
    assert told["sample"]["judged"] == 150
    total = told["total"]
    for one in total["classes"]:
        true = int((truth == one["id"]).sum()) / 100  # pixels of 10 m, in hectares
        found = one["hectares"]
        assert found["low"] <= found["value"] <= found["high"]
        # Of ten intervals of 95 % one may miss; none misses by as much again.
        width = found["high"] - found["low"]
        assert found["low"] - width / 2 <= true <= found["high"] + width / 2, one
    assert math.isclose(sum(c["hectares"]["value"] for c in total["classes"]), truth.size / 100)
    table = pandas.read_parquet(areas.with_suffix(".parquet"))
    assert table["hectares"].tolist() == [c["hectares"]["value"] for c in total["classes"]]

    assert sample.read_bytes() == judged
    assert "Nothing had to be made" in lc("run", "-c", written).out
    verified = lc("verify", "-c", written)
    assert verified.status == 0
    assert "0 damaged" in verified.out
