"""References of several layers: what is read of them, and what is said of the others."""

from __future__ import annotations

import zipfile
from pathlib import Path

import geopandas
import numpy as np
import pytest

from lc_platform.platform import Platform
from lc_platform_tests.sources.references import (
    FOREST,
    GRID,
    LAKES,
    WATER,
    WOODS,
    box,
    configuration,
    expected,
    opened,
    raster,
    refusal,
    table,
)


def package(folder: Path) -> Path:
    path = folder / "r.gpkg"
    table([30], [WOODS]).to_file(path, layer="woods")
    table([80], [LAKES]).to_file(path, layer="lakes")
    return path


def test_polygons_of_all_layers_are_counted_through(tmp_path: Path) -> None:
    table([30, 30, 30], [box(15, 0, 2, 2), WOODS, None]).to_file(tmp_path / "r.gpkg", layer="woods")
    table([80], [LAKES]).to_file(tmp_path / "r.gpkg", layer="lakes")
    found = opened(tmp_path / "r.gpkg").burnt(GRID).polygons
    assert (found[0, 16], found[0, 0], found[12, 12]) == (1, 2, 4)


def folder_of_shapefiles(folder: Path) -> Path:
    (folder / "deep").mkdir()
    table([30], [WOODS]).to_file(folder / "deep/woods.shp")
    table([80], [LAKES]).to_file(folder / "deep/lakes.shp")
    return folder / "deep"


def zip_of_folders(folder: Path) -> Path:
    folder_of_shapefiles(folder)
    path = folder / "r.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for part in (folder / "deep").iterdir():
            archive.write(part, f"land cover/{part.stem}/{part.name}")
    return path


def earth_browser(folder: Path) -> Path:
    """A KML with a folder a class."""

    def placed(name: str, kind: int, shape: object) -> str:
        ring = geopandas.GeoSeries([shape], crs="EPSG:32633").to_crs("EPSG:4326")[0].exterior.coords
        return (
            f"<Folder><name>{name}</name><Placemark><ExtendedData><SchemaData schemaUrl='#s'>"
            f"<SimpleData name='kind'>{kind}</SimpleData></SchemaData></ExtendedData><Polygon>"
            "<outerBoundaryIs><LinearRing><coordinates>"
            + " ".join(f"{x},{y},0" for x, y in ring)
            + "</coordinates></LinearRing></outerBoundaryIs></Polygon></Placemark></Folder>"
        )

    path = folder / "r.kml"
    path.write_text(
        '<?xml version="1.0" encoding="UTF-8"?><kml xmlns="http://www.opengis.net/kml/2.2">'
        '<Document><Schema name="s" id="s"><SimpleField type="int" name="kind"/></Schema>'
        f"{placed('woods', 30, WOODS)}{placed('lakes', 80, LAKES)}</Document></kml>"
    )
    return path


@pytest.mark.parametrize(
    "made", [package, folder_of_shapefiles, zip_of_folders, earth_browser], ids=lambda f: f.__name__
)
def test_all_layers_that_have_the_attribute_are_read_and_named(tmp_path: Path, made) -> None:  # type: ignore[no-untyped-def]
    reference = opened(path := made(tmp_path))
    burnt = reference.burnt(GRID).classes
    # Corners of a KML are rounded to less than a micrometre: no centre lies so near to a border.
    np.testing.assert_array_equal(burnt, expected())
    assert reference.covers(GRID[11:14, 11:14])
    (note,) = reference.notes
    assert note.startswith(f"reference.path: of {path} the layers ")
    assert "woods" in note
    assert "lakes" in note


def test_layers_without_the_attribute_are_left_out_and_named(tmp_path: Path) -> None:
    path = package(tmp_path)
    table([5], [box(0, 0, 20, 20)]).rename(columns={"kind": "district"}).to_file(
        path, layer="districts"
    )
    reference = opened(path)
    np.testing.assert_array_equal(reference.burnt(GRID).classes, expected())
    assert reference.notes[0].endswith(
        "the layers woods, lakes are read, and not districts, which do not have the attribute "
        "(reference.layer chooses one)"
    )


def test_a_layer_can_be_chosen(tmp_path: Path) -> None:
    path = package(tmp_path)
    reference = opened(path, layer="lakes")
    assert set(np.unique(reference.burnt(GRID).classes)) == {0, 8}
    assert not reference.covers(GRID[:8, :8])
    assert list(reference.notes) == []
    assert refusal(path, layer="lake") == (
        f"reference.layer: {path} has no layer lake. Name one that it has: woods, lakes"
    )


def test_another_layer_makes_stale_what_was_made_of_the_file(tmp_path: Path) -> None:
    path = package(tmp_path)
    settings = {
        Platform(configuration(path, **layer)).reference_options().counted("data")["reference.path"]
        for layer in ({}, {"layer": "lakes"}, {"layer": "woods"})
    }
    assert len(settings) == 3


def test_a_raster_has_no_layers(tmp_path: Path) -> None:
    path = raster(tmp_path / "r.tif", np.full((20, 20), 30, np.uint8))
    assert refusal(path, layer="lakes") == (
        f"reference.layer: {path} is a raster, which has no layers. Take the key out"
    )


def test_where_no_layer_has_the_attribute_all_are_named_with_theirs(tmp_path: Path) -> None:
    assert refusal(package(tmp_path), attribute="sort") == (
        f"reference.attribute: no layer of {tmp_path / 'r.gpkg'} has the attribute sort. Name one "
        "of theirs: woods (kind); lakes (kind)"
    )


def test_classes_may_take_their_values_from_layers_with_attributes_of_their_own(
    tmp_path: Path,
) -> None:
    path = tmp_path / "r.gpkg"
    table([30], [WOODS]).to_file(path, layer="woods")
    table([80], [LAKES]).rename(columns={"kind": "wet"}).to_file(path, layer="lakes")
    reference = opened(path, classes=[FOREST, {**WATER, "attribute": "wet"}])
    np.testing.assert_array_equal(reference.burnt(GRID).classes, expected())


def test_of_two_layers_that_claim_a_pixel_the_last_is_burnt_and_it_is_ambiguous(
    tmp_path: Path,
) -> None:
    path = tmp_path / "r.gpkg"
    table([80], [box(5, 5, 10, 10)]).to_file(path, layer="b")
    table([30], [WOODS]).to_file(path, layer="a")
    burnt = opened(path).burnt(GRID)
    assert burnt.classes[7, 7] == 3
    assert burnt.ambiguous[5:10, 5:10].all()
    assert burnt.ambiguous.sum() == 25


def test_unknown_values_of_all_layers_are_listed(tmp_path: Path) -> None:
    path = package(tmp_path)
    table([41, 41], [LAKES, LAKES]).to_file(path, layer="more")
    table([7], [LAKES]).to_file(path, layer="still more")
    assert "has 3 features with values that no class has: kind 7, 41. Add" in refusal(path)
