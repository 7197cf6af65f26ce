"""Change through the commands and jobs that people use, on three simulated years."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
import rasterio
import yaml

from benchmarks import change as planted
from lc_platform import config as configuration
from lc_platform.artefacts.layout import Partition
from lc_platform.artefacts.records import Records
from lc_platform.config import Config
from lc_platform.storage.store import Store
from lc_platform_tests import graphs
from lc_platform_tests.artefacts.snapshots import look, run

pytestmark = pytest.mark.slow

YEARS = [2021, 2022, 2023]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Config:
    data = graphs.settings(1, 2)
    data |= {"years": YEARS, "change": {"enabled": True, "series": "none"}}
    folder = tmp_path_factory.mktemp("change")
    (folder / "lc-platform.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    config = configuration.load(folder / "lc-platform.yaml")
    report = run(config)
    assert report.succeeded, (report.failures, report.stopped)
    assert {(asset, year) for asset, year in report.made if asset == "change"} == {
        ("change", "2022"), ("change", "2023"),
    }  # fmt: skip
    return config


def test_a_run_makes_the_change_of_all_years_but_the_first_on_the_grid_of_the_maps(
    made: Config,
) -> None:
    root = Path(made.storage_url)
    assert not (root / "change" / "2021.tif").exists()
    for year in (2022, 2023):
        with (
            rasterio.open(root / f"change/{year}.tif") as change,
            rasterio.open(root / f"mosaic/{year}/land_cover.tif") as land_cover,
        ):
            assert change.shape == land_cover.shape
            assert change.transform == land_cover.transform
        table = pq.read_table(root / f"change/{year}.parquet").to_pydict()
        with rasterio.open(root / f"change/{year}.tif") as change:
            known = int((change.read(change.descriptions.index("class_before") + 1) > 0).sum())
        assert sum(table["pixels"]) == known > 0


@pytest.mark.proof
def test_a_second_run_makes_nothing(made: Config) -> None:
    again = run(made)
    assert again.succeeded
    assert not again.made
    assert ("change", "2022") in again.current


def test_a_job_makes_a_year_alone_and_shows_its_transitions(made: Config) -> None:
    platform = graphs.Platform(made)
    Records(Store(made.storage_url)).forget("change", Partition(year=2023))
    assert platform.launch("grid").success
    done = platform.launch("change_detection", ["2023"])
    assert done.success
    (event,) = platform.materializations("change")
    assert "all changes" in str(event.metadata["transitions"].value)
    assert event.metadata["from_year"].value == 2022
    assert look(made).states("change", 2023)[Partition(year=2023)].kind == "current"


def test_a_year_whose_predictions_are_gone_has_no_change_and_the_run_says_so(
    made: Config,
) -> None:
    records = Records(Store(made.storage_url))
    for patch in look(made).patches():
        records.forget("predictions", Partition(patch, 2021))
    report = run(made, years=[2022], select=["change"])
    assert "change of 2022: is not made, since there are no predictions of 2021" in report.warnings


@pytest.mark.proof
def test_planted_change_is_found_and_rotated_crops_are_no_change(tmp_path: Path) -> None:
    found = planted.measure(planted.made(tmp_path, patches=2))
    by_method = {(one.year, one.method): one for one in found}
    for year in planted.YEARS[1:]:
        change = by_method[year, "change"]
        laid_over = by_method[year, "two maps laid over one another"]
        assert change.found >= planted.FOUND
        assert change.false <= planted.FALSE
        assert change.false < laid_over.false
