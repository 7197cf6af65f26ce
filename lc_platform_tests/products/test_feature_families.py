"""Families of features: series by other methods, and features without a date."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lc_platform.cube import InMemoryCube
from lc_platform.eo import indices, texture
from lc_platform.eo.series_layout import date_of
from lc_platform.errors import DataError
from lc_platform.products import features
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.feature_families import (
    Families,
    Harmonics,
    Phenology,
    Series,
    Statistics,
    Texture,
    described,
    of_description,
)
from lc_platform.products.feature_options import FeatureOptions
from lc_platform.products.features import FeatureStack
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform_tests.products import cubes as held

pytestmark = pytest.mark.slow

NDVI = indices.KNOWN["NDVI"]
EVERY: Families = (
    Series(),
    Statistics(of=("NDVI", "B04", "S1_VV"), percentiles=(50.0,), measures=("mean",)),
    Harmonics(of=("NDVI",), order=1, robust=False),
    Phenology(),
)
SETTINGS = FeatureOptions(
    bands=("B04", "B08"),
    indices=(NDVI,),
    interval=120,
    window=64,
    families=EVERY,
    min_valid_fraction=0,
)


def season(shape: tuple[int, int] = (6, 5), times: int = 30) -> tuple[AcquisitionStack, CloudMasks]:
    """A summer of green and of noise, with holes; every pixel is seen."""
    rng = np.random.default_rng(3)
    days = np.linspace(2, 362, times).astype(int)
    green = 0.15 + 0.35 * np.exp(-(((days - 190) / 50) ** 2))
    numbers = np.empty((times, 2, *shape))
    numbers[:, 0] = 900 - 800 * green[:, None, None] + rng.normal(0, 10, (times, *shape))
    numbers[:, 1] = 9000 * green[:, None, None] + rng.normal(0, 10, (times, *shape))
    raw = held.stack(numbers, days.tolist(), ["B04", "B08"])
    valid = rng.random((times, *shape)) < 0.8
    valid[[0, -1]] = True
    return raw, held.masks(raw, valid)


def built(raw: AcquisitionStack, masks: CloudMasks, **changed: Any) -> FeatureStack:
    return FeatureStack(features.build(raw, masks, replace(SETTINGS, **changed)).load())


def named(stack: FeatureStack) -> dict[str, Any]:
    return dict(zip(stack.names, stack.read(), strict=True))


def reflectance(raw: AcquisitionStack) -> Any:
    return np.moveaxis(raw.reflectance().astype(np.float64), 1, 0)


def test_names_are_those_on_dates_then_those_of_the_season() -> None:
    stack = built(*season())
    assert stack.names == (
        "B04_001", "B08_001", "NDVI_001", "B04_121", "B08_121", "NDVI_121",
        "B04_241", "B08_241", "NDVI_241", "B04_361", "B08_361", "NDVI_361",
        "B04_p50", "B04_mean", "NDVI_p50", "NDVI_mean",
        "NDVI_offset", "NDVI_cos1", "NDVI_sin1",
        "NDVI_start", "NDVI_peak", "NDVI_end", "NDVI_length", "NDVI_integral", "NDVI_rise",
        "NDVI_fall",
    )  # fmt: skip
    assert stack.read().shape == (26, 6, 5)
    assert stack.days == (1, 121, 241, 361)
    assert [date_of(name) for name in ("NDVI_121", "NDVI_p50", "NDVI_cos1")] == [121, None, None]


def test_features_are_of_the_valid_observations() -> None:
    raw, masks = season()
    found = named(built(raw, masks))
    red, nir = reflectance(raw)
    valid = masks.valid()
    ndvi = np.where(valid, (nir - red) / (nir + red), np.nan)
    np.testing.assert_allclose(found["NDVI_p50"], np.nanmedian(ndvi, axis=0), atol=1e-5)
    np.testing.assert_allclose(
        found["B04_mean"], np.nanmean(np.where(valid, red, np.nan), axis=0), atol=1e-6
    )
    assert np.abs(found["NDVI_peak"] - 191).max() < 20
    assert (found["NDVI_start"] < found["NDVI_peak"]).all()
    plain = named(built(raw, masks, families=(Series(),)))
    np.testing.assert_array_equal(found["NDVI_121"], plain["NDVI_121"])


def test_windows_and_storing_change_nothing() -> None:
    raw, masks = season((70, 40), times=15)
    whole = features.build(raw, masks, SETTINGS)
    stored = FeatureStack(whole.load())
    parts = built(raw, masks, window=16)
    np.testing.assert_array_equal(stored.read(), parts.read())
    recipe = features.build(raw, masks, replace(SETTINGS, stored=False)).load()
    assert not features.are_stored(recipe)
    assert features.are_stored(stored.cube)
    computed = FeatureStack(features.recomputed(recipe.attributes, raw, masks, threads=1))
    assert computed.names == stored.names
    window = slice(3, 40), slice(20, 31)
    np.testing.assert_array_equal(computed.read(window), stored.read(window))
    layer = computed.cube.read("undated", window, undated_feature=[0, 4])
    np.testing.assert_array_equal(layer, stored.read(window)[[12, 16]])
    assert whole.summary.facts["features"] == 26


def test_a_year_without_a_series_has_no_dates() -> None:
    raw, masks = season()
    cube = features.build(raw, masks, replace(SETTINGS, families=EVERY[1:]))
    stack = FeatureStack(cube.load())
    assert set(cube.layers) == {"undated"}
    assert stack.days == ()
    assert stack.names[0] == "B04_p50"
    assert stack.read().shape == (14, 6, 5)
    assert cube.summary.facts["valid_fraction"] == 1
    assert cube.summary.picture is not None


@pytest.mark.parametrize("method", ["akima", "whittaker", "median", "maximum_ndvi", "medoid"])
def test_a_series_by_another_method_has_the_same_names(method: Any) -> None:
    raw, masks = season()
    linear = named(built(raw, masks, families=(Series(),), interval=60))
    series = Series(method=method, smoothing=1.0 if method == "whittaker" else 100.0)
    found = named(built(raw, masks, families=(series,), interval=60))
    assert list(found) == list(linear)
    if method in ("akima", "whittaker"):
        np.testing.assert_allclose(found["NDVI_181"], linear["NDVI_181"], atol=0.05)
        return
    red, nir = reflectance(raw)
    ndvi = (nir - red) / (nir + red)
    valid = masks.valid() & ((raw.days >= 180) & (raw.days < 240))[:, None, None]
    if method == "median":
        expected = np.nanmedian(np.where(valid, ndvi, np.nan), axis=0)
    elif method == "maximum_ndvi":
        expected = np.nanmax(np.where(valid, ndvi, np.nan), axis=0)
        at = np.where(valid, ndvi, -1).argmax(axis=0)
        np.testing.assert_allclose(
            found["B08_181"], np.take_along_axis(nir, at[None], axis=0)[0], atol=1e-6
        )
    else:  # an index of a medoid is that of its bands
        expected = (found["B08_181"] - found["B04_181"]) / (found["B08_181"] + found["B04_181"])
    np.testing.assert_allclose(found["NDVI_181"], expected, atol=1e-5)


def test_a_geometric_median_tells_what_did_not_converge() -> None:
    raw, masks = season()
    series = Series(method="geometric_median")
    cube = features.build(raw, masks, replace(SETTINGS, families=(series,)))
    cube.load()
    assert cube.summary.facts["composites_not_converged"] >= 0
    assert "composites_not_converged" not in built_facts(raw, masks)


def built_facts(raw: AcquisitionStack, masks: CloudMasks) -> Any:
    cube = features.build(raw, masks, replace(SETTINGS, families=(Series(),)))
    cube.load()
    return cube.summary.facts


def test_a_series_is_on_the_dates_that_are_named() -> None:
    stack = built(*season(), families=(Series(dates=("03-01", "07-15")),))
    assert stack.days == (60, 196)
    assert stack.cube.coordinates["date"].astype("datetime64[D]").astype(str).tolist() == [
        "2018-03-01",
        "2018-07-15",
    ]


def test_an_observation_weighs_what_its_cloud_probability_leaves() -> None:
    raw, _ = season((1, 2), times=40)
    hazy = np.zeros((40, 1, 2))
    hazy[1:-1:3] = 0.995
    raw.cube.arrays["bands"][1:-1:3] += 3000  # type: ignore[attr-defined]
    masks = held.masks(raw, np.ones(hazy.shape, bool), hazy)
    clear = np.ones(hazy.shape, bool)
    clear[1:-1:3] = False
    expected = named(
        built(raw, held.masks(raw, clear), families=(Series(method="whittaker"),), interval=60)
    )
    off = {}
    for weights in ("equal", "cloud_probability"):
        series = Series(method="whittaker", weights=weights)  # type: ignore[arg-type]
        found = named(built(raw, masks, families=(series,), interval=60))
        off[weights] = np.abs(found["B08_181"] - expected["B08_181"]).max()
    assert off["cloud_probability"] < 0.01 < 0.05 < off["equal"]


def test_auxiliary_bands_are_features_of_the_season_too() -> None:
    from lc_platform.products.auxiliary_features import AuxiliaryBands

    raw, masks = season()
    rng = np.random.default_rng(5)
    numbers = rng.integers(100, 9000, (9, 1, 6, 5))
    both = held.beside(raw, "S1", numbers, list(range(10, 100, 10)), ["VV"])
    masks = held.masks(both, masks.valid())
    stack = built(both, masks, auxiliary=(AuxiliaryBands("S1", ("VV",)),))
    assert stack.names[-2:] == ("S1_VV_p50", "S1_VV_mean")
    np.testing.assert_allclose(
        named(stack)["S1_VV_mean"], numbers[:, 0].mean(axis=0) * 1e-4, rtol=1e-5
    )


TEXTURE = Texture(
    of=("NDVI", "B08", "S1_VV"),
    limits={"B08": (0.0, 0.5), "S1_VV": (0.0, 1.0)},
    window=3,
    levels=16,
    measures=("entropy", "contrast"),
)


def with_margin(
    raw: AcquisitionStack, masks: CloudMasks, margin: int
) -> tuple[AcquisitionStack, CloudMasks]:
    """The same, of a patch without the outermost pixels."""
    about = {"margin": margin, "map_margin": margin}
    return tuple(  # type: ignore[return-value]
        type(one)(replace(one.cube, attributes={**one.cube.attributes, **about}))  # type: ignore[type-var]
        for one in (raw, masks)
    )


def test_texture_is_of_the_season_median_around_a_pixel() -> None:
    raw, masks = season((9, 8))
    seen = masks.valid().copy()
    seen[:, 4, 3] = False
    masks = held.masks(raw, seen)
    stack = built(*with_margin(raw, masks, 2), families=(Series(), TEXTURE))
    assert stack.names[12:] == ("B08_entropy", "B08_contrast", "NDVI_entropy", "NDVI_contrast")
    assert stack.margin == 1
    assert stack.geobox.shape == (5, 4)
    red, nir = reflectance(raw)
    medians = [
        np.ma.median(np.ma.array(one, mask=~seen), axis=0).filled(np.nan)
        for one in (nir, (nir - red) / (nir + red))
    ]
    grey = [
        texture.grey_levels(one.astype(np.float32), 0, high, 16)
        for one, high in zip(medians, (0.5, 1), strict=True)
    ]
    expected = texture.measure(np.stack(grey), 16, 3)
    found = stack.read((slice(-1, 6), slice(-1, 5)))[12:].reshape(2, 2, 7, 6)
    np.testing.assert_array_equal(found[:, 0], expected[3])
    np.testing.assert_array_equal(found[:, 1], expected[0])
    wide = with_margin(raw, masks, 2)
    recipe = features.build(*wide, replace(SETTINGS, stored=False, families=(Series(), TEXTURE)))
    computed = FeatureStack(features.recomputed(recipe.load().attributes, *wide))
    edge = slice(-1, 3), slice(2, 5)
    np.testing.assert_array_equal(computed.read(edge), stack.read(edge))
    missing = np.isnan(found).any(axis=(0, 1))
    assert np.argwhere(missing).tolist() == [[3, 2]]


def test_texture_of_auxiliary_bands_is_after_all_that_is_of_the_pixel_alone() -> None:
    from lc_platform.products.auxiliary_features import AuxiliaryBands

    raw, masks = season((40, 21), times=12)
    numbers = np.random.default_rng(5).integers(100, 9000, (9, 1, 40, 21))
    both = held.beside(raw, "S1", numbers, list(range(10, 100, 10)), ["VV"])
    both, masks = with_margin(both, held.masks(both, masks.valid()), 1)
    chosen = {"families": (*EVERY, TEXTURE), "auxiliary": (AuxiliaryBands("S1", ("VV",)),)}
    stack = built(both, masks, **chosen)
    assert stack.names[-8:] == (
        "S1_VV_p50", "S1_VV_mean", "B08_entropy", "B08_contrast", "NDVI_entropy", "NDVI_contrast",
        "S1_VV_entropy", "S1_VV_contrast",
    )  # fmt: skip
    assert stack.margin == 0
    median = np.median(numbers[:, 0] * np.float32(1e-4), axis=0).astype(np.float32)
    expected = texture.measure(texture.grey_levels(median, 0, 1, 16)[None], 16, 3)
    np.testing.assert_array_equal(named(stack)["S1_VV_entropy"], expected[3, 0])
    np.testing.assert_array_equal(stack.read(), built(both, masks, window=16, **chosen).read())
    recipe = features.build(both, masks, replace(SETTINGS, stored=False, **chosen)).load()  # type: ignore[arg-type]
    assert isinstance(recipe, InMemoryCube)
    computed = FeatureStack(features.recomputed(recipe.attributes, both, masks))
    window = slice(3, 17), slice(5, 20)
    np.testing.assert_array_equal(computed.read(window), stack.read(window))


def test_texture_needs_imagery_around_a_patch() -> None:
    with pytest.raises(
        DataError,
        match=r"patch 33N-r000-c000, 2018: texture \(features\.texture\) is made from a margin "
        r"around the patch, 1 px wide, and that of raw_bands is 0 px\. Materialize raw_bands, clo",
    ):
        built(*season(), families=(Series(), TEXTURE))


def test_fewer_observations_than_coefficients_are_refused() -> None:
    raw, masks = season(times=6)
    with pytest.raises(
        DataError,
        match=r"patch 33N-r000-c000, 2018: features\.harmonics needs observations of 7 days, and "
        r"the acquisitions that are used are of 6\. Lower features\.harmonics\.order, raise",
    ):
        built(raw, masks, families=(Harmonics(of=("NDVI",), order=3),))


def test_families_are_read_as_they_were_described() -> None:
    families = (
        *EVERY[1:],
        TEXTURE,
        Series("whittaker", ("04-01",), 5.0, ("NDVI",), "cloud_probability"),
    )
    assert of_description(described(families)) == families
