"""The layers of a vector file, whatever its format, as streams of Arrow batches."""

from __future__ import annotations

import json
import logging
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import geopandas
import pyarrow as pa
import pyarrow.parquet as pq
import pyogrio
from pyogrio.errors import DataLayerError, DataSourceError
from pyproj import CRS

from lc_platform.area import shapefile, text_encoding
from lc_platform.errors import PlatformError

_BATCH = 65536
_log = logging.getLogger(__name__)
_LINES = ("Point", "LineString", "CircularString", "CompoundCurve", "MultiCurve")
"""Parts of the names of geometries that enclose no area."""
_IN_ARCHIVES = {".shp", ".gpkg", ".geojson", ".json", ".fgb", ".tab", ".mif", ".kml", ".gml"}
"""Endings of what is looked for in the folders of a zip."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of polygons, lines or points."""

    name: str
    dataset: str
    """As GDAL names it, or a GeoParquet file."""
    fields: tuple[str, ...]
    crs: str | None
    """Well-known text; None where it has none."""
    kind: str
    """Of its geometries, such as ``MultiPolygon``; ``Unknown`` where there may be several."""
    geometry: str | None
    """The name of a GeoParquet file's geometry column; None of what GDAL reads."""
    encoding: str | None = None
    """That its text is taken to be in; None where the file says it."""

    @property
    def may_have_polygons(self) -> bool:
        return not any(line in self.kind for line in _LINES)

    @property
    def note(self) -> str | None:
        """What the user should know of how its text is read."""
        return text_encoding.note(self.dataset, self.encoding)

    def outlines(self) -> geopandas.GeoDataFrame:
        """Return the geometries of all its features. Raises what GDAL's and Arrow's readers
        raise."""
        if self.geometry is not None:
            return geopandas.read_parquet(self.dataset, columns=[self.geometry])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return geopandas.read_file(self.dataset, layer=self.name, columns=[])

    def read(self) -> geopandas.GeoDataFrame:
        """Return all its features. Logs its note. Raises what GDAL's and Arrow's readers raise, and
        VectorFileError where its text is not in the encoding that the file says."""
        if self.geometry is not None:
            return geopandas.read_parquet(self.dataset)
        if self.note is not None:
            _tell(self.note)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return geopandas.read_file(
                    self.dataset, layer=self.name, **text_encoding.options(self.encoding)
                )
            except UnicodeDecodeError as error:
                with batches(self, self.fields) as (_, several):
                    for _ in several:
                        pass  # which names the attribute
                raise VectorFileError(text_encoding.problem(self.dataset, None)) from error


class NotVectorError(ValueError):
    """A file holds no layers that GDAL reads."""


class VectorFileError(PlatformError, ValueError):
    """A vector file cannot be used; the message names it and says why."""


class LayerChoiceError(ValueError):
    """None of a file's layers is the one that is meant, or several are; the message is a sentence
    whose subject, the file, the reader puts before it."""


def layers(path: str) -> list[Layer]:
    """Return the layers of a file, a folder or a zip that have a geometry, in their order.

    The list is empty where a file has tables alone. Raises NotVectorError where it is no vector
    file, and VectorFileError where it is a GeoParquet file that cannot be read, or a shapefile
    that is not whole.
    """
    if (problem := shapefile.problem(path)) is not None:
        raise VectorFileError(problem)
    if _is_parquet(path):
        return [_parquet_layer(path)]
    failure: Exception = NotVectorError(f"{path} has no layers")
    for dataset in (path, *_members(path)):
        try:
            found = pyogrio.list_layers(dataset)
        except (DataSourceError, DataLayerError) as error:
            failure = error
            continue
        if not len(found):
            continue
        if dataset != path:
            return [one for member in _members(path) for one in layers(member)]
        return [_layer(path, str(name), str(kind)) for name, kind in found if kind is not None]
    raise NotVectorError(str(failure)) from failure


def having(several: Sequence[Layer], attribute: str) -> list[Layer]:
    """Return those of a file's layers that have an attribute, at least one.

    several  layers of polygons
    Raises LayerChoiceError, which names the attributes that they have, where none has it.
    """
    found = [layer for layer in several if attribute in layer.fields]
    if not found:
        there = sorted({field for layer in several for field in layer.fields})
        raise LayerChoiceError(
            f"has no polygons with the attribute {attribute}. It has {', '.join(there) or 'none'}"
        )
    return found


