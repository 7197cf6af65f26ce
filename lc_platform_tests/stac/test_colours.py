"""The classes of a map where other programs find them: attribute table, QGIS's style, OGC's."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
import rasterio

from lc_platform.storage.store import Store
from lc_platform_tests.stac import catalogs
from lc_platform_tests.stac.catalogs import CLASSES, YEAR

SLD = "{http://www.opengis.net/sld}"
NAMED = [(value, name, color) for value, (name, color) in CLASSES.items()]
"""As the configuration has them."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = Store(str(tmp_path_factory.mktemp("coloured")))
    catalogs.write(store, catalogs.make(store))
    return Path(store.base)


def styles(folder: Path, ending: str) -> list[Path]:
    """Beside the map, and of the catalog for all predictions."""
    return [
        folder / f"mosaic/{YEAR}/land_cover.{ending}",
        folder / f"catalog/{YEAR}/styles/land_cover.{ending}",
    ]


def test_the_attribute_table_has_the_classes_with_their_colours(folder: Path) -> None:
    for raster in (f"mosaic/{YEAR}/land_cover.tif", f"predictions/{YEAR}/33N-r0-c1.tif"):
        table = ElementTree.parse(folder / f"{raster}.aux.xml").find(
            "PAMRasterBand[@band='1']/GDALRasterAttributeTable"
        )
        assert table is not None
        names = [field.findtext("Name") for field in table.findall("FieldDefn")]
        assert names == ["Value", "Class", "Red", "Green", "Blue", "Alpha"]
        rows = [[cell.text for cell in row.findall("F")] for row in table.findall("Row")]
        found = [
            (
                int(value or -1),
                name,
                f"#{int(red or 0):02x}{int(green or 0):02x}{int(blue or 0):02x}",
            )
            for value, name, red, green, blue, _ in rows
        ]
        assert [one for one in found if one[0] != 0] == NAMED
        assert {int(row[5] or -1) for row in rows if row[0] != "0"} == {255}


def test_gdal_paints_the_map_in_the_colours_of_the_classes(folder: Path) -> None:
    with rasterio.open(folder / f"mosaic/{YEAR}/land_cover.tif") as raster:
        palette = raster.colormap(1)
    for value, _, color in NAMED:
        assert palette[value] == (*bytes.fromhex(color[1:]), 255)
    assert palette[0][3] == 0


def test_the_style_of_qgis_has_the_classes_with_their_colours(folder: Path) -> None:
    for path in styles(folder, "qml"):
        entries = ElementTree.parse(path).findall(
            "pipe/rasterrenderer[@type='paletted']/colorPalette/paletteEntry"
        )
        found = [(int(one.attrib["value"]), one.get("label"), one.get("color")) for one in entries]
        assert found == NAMED


def test_the_style_of_ogc_has_the_classes_with_their_colours(folder: Path) -> None:
    for path in styles(folder, "sld"):
        entries = list(ElementTree.parse(path).iter(f"{SLD}ColorMapEntry"))
        found = [
            (int(one.attrib["quantity"]), one.get("label"), one.get("color")) for one in entries
        ]
        assert found[0] == (0, "no data", "#000000")
        assert entries[0].get("opacity") == "0"
        assert found[1:] == NAMED
