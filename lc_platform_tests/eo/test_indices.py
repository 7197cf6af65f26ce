"""Spectral indices."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from numpy.typing import NDArray

from lc_platform.eo import indices

BANDS = ("B02", "B03", "B04", "B08", "B11", "B12")


def one(value: float) -> NDArray[np.float32]:
    return np.array([value], np.float32)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NDVI", (0.4 - 0.1) / (0.4 + 0.1)),
        ("NDWI", (0.08 - 0.4) / (0.08 + 0.4)),
        ("NDBI", (0.2 - 0.4) / (0.2 + 0.4)),
        ("NORM", (0.05**2 + 0.08**2 + 0.1**2 + 0.4**2 + 0.2**2 + 0.12**2) ** 0.5),
    ],
)
def test_a_known_index_follows_its_formula(name: str, expected: float) -> None:
    values = dict(zip(BANDS, map(one, (0.05, 0.08, 0.1, 0.4, 0.2, 0.12)), strict=True))
    found = indices.compute(indices.parse(name, BANDS), values)
    assert found.dtype == np.float32
    assert found[0] == pytest.approx(expected, abs=1e-6)


def test_any_normalized_difference_can_be_named() -> None:
    index = indices.parse({"NDSI": ["B03", "B11"]}, BANDS)
    assert index == indices.Index("NDSI", ("B03", "B11"))
    assert indices.compute(index, {"B03": one(0.75), "B11": one(0.25)})[0] == 0.5


def test_a_name_with_bands_goes_before_the_known_one() -> None:
    assert indices.parse({"NDVI": ["B8A", "B04"]}, BANDS).bands == ("B8A", "B04")


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"NDVY is no known index \(NDVI, NDWI, NDBI, NORM\)"):
        indices.parse("NDVY", BANDS)


@pytest.mark.parametrize(
    "specification",
    [
        {"X": ["B03"]},
        {"X": ["B03", "B03"]},
        {"X": ["B1", "B2", "B3"]},
        {},
        {
            "X": ["B03", "B04"],
            "Y": ["B03", "B04"],
        },
    ],
)
def test_what_is_not_one_name_with_two_bands_is_refused(
    specification: dict[str, list[str]],
) -> None:
    with pytest.raises(ValueError, match="two"):
        indices.parse(specification, BANDS)


def test_bands_that_only_an_index_needs_come_after_those_of_the_features() -> None:
    chosen = [indices.parse(name, ["B02", "B04"]) for name in ("NDBI", "NDVI", "NORM")]
    assert indices.required_bands(chosen, ["B02", "B04"]) == ("B02", "B04", "B11", "B08")


def test_the_norm_is_over_the_feature_bands_alone() -> None:
    norm = indices.parse("NORM", ["B03", "B04"])
    values = {"B03": one(3), "B04": one(4), "B08": one(100)}
    assert indices.compute(norm, values)[0] == 5


def test_a_sum_of_zero_and_a_missing_band_give_no_index() -> None:
    a = np.array([0, 0.25, np.nan, 0.5], np.float32)
    b = np.array([0, -0.25, 0.5, np.nan], np.float32)
    assert np.isnan(indices.normalized_difference(a, b)).all()
    assert np.isnan(indices.norm([a, b])[2:]).all()


def test_the_bands_are_left_as_they_were() -> None:
    a, b = np.array([0.5], np.float32), np.array([0.25], np.float32)
    a.setflags(write=False)
    b.setflags(write=False)
    indices.normalized_difference(a, b)
    indices.norm([a, b])
    assert (a[0], b[0]) == (0.5, 0.25)


@pytest.mark.real_data
def test_ndvi_of_the_five_scenes_is_the_published_one(shared_data: Path) -> None:
    def band(scene: Path, name: str) -> NDArray[np.float32]:
        with rasterio.open(scene / f"{name}.tif") as file:
            digital_numbers: NDArray[np.uint16] = file.read(1)
        return digital_numbers.astype(np.float32) / np.float32(10_000)

    def sensed(item: Path) -> str:
        return str(json.loads(item.read_text())["properties"]["datetime"])

    items = sorted((shared_data / "slovenia" / "l1c").glob("*/*.json"), key=sensed)
    ndvi = indices.parse("NDVI", ())
    found = np.stack(
        [indices.compute(ndvi, {b: band(item.parent, b) for b in ndvi.bands}) for item in items]
    )
    expected = np.load(shared_data / "slovenia" / "expected" / "ndvi.npy")
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