def the_only(several: Sequence[Layer]) -> Layer:
    """Return the one layer of polygons. Raises LayerChoiceError where there is none, or several."""
    if not several:
        raise LayerChoiceError("has no layer of polygons. Give a file that has one")
    if len(several) > 1:
        raise LayerChoiceError(
            f"has several layers that could be meant ({', '.join(one.name for one in several)}). "
            "Give a file that has one"
        )
    return several[0]


def _layer(dataset: str, name: str, kind: str) -> Layer:
    try:
        encoding = text_encoding.assumed(dataset, name)
        info = pyogrio.read_info(dataset, layer=name, **text_encoding.options(encoding))
    except UnicodeDecodeError as error:
        raise VectorFileError(text_encoding.problem(dataset, None)) from error
    fields = tuple(str(f) for f in info["fields"])
    return Layer(name, dataset, fields, info["crs"], kind, None, encoding)


@cache
def _tell(note: str) -> None:
    """Log a note once."""
    _log.warning("%s", note)


def _members(path: str) -> list[str]:
    """Return the vector files in the folders of a zip, which GDAL does not look into."""
    if not path.lower().endswith(".zip") or not Path(path).is_file():
        return []
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return []
    return [
        f"/vsizip/{Path(path).absolute()}/{name}"
        for name in names
        if PurePosixPath(name).suffix.lower() in _IN_ARCHIVES and "__MACOSX" not in name
    ]


@contextmanager
def batches(layer: Layer, columns: Sequence[str]) -> Iterator[tuple[str, Iterator[pa.RecordBatch]]]:
    """The name of a layer's geometry column, and its features in their order: those ``columns``
    that it has, and geometries as WKB in two dimensions.

    Raises what GDAL's and Arrow's readers raise, and VectorFileError where text is not in the
    encoding that the file says.
    """
    wanted = [column for column in columns if column in layer.fields]
    if layer.geometry is not None:
        yield layer.geometry, _in_unicode(layer, _parquet_batches(layer, wanted))
        return
    with pyogrio.open_arrow(
        layer.dataset,
        layer=layer.name,
        columns=wanted,
        batch_size=_BATCH,
        use_pyarrow=True,
        **text_encoding.options(layer.encoding),
    ) as (meta, reader):
        yield meta["geometry_name"] or "wkb_geometry", _in_unicode(layer, reader)


def _in_unicode(layer: Layer, several: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in several:
        if (attribute := text_encoding.foreign(batch)) is not None:
            raise VectorFileError(text_encoding.problem(layer.dataset, attribute))
        yield batch


# GeoParquet, for which GDAL as it is installed has no driver.


def _is_parquet(path: str) -> bool:
    file = Path(path)
    if not file.is_file():
        return False
    with file.open("rb") as opened:
        return opened.read(4) == b"PAR1"


def _parquet_layer(path: str) -> Layer:
    try:
        schema = pq.read_schema(path)
    except (pa.ArrowException, OSError) as error:
        raise VectorFileError(
            f"{path} cannot be read as GeoParquet ({error}). It may be damaged: get the file again"
        ) from error
    stated = json.loads((schema.metadata or {}).get(b"geo", b"{}"))
    column = stated.get("primary_column")
    if column is None or column not in schema.names:
        raise VectorFileError(
            f"{path} is a Parquet file without geometry (it has no metadata of GeoParquet). "
            "Write it as GeoParquet, for example by geopandas' to_parquet"
        )
    about = stated["columns"][column]
    # What does not state a CRS has longitudes and latitudes; null says that it is not known.
    crs = about.get("crs", "OGC:CRS84")
    fields = tuple(name for name in schema.names if name not in stated["columns"])
    text = None if crs is None else CRS.from_user_input(crs).to_wkt()
    kinds = about.get("geometry_types") or ["Unknown"]
    kind = kinds[0] if len(kinds) == 1 else "Unknown"
    return Layer(Path(path).stem, path, fields, text, kind, column)


def _parquet_batches(layer: Layer, columns: list[str]) -> Iterator[pa.RecordBatch]:
    assert layer.geometry is not None
    file = pq.ParquetFile(layer.dataset)
    kind = file.schema_arrow.field(layer.geometry).type
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        yield from file.iter_batches(_BATCH, columns=[*columns, layer.geometry])
        return
    # Coordinates as Arrow's own lists (GeoArrow).
    table = geopandas.read_parquet(layer.dataset, columns=[*columns, layer.geometry])
    known: dict[str, Any] = {name: pa.array(table[name], from_pandas=True) for name in columns}
    known[layer.geometry] = pa.array(table.geometry.to_wkb(), pa.binary())
    yield from pa.table(known).to_batches(_BATCH)
