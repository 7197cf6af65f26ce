"""Take over EOPatches of eo-learn: their imagery as a local archive, a map in them as the
reference, and a configuration that reads both."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import cos, radians
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely
from odc.geo.geobox import GeoBox
from pyproj import CRS
from rasterio.warp import transform_bounds

from lc_platform.area.grid import utm_zone, zone_of
from lc_platform.catalogue import DataType
from lc_platform.commands import new_configuration as new
from lc_platform.commands.eopatch_archive import ImageryArchive
from lc_platform.commands.eopatch_imagery import CloudMethod, Imagery, Selection
from lc_platform.commands.eopatch_reference import write_reference
from lc_platform.commands.reference_proposal import Proposal, propose
from lc_platform.config import FILE_NAME
from lc_platform.config.imagery import Imagery as ImagerySection
from lc_platform.eo.indices import parse
from lc_platform.eo.polygons import METRES_PER_DEGREE
from lc_platform.errors import PlatformError, some
from lc_platform.runtime.progress import at, track
from lc_platform.sources.eopatches.eopatch import EOPatch, found_in
from lc_platform.sources.passes import in_degrees
from lc_platform.sources.protocol import SourceError

ARCHIVE, AREA, REFERENCE = "archive", "area.gpkg", "reference.tif"
_LARGE, _PATCH = 2000, 1000
"""Pixels along the side of a large area, and of its patches."""
_LARGEST_OF_SMALL, _SMALLEST = 256, 16
"""Pixels along the side of a patch of a smaller area."""
_NEARLY = 0.02
"""By which part a pixel's side may be off whole metres that are meant."""
_HAIR = 1e-3
"""Pixels that a grid may be off the map's."""
_NAMED = 5


@dataclass
class Imported:
    """What was taken over."""

    file: Path
    """The configuration."""
    eopatches: int = 0
    acquisitions: int = 0
    left_out: int = 0
    """Acquisitions without data, or that were never written."""
    data_type: DataType = "uint16"
    scale: float = 1.0
    method: CloudMethod = "provider"
    reference: Proposal | None = None
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Of EOPatches that were not taken over."""


@dataclass(frozen=True)
class _Place:
    """Where an EOPatch lies."""

    eopatch: EOPatch
    grid: GeoBox


def import_eopatches(folders: Sequence[Path], to: Path, selection: Selection) -> Imported:
    """Write the imagery of EOPatches, a reference and a configuration into a folder.

    folders  EOPatches, or folders that have EOPatches in them
    An EOPatch that cannot be taken over is among the problems, and stops no other. Raises
    PlatformError where there is a configuration already, or where none can be taken over.
    """
    found = Imported(to / FILE_NAME)
    if found.file.exists():
        raise PlatformError(f"{found.file}: is there already. Give another folder by --to")
    eopatches = _named_once(found_in(folders))
    imagery = _first(eopatches, selection, found)
    found.data_type, found.scale, found.method = imagery.data_type, imagery.scale, imagery.method
    archive = ImageryArchive(to / ARCHIVE, selection.collection, imagery.scale, selection.offset)
    places = [*_written(eopatches, selection, archive, found)]
    if not places:
        raise PlatformError(_none(found))
    archive.finish()
    found.eopatches, found.acquisitions = len(places), len(archive)
    found.warnings += _not_on_the_map_s_grid(places)
    _write_area(places, to / AREA)
    if selection.reference is not None:
        file = to / REFERENCE
        grids = {place.eopatch: place.grid for place in places}
        try:
            found.problems += write_reference(grids, selection.reference, file)
            found.reference = propose(str(file.resolve()))
        except SourceError as error:
            found.problems.append(str(error))
    text = new.text_of(
        to,
        new.Archive("stac", str(archive.catalog.resolve())),
        area={"boundary": str((to / AREA).resolve())},
        years=archive.years,
        reference=found.reference,
        known=_known(places, selection, found),
    )
    new.write(to, text)
    return found


def _named_once(eopatches: Sequence[EOPatch]) -> Sequence[EOPatch]:
    names: dict[str, EOPatch] = {}
    for one in eopatches:
        other = names.setdefault(one.name, one)
        if other is not one:
            raise SourceError(
                f"{one.path}: another EOPatch is called {one.name} too ({other.path}), and they "
                "are told by their names. Rename one of them, or leave one out"
            )
    return eopatches


def _first(eopatches: Sequence[EOPatch], selection: Selection, found: Imported) -> Imagery:
    """Return the imagery of the first EOPatch that has what is asked for: what it is like holds for
    the others."""
    for one in eopatches:
        try:
            return Imagery(one, selection)
        except SourceError as error:
            found.problems.append(str(error))
    raise PlatformError(_none(found))


def _none(found: Imported) -> str:
    if not found.problems:
        return "No acquisition of the EOPatches has data. Give others"
    return f"No EOPatch can be taken over. The first: {found.problems[0]}"


def _written(
    eopatches: Sequence[EOPatch], selection: Selection, archive: ImageryArchive, found: Imported
) -> Iterator[_Place]:
    """Write the imagery of each EOPatch; yield where those lie that had any."""
    found.problems.clear()
    for number, eopatch in enumerate(eopatches, 1):
        with at(f"EOPatch {number} of {len(eopatches)}", eopatch.name):
            try:
                imagery = Imagery(eopatch, selection, found.method)
                if (imagery.data_type, imagery.scale) != (found.data_type, found.scale):
                    raise SourceError(
                        f"{eopatch.path}: its numbers are {imagery.data_type}, and those of the "
                        f"EOPatches before are {found.data_type}. Import it into a folder of its "
                        "own, or save it again like the others"
                    )
                acquisitions = track(imagery.acquisitions(), "acquisitions", len(imagery))
                count = archive.add(eopatch.name, imagery.geobox, acquisitions)
            except SourceError as error:
                found.problems.append(str(error))
                continue
        found.left_out += imagery.left_out
        if count:
            yield _Place(eopatch, imagery.geobox)
        else:
            found.warnings.append(f"{eopatch.path}: no acquisition has data; it is left out")


def _write_area(places: Sequence[_Place], file: Path) -> None:
    """Write the ground of EOPatches as polygons, in their own CRS where they have one CRS."""
    codes = {place.eopatch.crs for place in places}
    names = [place.eopatch.name for place in places]
    if len(codes) == 1:
        ground, crs = [shapely.box(*place.eopatch.box) for place in places], codes.pop()
    else:
        ground, crs = [in_degrees(place.grid.extent) for place in places], "EPSG:4326"
    file.parent.mkdir(parents=True, exist_ok=True)
    table = geopandas.GeoDataFrame({"eopatch": names}, geometry=ground, crs=crs)
    table.to_file(file, engine="pyogrio")


def _known(
    places: Sequence[_Place], selection: Selection, found: Imported
) -> dict[str, dict[str, Any]]:
    """Return the keys of the configuration that follow from what was imported."""
    usual = ImagerySection.model_fields["bands"].default
    bands = list(usual if set(usual) <= set(selection.bands) else selection.bands)
    imagery: dict[str, Any] = {"collection": selection.collection, "bands": bands}
    # Who acquired them has chosen which are clear enough.
    imagery["max_cloud_cover"] = 100
    if found.data_type != "uint16":
        imagery["data_type"] = found.data_type
    names = ("NDVI", "NDWI", "NORM")
    indices = [name for name in names if set(parse(name, bands).bands) <= set(bands)]
    resolution, crs = _resolution(places), _crs(places)
    side = _patch_side(*_extent(places, resolution))
    aoi = {"crs": crs, "resolution": resolution, "patch_size": round(side * resolution, 6)}
    return {
        "aoi": aoi,
        "imagery": imagery,
        "clouds": {"method": found.method},
        "features": {"indices": indices},
    }


def _patch_side(rows: float, columns: float) -> int:
    """Return the pixels along the side of a patch, so that an area has several."""
    if min(rows, columns) >= _LARGE:
        return _PATCH
    side = _LARGEST_OF_SMALL
    while side > _SMALLEST and max(rows, columns) < 2 * side:
        side //= 2
    return side


def _crs(places: Sequence[_Place]) -> str:
    """Return the CRS of the map: that of all EOPatches where they have one in metres."""
    codes = {place.eopatch.crs for place in places}
    if len(codes) == 1 and _metres(code := next(iter(codes))) == 1.0:
        return code
    return "utm"


def _metres(crs: str) -> float | None:
    """Return the metres of a CRS's unit; None where it is in degrees."""
    found = CRS(crs)
    return None if found.is_geographic else float(found.axis_info[0].unit_conversion_factor)


