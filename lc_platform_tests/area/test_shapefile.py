"""What a shapefile lacks is told before it is read."""

from __future__ import annotations

from pathlib import Path

import geopandas
import pytest
import shapely

from lc_platform.area.boundary import BoundaryError, from_file
from lc_platform.area.shapefile import problem


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Five squares with an attribute, in their five files."""
    squares = [shapely.box(14 + i / 100, 46, 14.01 + i / 100, 46.01) for i in range(5)]
    table = geopandas.GeoDataFrame({"name": list("abcde")}, geometry=squares, crs="EPSG:4326")
    path = tmp_path / "Feldblöcke (2021).shp"
    table.to_file(path)
    return path


def test_a_whole_one_has_no_problem_and_what_is_none_is_not_asked(file: Path) -> None:
    assert problem(file) is None
    assert problem(file.with_name("none.shp")) is None
    assert problem(file.with_suffix(".dbf")) is None
    for ending in (".dbf", ".prj", ".cpg"):
        file.with_suffix(ending).unlink()
        assert problem(file) is None
    file.with_suffix(".shx").rename(file.with_suffix(".SHX"))
    assert problem(file) is None


@pytest.mark.parametrize("ending", [".shp", ".dbf"])
def test_one_that_is_cut_off_anywhere_is_told_of_with_its_sizes(file: Path, ending: str) -> None:
    part = file.with_suffix(ending)
    content = part.read_bytes()
    # The byte after a table's last record only says that it is the last.
    size = len(content) - (content[-1:] == b"\x1a" and ending == ".dbf")
    for left in range(size):
        part.write_bytes(content[:left])
        assert str(problem(file)).startswith(str(part)), left
    part.write_bytes(content[: size - 1])
    assert f"ends after {size - 1} of {size} bytes" in str(problem(file))
    part.write_bytes(content[:size])
    assert problem(file) is None


def test_an_area_of_one_without_its_index_says_which_files_to_copy(file: Path) -> None:
    file.with_suffix(".shx").unlink()
    with pytest.raises(BoundaryError, match=r"has no \.shx beside it.*copy those that end with"):
        from_file(str(file))


def test_what_is_no_shapefile_by_its_first_bytes_is_told_of(file: Path) -> None:
    index = file.with_suffix(".shx")
    index.write_bytes(b"<html>" + index.read_bytes()[6:])
    assert f"{index} is damaged" in str(problem(file))
    file.write_bytes(b"<html>" + file.read_bytes()[6:])
    assert "does not begin as a shapefile does" in str(problem(file))
