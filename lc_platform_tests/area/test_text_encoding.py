"""Text of shapefiles that say no encoding, or a wrong one."""

from __future__ import annotations

from pathlib import Path

import geopandas
import pytest
import shapely

from lc_platform.area.boundary import from_file
from lc_platform.area.vector_layers import VectorFileError, batches, layers

NAMES = ["Água", "Matos", "Espaços é"]
LANGUAGE = 29
"""The byte of a .dbf that says an encoding (dBase's language driver); 87 is Windows' ANSI."""


def shapefile(
    folder: Path, encoding: str, code_page: str | None, *, column: str = "uso", language: int = 0
) -> Path:
    """Three squares with names, in a table of an encoding, beside a .cpg that says another."""
    squares = [shapely.box(i, 40, i + 1, 41) for i in range(len(NAMES))]
    table = geopandas.GeoDataFrame({column: NAMES}, geometry=squares, crs="EPSG:4326")
    file = folder / "uso do solo.shp"
    table.to_file(file, encoding=encoding)
    said = file.with_suffix(".cpg")
    said.unlink()
    if code_page is not None:
        said.write_text(code_page)
    content = bytearray(file.with_suffix(".dbf").read_bytes())
    content[LANGUAGE] = language
    file.with_suffix(".dbf").write_bytes(content)
    assert "Água".encode(encoding) in content
    return file


def names(file: Path) -> list[str]:
    """Those of the first attribute, as batches and as a table have them."""
    (layer,) = layers(str(file))
    column = layer.fields[0]
    with batches(layer, layer.fields) as (_, several):
        found = [name for batch in several for name in batch.column(column).to_pylist()]
    assert layer.read()[column].tolist() == found
    return found


@pytest.mark.parametrize(
    ("encoding", "code_page", "language"),
    [
        ("UTF-8", "UTF-8", 0),
        ("UTF-8", None, 0),
        ("ISO-8859-1", None, 0),
        ("ISO-8859-1", "no such encoding", 0),
        ("ISO-8859-1", "1252", 0),
        ("ISO-8859-1", None, 87),
    ],
)
@pytest.mark.parametrize("column", ["uso", "ocupação"])
def test_names_are_read_whatever_says_their_encoding(
    tmp_path: Path, encoding: str, code_page: str | None, language: int, column: str
) -> None:
    file = shapefile(tmp_path, encoding, code_page, column=column, language=language)
    (layer,) = layers(str(file))
    assert layer.fields == (column,)
    assert names(file) == NAMES
    guessed = encoding != "UTF-8" and code_page != "1252" and language == 0
    assert (layer.note is not None) == guessed
    if guessed:
        assert "uso do solo.shp says no encoding" in str(layer.note)
        assert "into a file uso do solo.cpg beside it" in str(layer.note)


def test_another_encoding_is_read_after_the_code_page_says_it(tmp_path: Path) -> None:
    file = shapefile(tmp_path, "cp850", None)
    assert names(file) != NAMES
    file.with_suffix(".cpg").write_text("850")
    assert names(file) == NAMES


@pytest.mark.parametrize(("column", "told"), [("uso", "attribute uso"), ("ocupação", "its name")])
def test_a_code_page_that_lies_is_refused_with_what_to_write(
    tmp_path: Path, column: str, told: str
) -> None:
    file = shapefile(tmp_path, "ISO-8859-1", "UTF-8", column=column)
    for _ in range(2):
        with pytest.raises(VectorFileError) as refused:
            names(file)
        assert str(refused.value).startswith(str(file))
        assert told in str(refused.value)
        assert "uso do solo.cpg says" in str(refused.value)
    with pytest.raises(VectorFileError, match=told):
        [layer.read() for layer in layers(str(file))]


def test_a_boundary_needs_no_text(tmp_path: Path) -> None:
    found = from_file(shapefile(tmp_path, "ISO-8859-1", "UTF-8"))
    assert found.geometry.equals(shapely.box(0, 40, 3, 41))
