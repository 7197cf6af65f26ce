"""Change of a country from one year to the next, joined from patches."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
from numpy.typing import NDArray

from lc_platform.artefacts.formats import ChangeFormat
from lc_platform.errors import DataError
from lc_platform.products.change import CONFIRMED, DENIED, UNCONFIRMED, Change, ChangeStatistics
from lc_platform.products.options import ChangeOptions
from lc_platform.report.change_table import change_table
from lc_platform.storage.raster_cube import RasterCube
from lc_platform_tests.products.cubes import west_of
from lc_platform_tests.products.patches import COLUMNS, ROWS, patch
from lc_platform_tests.products.probabilities import Country

pytestmark = pytest.mark.slow

CLASSES = {1: ("field", "#f2d04a"), 2: ("root crops", "#e8902c"), 5: ("wood", "#3f9b45")}
FIELD, CROPS, WOOD = 1, 2, 5
YEARS = (2019, 2020, 2021)
OPTIONS = ChangeOptions(classes=CLASSES, rotations=((FIELD, CROPS),), rate=0.02, probability=0.5)
SHAPE = (ROWS, COLUMNS)


class ChangingCountry(Country):
    """A country of three years, and the change of them."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, YEARS, [*CLASSES])

    def change(
        self, year: int, options: ChangeOptions = OPTIONS, years: tuple[int, ...] = YEARS
    ) -> tuple[dict[str, NDArray[Any]], ChangeStatistics]:
        """The layers of the stored change of a year, and what is told of it."""
        read = {one: self.predictions[one] for one in years}
        target = f"change/{year}.tif"
        ChangeFormat().write(self.store, target, Change(year, self.patches, read, options))
        ChangeFormat().check(self.store, target)
        cube = RasterCube(self.store, target)
        found = {name: cube.read(name) for name in cube.layers}
        return found, ChangeFormat().open(self.store, target)


def everywhere(value: int) -> NDArray[np.uint8]:
    return np.full(SHAPE, value, np.uint8)


def felled(*, at: slice, of: int = WOOD, to: int = FIELD) -> NDArray[np.uint8]:
    classes = everywhere(of)
    classes[at] = to
    return classes


@pytest.fixture
def country(tmp_path: Path) -> ChangingCountry:
    return ChangingCountry(tmp_path)


def test_a_change_that_lasts_is_found_and_one_that_is_taken_back_is_denied(
    country: ChangingCountry,
) -> None:
    middle = felled(at=slice(0, 20))
    middle[30:40] = FIELD
    country.add(patch(0, 0), everywhere(WOOD), middle, felled(at=slice(0, 20)))
    layers, told = country.change(2020)
    assert (layers["change"][:20] == FIELD).all()
    assert (layers["change"][20:] == 0).all()
    assert (layers["class_before"] == WOOD).all()
    assert (layers["class_after"][20:] == WOOD).all()
    assert (layers["confirmation"][:20] == CONFIRMED).all()
    assert (layers["confirmation"][30:40] == DENIED).all()
    assert (layers["confirmation"][40:] == 0).all()
    changed = told.content["changed"]
    assert changed["pixels"] == changed["confirmed_pixels"] == 20 * COLUMNS
    # 10 m pixels are a hundredth of a hectare.
    assert changed["mapped_hectares"] == pytest.approx(20 * COLUMNS / 100)
    assert told.content["denied_pixels"] == 10 * COLUMNS


def test_without_another_year_a_change_is_not_confirmed(country: ChangingCountry) -> None:
    country.add(patch(0, 0), everywhere(WOOD), felled(at=slice(0, 20)))
    layers, told = country.change(2020, years=(2019, 2020))
    assert (layers["confirmation"][:20] == UNCONFIRMED).all()
    assert told.content["changed"]["confirmed_pixels"] == 0


def test_crops_that_rotate_are_transitions_and_no_change(country: ChangingCountry) -> None:
    country.add(patch(0, 0), everywhere(FIELD), everywhere(CROPS), everywhere(FIELD))
    layers, told = country.change(2020)
    assert (layers["class_before"] == FIELD).all()
    assert (layers["class_after"] == CROPS).all()
    assert not layers["change"].any()
    (row,) = told.rows
    assert (row["from_name"], row["to_name"], row["is_change"]) == ("field", "root crops", False)


def test_a_forbidden_transition_is_never_found(country: ChangingCountry) -> None:
    country.add(patch(0, 0), everywhere(FIELD), everywhere(WOOD), everywhere(WOOD))
    free, _ = country.change(2020)
    assert (free["change"] == WOOD).all()
    rules = replace(OPTIONS, forbidden=((FIELD, WOOD), (CROPS, WOOD)))
    bound, _ = country.change(2020, rules)
    assert not bound["change"].any()
    assert (bound["class_before"] == bound["class_after"]).all()


def test_a_change_counts_from_the_probability_that_is_asked_for(country: ChangingCountry) -> None:
    country.add(patch(0, 0), everywhere(WOOD), felled(at=slice(0, 20)))
    pair = (2019, 2020)
    layers, _ = country.change(2020, years=pair)
    share = int(layers["change_probability"][0, 0])
    assert 50 < share < 99
    strict = replace(OPTIONS, probability=(share + 1) / 100)
    assert not country.change(2020, strict, pair)[0]["change"].any()


