"""Indices of the catalogue, and expressions over bands."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from lc_platform.catalogue import SENTINEL2_BANDS
from lc_platform.eo import indices

REFLECTANCE = {
    band: np.array([value, value / 2, np.nan], np.float32)
    for band, value in zip(
        SENTINEL2_BANDS,
        (0.04, 0.05, 0.08, 0.06, 0.11, 0.25, 0.3, 0.32, 0.34, 0.33, 0.01, 0.2, 0.12),
        strict=True,
    )
}
BLUE, RED, NIR = 0.05, 0.06, 0.32


def computed(specification: Any) -> NDArray[np.float32]:
    return indices.compute(indices.parse(specification, ()), REFLECTANCE)


@pytest.mark.parametrize(
    ("specification", "expected"),
    [
        # Huete et al. 2002
        ("EVI", 2.5 * (NIR - RED) / (NIR + 6 * RED - 7.5 * BLUE + 1)),
        # Huete 1988, with the usual soil factor of 0.5 instead of the catalogue's 1
        ({"SAVI": {"L": 0.5}}, 1.5 * (NIR - RED) / (NIR + RED + 0.5)),
        # Qi et al. 1994, a root
        ("MSAVI", (2 * NIR + 1 - math.sqrt((2 * NIR + 1) ** 2 - 8 * (NIR - RED))) / 2),
        # Camps-Valls et al. 2021: tanh(NDVI^2)
        ("kNDVI", math.tanh(((NIR - RED) / (NIR + RED)) ** 2)),
        # Jiang et al. 2008
        (
            {"EVI2": "2.5 * (B08 - B04) / (B08 + 2.4 * B04 + 1)"},
            2.5 * (NIR - RED) / (NIR + 2.4 * RED + 1),
        ),
        ({"A": {"formula": "nir ** p / (red + c)", "p": 3, "c": 1}}, NIR**3 / (RED + 1)),
        ({"A": "-B08 * -(+B04) + 1e-1"}, NIR * RED + 0.1),
    ],
)
def test_an_index_follows_its_publication(specification: Any, expected: float) -> None:
    found = computed(specification)
    assert found.dtype == np.float32
    assert found[0] == pytest.approx(expected, rel=2e-6)
    assert np.isnan(found[2])


def test_every_index_of_the_catalogue_can_be_computed() -> None:
    names = [name for name in indices.catalogue() if name != "NIRvP"]
    assert len(names) > 200
    for name in names:
        index = indices.parse(name, ())
        assert set(index.bands) <= set(SENTINEL2_BANDS), name
        assert indices.compute(index, REFLECTANCE).shape == (3,), name
    with pytest.raises(ValueError, match=r"NIRvP: PAR has no usual value\. Give it: {NIRvP: {PAR:"):
        indices.parse("NIRvP", ())


leaf = st.sampled_from(["B02", "B04", "B08", "0.5", "2", "1.25"])
trees = st.recursive(
    leaf,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        inner.map(lambda one: f"(-{one})"),
        inner.map(lambda one: f"({one}) ** 2"),
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(trees)
def test_an_expression_is_what_python_computes(text: str) -> None:
    rng = np.random.default_rng(5)
    bands = {band: rng.uniform(0.05, 0.9, 700) for band in ("B02", "B04", "B08")}
    try:
        index = indices.parse({"X": text}, ())
    except ValueError:
        return  # no band, or nothing to divide by
    as_read = {name: value.astype(np.float32) for name, value in bands.items()}
    exact = eval(text, {"__builtins__": {}}, {n: v.astype(np.float64) for n, v in as_read.items()})
    found = indices.compute(index, as_read)
    # Rounding grows where terms nearly cancel out: of all the pixels most are far from that.
    close = np.isclose(found, exact, rtol=1e-3, atol=1e-3)
    assert close.mean() > 0.9


@pytest.mark.parametrize("shape", [(), (0, 4, 5), (3,), (1, 1), (5, 7, 9), (2, 40_001), (700, 201)])
def test_bands_of_any_size_are_computed_wherever_they_lie(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(2)
    index = indices.parse({"X": "2 * B08 / (B04 + B02 - B08)"}, ())
    table = rng.random((*shape[:1], 3, *shape[1:])).astype(np.float32)
    beside = {band: table[:, i] if shape else table[i] for i, band in enumerate(index.bands)}
    nir, red, blue = (beside[band] for band in ("B08", "B04", "B02"))
    found = indices.compute(index, beside)
    assert found.shape == shape
    np.testing.assert_array_equal(found, np.float32(2) * nir / (red + blue - nir))


def test_what_has_no_value_is_missing() -> None:
    values = {"B08": np.array([0.0, 4.0], np.float32), "B04": np.array([0.0, 0.0], np.float32)}
    for text in ("B08 / B04", "(B04 - B08) ** 0.5 / B08"):
        found = indices.compute(indices.parse({"X": text}, ()), values)
        assert np.isnan(found).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2.5 * (B08 - B4)", "character 14 ('B4)'): B4 is neither a band nor a constant that is"),
        ("B08\n + B4", "character 8 ('B4'): B4 is neither a band"),
        ("B08 - B4", "Did you mean B04?"),
        ("B02 + max(B08, B04)", "character 7 ('max(B08, B04'): functions cannot be called."),
        ("__import__('os').system('x')", "character 1 ('__import__('): this is no arithmetic|"),
        ("B08 / (B04 - B04)", "character 8 ('B04 - B04)'): this is zero whatever the bands are"),
        ("B08 / 0", "character 7 ('0'): this is zero whatever the bands are"),
        ("(0 - B04) ** 0.5", "it has no value at any reflectance between 0 and 1"),
        ("B08 ^ 2", "^ is no power. Write ** for one"),
        ("B08 // B04", "this operator is not known. There are + - * / and **"),
        ("B08 > B04", "this is no arithmetic"),
        ("B08 +", "cannot be read as arithmetic"),
        ("B08) * (B04", "character 4 (') * (B04') closes what is not open"),
        ("1 + 2", "there is no band in it"),
        ("  ", "there is nothing in it"),
        ("-" * 500 + "B08", "it is too deeply nested"),
        ("B08 + " * 200 + "B08", "it has 1203 characters, and 600 are the most"),
        ("1" * 400 + " * B08", "character 1 ('111111111111'): this number is too large"),
    ],
)
def test_an_expression_that_cannot_be_used_is_refused_at_its_character(
    text: str, message: str
) -> None:
    with pytest.raises(ValueError, match=r"^X: ") as raised:
        indices.parse({"X": text}, ())
    assert any(part in str(raised.value) for part in message.split("|"))


@pytest.mark.parametrize(
    ("specification", "message"),
    [
        ({"SAVI": {"M": 1.0}}, "SAVI: has no constant M; it has L"),
        ({"MINE": {"L": 1.0}}, "MINE is no index of Awesome Spectral Indices"),
        ({"X": {"formula": "B08", "B04": 1.0}}, "X: B04 cannot name a constant: it is a band"),
    ],
)
def test_constants_that_fit_nothing_are_refused(specification: Any, message: str) -> None:
    with pytest.raises(ValueError, match=r"^[A-Z]") as raised:
        indices.parse(specification, ())
    assert message in str(raised.value)


def test_equal_expressions_have_one_version() -> None:
    one, other = (
        indices.parse({"X": text}, ()) for text in ("(nir-B04)/2", "( B08 - red ) / 2.0\n")
    )
    assert one == other
    assert "formula" in one.counted
    assert indices.KNOWN["NDVI"].counted == {
        "name": "NDVI",
        "bands": ("B08", "B04"),
        "kind": "normalized_difference",
    }
