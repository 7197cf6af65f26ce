"""`lc-platform compare`: what is shared is made once, and differences are of the same pixels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lc_platform_tests.command_line import Command
from lc_platform_tests.graphs import YEAR, settings


def written(folder: Path, name: str, columns: int = 2, rows: int = 1, **sections: Any) -> Path:
    few = {"imagery": {"max_cloud_cover": 4}, **sections}
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(settings(columns, rows, **few)))
    return file


@pytest.mark.slow
def test_two_configurations_are_told_apart_and_share_their_imagery(
    lc: Command, tmp_path: Path
) -> None:
    usual = written(tmp_path, "usual")
    sparse = written(tmp_path, "sparse", features={"interval": 96})
    done = lc("compare", usual, sparse)
    assert done.status == 0, done.err
    assert "as its own storage or another configuration has them: 2 raw_bands, 2 cloud" in done.out
    assert "sparse: mosaic" not in done.out  # no map is made, and none is said to be
    assert "sparse: evaluation" in done.out
    assert "There are only 2 blocks: intervals from fewer than 15" in done.out
    assert "The imagery is simulated" in done.out
    found = json.loads((tmp_path / "comparison/comparison.json").read_text())
    assert found["configurations"]["sparse"]["settings"] == {"features.interval": "96"}
    assert "features" not in found["configurations"]["sparse"]["taken_over"]
    of = found["years"][str(YEAR)]
    first, second = of["configurations"]
    assert first["features"] == 2 * second["features"]
    for one in (first, second):
        metrics = tmp_path / "comparison" / one["name"] / f"data/evaluation/{YEAR}/metrics.json"
        told = json.loads(metrics.read_text())
        assert of["pixels"] == told["test_pixels"]
        assert one["scores"]["f1_weighted"][0] == pytest.approx(told["f1_weighted"])
    value, low, high = second["differences"]["f1_weighted"]
    assert value == pytest.approx(
        second["scores"]["f1_weighted"][0] - first["scores"]["f1_weighted"][0]
    )
    assert low <= high
    page = (tmp_path / "comparison/comparison.html").read_text()
    assert "sparse less usual" in page
    assert "There are only 2 blocks: intervals from fewer than 15" in page
    assert "The imagery is simulated" in page

    again = lc("compare", usual, sparse)
    assert again.status == 0
    assert (
        json.loads((tmp_path / "comparison/comparison.json").read_text())["years"]
        == (found["years"])
    )


def test_what_cannot_be_compared_is_refused_with_what_differs(lc: Command, tmp_path: Path) -> None:
    usual = written(tmp_path, "usual")
    assert "Name two or more" in lc("compare", usual).err
    wider = written(tmp_path, "wider", columns=3)
    assert "wider: aoi is not as in usual" in lc("compare", usual, wider).err
    drawn = written(tmp_path, "drawn", sampling={"seed": 7})
    refused = lc("compare", usual, drawn)
    assert refused.status != 0
    assert "drawn: sampling.seed is 7, and 42 in usual" in refused.err
    folded = written(tmp_path, "folded", validation={"folds": 3})
    assert "folded: validation.folds is 3" in lc("compare", usual, folded).err
    other = tmp_path / "other"
    other.mkdir()
    assert "another file is called usual too" in lc("compare", usual, written(other, "usual")).err


PUBLISHED = ("neither", "mask", "filter", "both", "chosen-dates")
EXAMPLES = Path(__file__).parents[2] / "docs" / "comparison"


@pytest.mark.proof
@pytest.mark.slow
def test_the_published_comparison_of_clouds_is_one_command(lc: Command, tmp_path: Path) -> None:
    """The configurations of docs/experiments.md, on less ground and by a lighter classifier."""
    files = []
    for name in PUBLISHED:
        told = yaml.safe_load((EXAMPLES / f"{name}.yaml").read_text(encoding="utf-8"))
        told["aoi"] = settings(2, 1)["aoi"]
        told |= {"model": {"method": "discriminant"}, "sampling": {"pixels_per_patch": 200}}
        files.append(tmp_path / f"{name}.yaml")
        files[-1].write_text(yaml.safe_dump(told), encoding="utf-8")
    done = lc("compare", *files)
    assert done.status == 0, done.err
    found = json.loads((tmp_path / "comparison/comparison.json").read_text())
    assert list(found["configurations"]) == list(PUBLISHED)
    neither, mask, few, both, chosen = found["years"][str(YEAR)]["configurations"]
    assert neither["differences"] is None
    assert found["configurations"]["chosen-dates"]["taken_over"] == {
        "raw_bands": 2, "cloud_masks": 2, "reference_rasters": 2,
    }  # fmt: skip
    assert neither["features"] == mask["features"] == few["features"] == both["features"]
    assert chosen["features"] * 23 == mask["features"] * 17, "17 dates and not 23"
    for one in (mask, few, both, chosen):
        _, low, high = one["differences"]["f1_weighted"]
        assert low <= high
