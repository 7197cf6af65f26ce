"""Samples that users bring themselves: points with a class and a date, from a vector file or a
table with longitudes and latitudes."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.area import text_encoding
from lc_platform.config.problems import nearest
from lc_platform.config.reference import resembling
from lc_platform.eo.polygons import transformer
from lc_platform.eo.rasterize import ReferenceRaster
from lc_platform.errors import some
from lc_platform.sources.class_words import meaning, text
from lc_platform.sources.point_options import KEY, PointOptions
from lc_platform.sources.protocol import SourceError
from lc_platform.sources.reference_classes import ReferenceValues

if TYPE_CHECKING:
    import geopandas
    import pandas

_log = logging.getLogger(__name__)
_NAMED = 5
"""Rows that a message names."""
_PLACES = (("longitude", "latitude"), ("lon", "lat"))
"""Columns of a table without geometry, with small or capital letters, where none are named."""
_SPAN = ("start_date", "end_date")
_NONE = "no season"
_SAME = 1e-7
"""Degrees, a centimetre: points that lie nearer are one."""


@dataclass(frozen=True, eq=False)
class PixelsOfPoints:
    """The points of a year on a grid, one a pixel."""

    rows: NDArray[np.int32]
    """(point,), from the north."""
    columns: NDArray[np.int32]
    """(point,), from the west."""
    classes: NDArray[np.uint8]
    """(point,), class ids."""
    weights: NDArray[np.float64]
    """(point,), above 0."""
    ambiguous: int
    """Points that share a pixel with one of another class, and are left out."""

    def __len__(self) -> int:
        return len(self.rows)

    def chosen(self, which: NDArray[np.bool_]) -> PixelsOfPoints:
        """Return some of them, (point,)."""
        return PixelsOfPoints(
            self.rows[which],
            self.columns[which],
            self.classes[which],
            self.weights[which],
            self.ambiguous,
        )


@dataclass(frozen=True, eq=False)
class SamplePoints:
    """Points of all years, of which each has a place, a class and a year."""

    longitudes: NDArray[np.float64]
    """(point,), degrees of WGS 84."""
    latitudes: NDArray[np.float64]
    """(point,)"""
    classes: NDArray[np.uint8]
    """(point,), class ids."""
    years: NDArray[np.int64]
    """(point,), of the map that each is of; 0 where its date lies in no season."""
    weights: NDArray[np.float64] | None = None
    """(point,), above 0; None where all weigh the same."""

    def count(self, year: int) -> int:
        """Return how many points are of a year."""
        return int(np.count_nonzero(self.years == year))

    def on(self, geobox: GeoBox, year: int) -> PixelsOfPoints:
        """Return the points of a year on a grid: a point is of the pixel that it lies in. Of
        several of one class in a pixel the first counts, of several classes none."""
        chosen, rows, columns = self._placed(geobox, year)
        cells = rows * geobox.shape[1] + columns
        unique, first, where = np.unique(cells, return_index=True, return_inverse=True)
        other = self.classes[chosen] != self.classes[chosen][first][where]
        mixed = np.bincount(where, other, len(unique)) > 0
        kept = first[~mixed]
        weights = np.ones(len(chosen)) if self.weights is None else self.weights[chosen]
        return PixelsOfPoints(
            rows[kept].astype(np.int32),
            columns[kept].astype(np.int32),
            self.classes[chosen][kept],
            weights[kept],
            int(np.count_nonzero(mixed[where])),
        )

    def _placed(
        self, geobox: GeoBox, year: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Return which points of a year lie on a grid, and their rows and columns."""
        # A little more than the corners say: the sides of a grid are bent in degrees.
        here, affine = geobox.geographic_extent.boundingbox, geobox.affine
        beyond = 0.05 * max(here.right - here.left, here.top - here.bottom)
        eastward = (self.longitudes - here.left + beyond) % 360
        around = (self.latitudes > here.bottom - beyond) & (self.latitudes < here.top + beyond)
        around &= eastward < here.right - here.left + 2 * beyond
        near = np.flatnonzero(around & (self.years == year))
        x, y = transformer("EPSG:4326", str(geobox.crs)).transform(
            self.longitudes[near], self.latitudes[near]
        )
        columns, rows = (x - affine.c) / affine.a, (y - affine.f) / affine.e
        with np.errstate(invalid="ignore"):
            on = (rows >= 0) & (rows < geobox.shape[0])
            on &= (columns >= 0) & (columns < geobox.shape[1])
        return (
            near[on],
            np.floor(rows[on]).astype(np.int64),
            np.floor(columns[on]).astype(np.int64),
        )

    def outside(self, grids: Sequence[GeoBox], year: int) -> int:
        """Return how many points of a year lie on none of several grids."""
        seen = np.zeros(len(self.years), np.bool_)
        for geobox in grids:
            seen[self._placed(geobox, year)[0]] = True
        return int(np.count_nonzero((self.years == year) & ~seen))