def _resolution(places: Sequence[_Place]) -> float:
    """Return the side of a pixel of the first EOPatch in metres, rounded to what is meant."""
    first = places[0]
    side = abs(float(first.grid.resolution.y)) * (_metres(first.eopatch.crs) or METRES_PER_DEGREE)
    whole = round(side)
    return float(whole) if whole and abs(side / whole - 1) < _NEARLY else round(side, 1)


def _extent(places: Sequence[_Place], resolution: float) -> tuple[float, float]:
    """Return about how many pixels the box around EOPatches has from north to south and from west
    to east."""
    boxes = np.array([transform_bounds(p.eopatch.crs, "EPSG:4326", *p.eopatch.box) for p in places])
    (west, south), (east, north) = boxes[:, :2].min(axis=0), boxes[:, 2:].max(axis=0)
    height, width = north - south, (east - west) * cos(radians((north + south) / 2))
    return height * METRES_PER_DEGREE / resolution, width * METRES_PER_DEGREE / resolution


def _not_on_the_map_s_grid(places: Sequence[_Place]) -> list[str]:
    """Return a warning where pixels of EOPatches are not those of the map."""
    resolution, crs = _resolution(places), _crs(places)
    off = [p.eopatch.name for p in places if not _fits(p, resolution, crs)]
    if not off:
        return []
    where = crs if crs != "utm" else "the UTM zones"
    return [
        f"{len(off)} of {len(places)} EOPatches ({some(off, _NAMED)}) have other pixels than the "
        f"map, whose pixels of {resolution:g} m lie on multiples of {resolution:g} in {where}: of "
        "these the map takes the nearest"
    ]


def _fits(place: _Place, resolution: float, crs: str) -> bool:
    if crs == "utm" and not _is_in_its_zone(place):
        return False
    step, grid = place.grid.resolution, place.grid
    rows, columns = grid.shape
    drift = max(abs(step.x - resolution) * columns, abs(abs(step.y) - resolution) * rows)
    west, north = grid.affine.c / resolution, grid.affine.f / resolution
    off = max(abs(west - round(west)), abs(north - round(north)))
    return bool(drift < _HAIR * resolution and off < _HAIR)


def _is_in_its_zone(place: _Place) -> bool:
    """Whether the CRS is that of the UTM zone that the middle of an EOPatch lies in."""
    zone = zone_of(CRS(place.eopatch.crs))
    middle = in_degrees(place.grid.extent).centroid
    # Pixels of 33N and of 33S are the same: their northings differ by ten thousand kilometres.
    return zone is not None and zone[:-1] == utm_zone(middle.x, middle.y)[:-1]