def test_patches_are_joined_as_in_the_mosaic_and_as_if_they_were_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    whole = [rng.choice([0, FIELD, CROPS, WOOD], (ROWS, 2 * COLUMNS)) for _ in YEARS]
    one, two = ChangingCountry(tmp_path / "one"), ChangingCountry(tmp_path / "two")
    one.add(patch(0, 0, (ROWS, 2 * COLUMNS)), *whole)
    for column in range(2):
        part = slice(column * COLUMNS, (column + 1) * COLUMNS)
        two.add(patch(0, column), *(values[:, part] for values in whole))
    together, _ = one.change(2020)
    apart, told = two.change(2020)
    for name, values in together.items():
        np.testing.assert_array_equal(values, apart[name], name)
    no_data = (whole[0] == 0) | (whole[1] == 0)
    assert (apart["class_before"] == 0).tolist() == no_data.tolist()
    assert told.content["no_data_pixels"] == no_data.sum()


def test_beyond_the_area_nothing_changes(country: ChangingCountry) -> None:
    country.add(patch(0, 0), everywhere(WOOD), everywhere(FIELD), everywhere(FIELD))
    area = west_of(40)
    shifted = replace(OPTIONS, area=area)
    inside = area.on(country.patches[0].geobox).read((slice(0, ROWS), slice(0, COLUMNS)))
    layers, _ = country.change(2020, shifted)
    np.testing.assert_array_equal(layers["change"] > 0, inside)


def test_a_patch_that_a_year_lacks_has_no_change_and_one_that_the_third_lacks_has(
    country: ChangingCountry,
) -> None:
    after = felled(at=slice(0, 20))
    country.add(patch(0, 0), everywhere(WOOD), after, None)
    country.add(patch(0, 1), everywhere(WOOD), None, after)
    country.add(patch(0, 2), everywhere(WOOD), after, after)
    layers, _ = country.change(2020)
    by_patch = np.split(layers["confirmation"], 3, axis=1)
    assert (by_patch[0][:20] == UNCONFIRMED).all()
    assert not by_patch[1].any()
    assert (by_patch[2][:20] == CONFIRMED).all()
    assert not np.split(layers["class_after"], 3, axis=1)[1].any()


def test_a_year_without_model_is_said_where_it_was_to_confirm(country: ChangingCountry) -> None:
    country.add(patch(0, 0), everywhere(WOOD), everywhere(FIELD))
    _, told = country.change(2020)
    assert told.content["years"] == [2019, 2020]
    assert told.content["warnings"] == [
        "2021 has no predictions, and no say in what has changed from 2019 to 2020"
    ]


def test_a_year_without_model_is_refused_where_change_is_to_be_from_it(
    country: ChangingCountry,
) -> None:
    country.add(patch(0, 0), None, everywhere(FIELD), everywhere(FIELD))
    with pytest.raises(DataError, match="2020: no patch of 2019 has a prediction"):
        country.change(2020)


def test_predictions_without_probabilities_are_refused_by_name(country: ChangingCountry) -> None:
    country.add(patch(0, 0), everywhere(WOOD), everywhere(FIELD), keep=False)
    with pytest.raises(DataError, match=r"patch 33N-r0-c0, 2019: .*without the probabilities"):
        country.change(2020)


def test_rules_that_leave_the_known_classes_nothing_are_refused(country: ChangingCountry) -> None:
    country.add(patch(0, 0), everywhere(WOOD), everywhere(FIELD))
    pairs = tuple((one, other) for one in CLASSES for other in CLASSES if one != other)
    with pytest.raises(DataError, match=r"change\.forbidden leaves the classes"):
        country.change(2020, ChangeOptions(classes=CLASSES, forbidden=pairs))


def test_years_that_are_made_consistent_hold_no_class_of_one_year_alone(
    country: ChangingCountry,
) -> None:
    blip = felled(at=slice(0, 20))
    country.add(patch(0, 0), everywhere(WOOD), blip, everywhere(WOOD))
    options = replace(OPTIONS, series="markov")
    first, _ = country.change(2020, options)
    second, _ = country.change(2021, options)
    assert (first["consistent_class"] == WOOD).all()
    np.testing.assert_array_equal(first["consistent_class"], second["consistent_class_before"])


def test_over_several_years_a_change_is_as_probable_as_in_all_of_them(
    country: ChangingCountry,
) -> None:
    """Of two years that lie four apart: the rate of a year, four times."""
    country.add(patch(0, 0), everywhere(WOOD), everywhere(FIELD))
    near, _ = country.change(2020, years=(2019, 2020))
    read = {2016: country.predictions[2019], 2020: country.predictions[2020]}
    ChangeFormat().write(country.store, "far.tif", Change(2020, country.patches, read, OPTIONS))
    far = RasterCube(country.store, "far.tif").read("change_probability")
    assert far[0, 0] > near["change_probability"][0, 0]


def test_other_programs_see_names_and_colours_and_the_table(
    country: ChangingCountry, tmp_path: Path
) -> None:
    country.add(patch(0, 0), everywhere(WOOD), felled(at=slice(0, 20)), felled(at=slice(0, 20)))
    _, told = country.change(2020)
    with rasterio.open(tmp_path / "change" / "2020.tif") as raster:
        assert raster.descriptions[0] == "change"
        assert raster.nodata == 0
        assert raster.colormap(1)[WOOD] == (0x3F, 0x9B, 0x45, 255)
    names = (tmp_path / "change" / "2020.tif.aux.xml").read_text()
    assert "<Category>change that other years confirm</Category>" in names
    table = pq.read_table(tmp_path / "change" / "2020.parquet").to_pylist()
    rows = {(row["from_name"], row["to_name"]): row["pixels"] for row in table}
    assert rows == {("wood", "field"): 20 * COLUMNS, ("wood", "wood"): (ROWS - 20) * COLUMNS}
    content = json.loads((tmp_path / "change" / "2020.json").read_text())
    assert content["model_versions"] == {"2019": "m2019", "2020": "m2020", "2021": "m2021"}
    assert "| wood | field | 18.0 | 100 % | | |" in change_table(told)