def open_points(options: PointOptions) -> SamplePoints:
    """Read points.

    Raises SourceError naming the file, and the rows, where it is missing or unreadable, where a
    column or the CRS is missing, where what is there is no point, has no date or a class that there
    is not, where a point is there twice, and where none is of the years of the maps.
    """
    path = options.file.located
    table = _read(options, path)
    longitudes, latitudes = _places(table, options, path)
    classes = _classes(table, options, path)
    years = _years(table, options, path)
    _check_single(longitudes, latitudes, years, path)
    if not np.isin(years, options.years).any():
        there = Counter(years.tolist())
        raise SourceError(
            f"{KEY}.path: no point of {path} is of {', '.join(map(str, options.years))}; they are "
            f"of {', '.join(f'{y or _NONE} ({n})' for y, n in sorted(there.items()))}. "
            "Give points of the years of the maps, or those years"
        )
    return SamplePoints(
        longitudes, latitudes, classes, years, _weights(table, options.weight, path)
    )


def _read(options: PointOptions, path: str) -> pandas.DataFrame:
    """Return a table, or one with geometries."""
    import geopandas
    import pandas
    import pyarrow as pa
    import pyogrio
    from pyogrio.errors import DataSourceError

    table: pandas.DataFrame
    try:
        if path.lower().endswith((".parquet", ".geoparquet")):
            schema = pa.parquet.read_schema(path) if "://" not in path else None
            with_geometry = schema is None or b"geo" in (schema.metadata or {})
            table = (geopandas if with_geometry else pandas).read_parquet(path)
        else:
            layers = [str(name) for name, _ in pyogrio.list_layers(path)]
            layer = options.file.layer
            if layer is None and len(layers) > 1:
                raise SourceError(
                    f"{KEY}.layer: {path} has several layers. Name one: {', '.join(layers)}"
                )
            if layer is not None and layer not in layers:
                raise SourceError(
                    f"{KEY}.layer: {path} has no layer {layer}. Name one that it has: "
                    f"{', '.join(layers)}"
                )
            encoding = text_encoding.assumed(path, layer or layers[0])
            table = pyogrio.read_dataframe(path, layer=layer, **text_encoding.options(encoding))
            if (note := text_encoding.note(path, encoding)) is not None:
                _log.warning("%s.path: %s", KEY, note)
    except UnicodeDecodeError as error:
        raise SourceError(f"{KEY}.path: {text_encoding.problem(path, None)}") from error
    except FileNotFoundError as error:
        raise SourceError(f"{KEY}.path: {path} is not there. Give the points' file") from error
    except (DataSourceError, pa.ArrowException, ValueError, OSError) as error:
        raise SourceError(
            f"{KEY}.path: {path} cannot be read ({error}). Give a GeoPackage, a Parquet, or "
            "another vector file of points"
        ) from error
    table = _with_middle(table, options.date)
    for key in ("attribute", "date", "longitude", "latitude", "weight"):
        column = getattr(options, key)
        if column is not None and column not in table.columns:
            has = [str(name) for name in table.columns if name != "geometry"]
            raise SourceError(
                f"{KEY}.{key}: {path} has no column {column}; it has "
                f"{', '.join(has) or 'none'}.{nearest(column, has)}"
            )
    if not len(table):
        raise SourceError(f"{KEY}.path: {path} has no point. Add some, or remove {KEY}")
    return table


