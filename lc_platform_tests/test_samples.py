"""Samples by other strategies than the default, and those that users bring, through the graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from pyproj import Transformer

from lc_platform import config
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import key
from lc_platform.commands.inputs import inspect
from lc_platform.platform import Platform
from lc_platform_tests.sites import SIDE, Site, names, site
from lc_platform_tests.sources.stac.catalogs import ORIGIN

YEAR = 2021
KEYS = {"path": "points.parquet", "attribute": "kind"}


def bring(made: Site, beyond: int = 0) -> int:
    """Write points of both classes on all three patches, in the middles of pixels, and some beyond;
    return how many there are of the year."""
    rows, columns = np.meshgrid(np.arange(2, SIDE, 4), np.arange(1, 3 * SIDE, 4))
    west = (columns % SIDE < SIDE // 2).ravel()
    kinds = np.where(west, "bare", "green")
    x = ORIGIN[0] + 10 * columns.ravel() + 5
    y = ORIGIN[1] - 10 * rows.ravel() - 5
    x[:beyond] -= 5000
    longitude, latitude = Transformer.from_crs(32633, 4326, always_xy=True).transform(x, y)
    dates = np.where(np.arange(len(x)) % 5 == 4, "2020-06-01", "2021-06-01")
    table = {"lon": longitude, "lat": latitude, "kind": kinds, "date": dates}
    pandas.DataFrame(table).to_parquet(made.folder / KEYS["path"])
    return int((dates == "2021-06-01").sum())


def opened(made: Site, asset: str, patch: str | None = None) -> Any:
    store = Platform(config.load(made.folder / "lc.yaml")).store
    return formats()[asset].open(store, key(asset, patch, YEAR))


def learnt(made: Site) -> dict[str, Any]:
    report = made.run()
    assert report.succeeded, report.failures
    return {p: opened(made, "training_samples", p) for p in names(made.store, "training_samples")}


@pytest.mark.proof
@pytest.mark.slow
def test_a_map_is_made_of_points_alone_and_judged_by_those_of_its_year(tmp_path: Path) -> None:
    made = site(tmp_path, patches=3)
    count = bring(made, beyond=3)
    made.configure(
        reference={"path": None, "attribute": None}, sampling={"points": KEYS},
    )  # fmt: skip
    said = inspect(Platform(config.load(made.folder / "lc.yaml")))
    assert said.problems == []
    assert [w for w in said.warnings if "sampling.points" in w] == [
        f"sampling.points: 3 of the {count} points of 2021 lie on no patch of the area, and are no "
        "samples. Extend the area, or check their CRS"
    ]
    samples = learnt(made)
    assert sum(map(len, samples.values())) == count - 3
    assert all(one.points.all() for one in samples.values())
    card, metrics = opened(made, "model").card, opened(made, "evaluation").metrics
    assert card["points"] == {"of_year": count, "sampled": count - 3}
    assert any(w.startswith(f"3 of the {count} points of") for w in card["split_warnings"])
    assert metrics["test_pixels"] == count - 3
    assert metrics["overall_accuracy"] > 0.9


@pytest.mark.slow
@pytest.mark.proof
def test_samples_are_drawn_by_polygon_and_points_train_beside_them(tmp_path: Path) -> None:
    made = site(tmp_path, patches=3)
    count = bring(made)
    made.configure(
        sampling={
            "strategy": "by_polygon",
            "pixels_per_polygon": 5,
            "erosion": 1,
            "class_erosion": {"green": 0},
            "core_fraction": 0.2,
            "class_weights": {"green": 2},
            "sample_weights": "by_polygon",
            "points": KEYS,
        }
    )
    samples = learnt(made)
    assert sum(int(one.points.sum()) for one in samples.values()) == count
    for one in samples.values():
        drawn = ~one.points[: one.for_training]
        _, of_polygon = np.unique(one.polygons[: one.for_training][drawn], return_counts=True)
        assert set(of_polygon.tolist()) == {5}
        assert not one.for_validation[: len(drawn)][~drawn].any()
        assert one.for_validation.any()
    card = opened(made, "model").card
    assert (card["class_weights"], card["sample_weights"]) == ({"green": 2.0}, "by_polygon")
    assert opened(made, "evaluation").metrics["overall_accuracy"] > 0.9