def _with_middle(table: pandas.DataFrame, column: str) -> pandas.DataFrame:
    """Return a table with the day in the middle of the time that each label holds for, where it has
    no date and is like the samples of sits (Simoes et al. 2021)."""
    import pandas

    if column != "date" or column in table.columns or not {*_SPAN} <= {*table.columns}:
        return table
    start, end = (
        pandas.to_datetime(table[name], errors="coerce", format="ISO8601") for name in _SPAN
    )
    middle = (start + (end - start) / 2).dt.strftime("%Y-%m-%d").where(end >= start)
    return table.assign(date=middle)


def _rows(wrong: NDArray[Any]) -> str:
    """Return rows in words, counted from 1, the first of many."""
    at = np.flatnonzero(wrong) + 1 if wrong.dtype == np.bool_ else wrong + 1
    return f"row{'s' if len(at) > 1 else ''} {some(at.tolist(), _NAMED)}"


def _places(
    table: pandas.DataFrame, options: PointOptions, path: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return longitudes and latitudes, (point,) each."""
    import pandas

    if options.longitude is not None and options.latitude is not None:
        names = (options.longitude, options.latitude)
    elif hasattr(table, "geometry"):
        return _of_geometry(table, path)
    else:
        folded = {str(name).casefold(): str(name) for name in table.columns}
        pair = next((pair for pair in _PLACES if set(pair) <= set(folded)), None)
        if pair is None:
            raise SourceError(
                f"{KEY}.longitude: {path} has no geometry, and no columns longitude and latitude "
                f"(it has {', '.join(map(str, table.columns))}). Name those that hold them"
            )
        names = folded[pair[0]], folded[pair[1]]
    longitudes, latitudes = (
        pandas.to_numeric(table[name], errors="coerce").to_numpy(np.float64) for name in names
    )
    wrong = ~((np.abs(longitudes) <= 180) & (np.abs(latitudes) <= 90))
    if wrong.any():
        raise SourceError(
            f"{KEY}.path: {path}: {_rows(wrong)}: {names[0]} and {names[1]} are no longitude "
            "within 180 and no latitude within 90 degrees. Correct or remove them"
        )
    return longitudes, latitudes


def _of_geometry(
    table: geopandas.GeoDataFrame, path: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    if table.crs is None:
        raise SourceError(f"{KEY}.path: {path} has no CRS. Give its points that which they are in")
    missing = table.geometry.isna() | table.geometry.is_empty
    other = ~missing & (table.geometry.geom_type != "Point")
    if (missing | other).any():
        kind = table.geometry.geom_type[other].iloc[0] if other.any() else "no place"
        raise SourceError(
            f"{KEY}.path: {path}: {_rows((missing | other).to_numpy())}: there is {kind} and no "
            "point. Give points; polygons are for reference.path"
        )
    degrees = table.geometry.to_crs(4326)
    longitudes, latitudes = degrees.x.to_numpy(), degrees.y.to_numpy()
    lost = ~(np.isfinite(longitudes) & np.isfinite(latitudes))
    if lost.any():
        raise SourceError(
            f"{KEY}.path: {path}: {_rows(lost)}: lie where {table.crs.name} has no place. Check "
            "the CRS, or remove them"
        )
    return longitudes, latitudes


def _classes(table: pandas.DataFrame, options: PointOptions, path: str) -> NDArray[np.uint8]:
    meant = meaning(options.classes)
    words = [text(value) for value in table[options.attribute]]
    ids = {word: meant(word) for word in set(words)}
    unknown = sorted(word for word, one in ids.items() if one is None)
    if unknown:
        names = [name for name, _ in options.classes.values()]
        said = [
            f"{_rows(np.array([one == word for one in words]))}: "
            + (f"{word!r} is no class.{resembling(word, names)}" if word else "no class is given.")
            for word in unknown[:_NAMED]
        ]
        if len(unknown) > _NAMED:
            said.append(f"{len(unknown) - _NAMED} more words are no class.")
        raise SourceError(
            f"{KEY}.attribute: {path}: {' '.join(said)} The classes are {', '.join(names)} (or "
            "their ids). Correct the points, remove them, or add the class to reference.classes"
        )
    return np.array([ids[word] for word in words], np.uint8)


def _years(table: pandas.DataFrame, options: PointOptions, path: str) -> NDArray[np.int64]:
    """Return the year whose season each point's date lies in, 0 where it lies in none: a date, a
    time, ISO 8601 as text, or a year itself."""
    import pandas

    words = pandas.Series([text(value) for value in table[options.date]], dtype=object)
    plain = [
        f"{word[:4]}-01-01" if re.fullmatch(r"\d{4}(\.0)?", word)
        else f"{word[:4]}-{word[4:6]}-{word[6:]}" if re.fullmatch(r"\d{8}", word)
        else word
        for word in words
    ]  # fmt: skip
    times = pandas.to_datetime(plain, errors="coerce", utc=True, format="ISO8601")
    wrong = np.asarray(times.isna())
    if wrong.any():
        first = words[np.flatnonzero(wrong)[0]]
        raise SourceError(
            f"{KEY}.date: {path}: {_rows(wrong)}: "
            + (f"{first!r} is no date" if first else "no date is given")
            + ". Write dates such as 2018-06-30, or years: a point is of the map of its year"
        )
    alone = {word for word in set(words) if re.fullmatch(r"\d{4}(\.0)?", word)}
    of = {day: options.season.year_of(day) for day in set(times.date)}
    in_one = {day: year if options.season.first(year) <= day else 0 for day, year in of.items()}
    return np.array(
        [
            day.year if word in alone else in_one[day]
            for word, day in zip(words, times.date, strict=True)
        ],
        np.int64,
    )


def _check_single(
    longitudes: NDArray[np.float64],
    latitudes: NDArray[np.float64],
    years: NDArray[np.int64],
    path: str,
) -> None:
    keys = np.stack([np.rint(longitudes / _SAME), np.rint(latitudes / _SAME), years], axis=1)
    _, where, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    twice = counts[where.ravel()] > 1
    if twice.any():
        order = np.flatnonzero(twice)[np.argsort(where.ravel()[twice], kind="stable")]
        raise SourceError(
            f"{KEY}.path: {path}: {_rows(order)}: the same place is there twice in one year. A "
            "point counts once: remove the others"
        )


def _weights(table: pandas.DataFrame, column: str | None, path: str) -> NDArray[np.float64] | None:
    import pandas

    if column is None:
        return None
    weights = pandas.to_numeric(table[column], errors="coerce").to_numpy(np.float64)
    wrong = ~((weights > 0) & (weights < 1e9))
    if wrong.any():
        raise SourceError(
            f"{KEY}.weight: {path}: {_rows(wrong)}: {column} is no number above 0. Write one, or "
            "remove the point"
        )
    return weights


@dataclass(frozen=True)
class PointReference:
    """Points in place of a reference map: the pixels in which they lie have their class."""

    options: PointOptions

    notes: Sequence[str] = ()

    @cached_property
    def points(self) -> SamplePoints:
        return open_points(self.options)

    def burnt(self, geobox: GeoBox) -> ReferenceRaster:
        """Return the points of all years of the maps on a grid, of each pixel those of the last
        year."""
        ids = tuple(self.options.classes)
        classes, polygons = np.zeros(geobox.shape, np.uint8), np.zeros(geobox.shape, np.uint32)
        masks = np.zeros((len(ids), *geobox.shape), np.bool_)
        for year in sorted(self.options.years):
            found = self.points.on(geobox, year)
            classes[found.rows, found.columns] = found.classes
            masks[np.searchsorted(ids, found.classes), found.rows, found.columns] = True
        return ReferenceRaster(ids, classes, masks, np.zeros(geobox.shape, np.bool_), polygons)

    def covers(self, geobox: GeoBox) -> bool:
        return any(len(self.points.on(geobox, year)) for year in self.options.years)

    def outlines(self, geobox: GeoBox) -> geopandas.GeoDataFrame:  # noqa: ARG002
        """Return no polygon."""
        import geopandas

        return geopandas.GeoDataFrame({"polygon": []}, geometry=[], crs="EPSG:4326")

    def values(self) -> ReferenceValues:
        """Return the number of points by class. All are of classes that there are."""
        ids, counts = np.unique(self.points.classes, return_counts=True)
        found: Mapping[str, int] = {
            str(one): n for one, n in zip(ids.tolist(), counts.tolist(), strict=True)
        }
        return ReferenceValues({"": found}, {}, {}, {}, "points")
