"""A stratified random sample of a map's points: drawn, kept as a GeoPackage, and read when people
have judged it.

The file's layer ``reference_sample`` has a point a row, for people to fill in; its table ``design``
says by which chances the points were drawn, without which no area can be estimated from them; its
layer ``set_aside`` keeps what people have judged and is not in the sample any more. What they judge
in the web map is written into it, see `lc_platform.products.filled_sample`.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.config.reference import resembling
from lc_platform.cube import Legend
from lc_platform.eo.polygons import transformer
from lc_platform.errors import DataError, some
from lc_platform.products.filled_sample import BEFORE, DESIGN, POINTS, Judged, fill
from lc_platform.sources.class_words import meaning, text
from lc_platform.storage.errors import MissingArtefactError
from lc_platform.storage.store import Store

if TYPE_CHECKING:
    import geopandas
    import pandas

_SET_ASIDE = "set_aside"
_NUMBERS = ("id", "stratum", "stratum_pixels", "x", "y")
_NEEDED = (*_NUMBERS, "reference")
_OFDESIGN = (
    "stratum", "pixels", "points", "crs", "pixel_area", "seed", "mosaic_version", "allocation",
)  # fmt: skip
_MOVED = 0.5
"""Pixels that a point may lie off the place that it was drawn at."""
_SAME = 0.02
"""Pixels by which a centre may be off another that is the same, as reprojection rounds it."""
_TRIES, _PAUSE = 20, 0.1
"""How often a file that is being saved is read again, and after how many seconds."""
_NAMED = 10
"""Points that a message names."""


@dataclass(frozen=True)
class SampleFile:
    """The file of a sample, as it is in the store."""

    path: str
    content: bytes
    journals: Mapping[str, bytes] = field(default_factory=dict)
    """What SQLite keeps beside a file that is open elsewhere, by the end of its name: what it has
    not yet written into it, or what to put back where a save has not come to its end."""
    judged: Judged | None = None
    """What was judged in the web map, which is read as if it were written into the file; None where
    nothing was."""

    @cached_property
    def filled(self) -> bytes:
        """Its bytes with what was judged in the web map."""
        with self._copied() as copy:
            return copy.read_bytes()

    @property
    def identity(self) -> str:
        """What distinguishes it from another one: the same before and after what was judged in the
        web map is written into it."""
        if self.judged is not None:
            return hashlib.sha256(self.filled).hexdigest()
        return hashlib.sha256(self.content + b"".join(self.journals.values())).hexdigest()

    def read(self) -> ReferenceSample:
        """Return the sample. Raises DataError where it is none that was drawn at random."""
        told: list[str] = []
        with self._copied(told) as copy:
            found = _read(copy, self.path)
        return replace(found, warnings=[*found.warnings, *told])

    def is_filled(self, column: str) -> bool:
        """Whether people have written something into a column of the points. Raises DataError where
        it is no GeoPackage."""
        with self._copied() as copy, contextlib.closing(sqlite3.connect(copy)) as database:
            try:
                names = database.execute(f"SELECT name FROM pragma_table_info('{POINTS}')")
                if (column,) not in names.fetchall():
                    return False
                filled = f"SELECT 1 FROM {POINTS} WHERE trim(\"{column}\") <> '' LIMIT 1"
                return database.execute(filled).fetchone() is not None
            except sqlite3.DatabaseError as error:
                raise _unreadable(self.path, error) from error

    @contextlib.contextmanager
    def _copied(self, told: list[str] | None = None) -> Iterator[Path]:
        """A copy of it, as it is at the end of its last save, with what was judged in the web map;
        what there is to say of that is added to ``told``."""
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / "sample.gpkg"
            copy.write_bytes(self.content)
            for end, journal in self.journals.items():
                copy.with_name(f"{copy.name}{end}").write_bytes(journal)
            if self.journals:
                _settle(copy, self.path)
            if self.judged is not None:
                said = fill(copy, self.judged)
                if told is not None:
                    told += said
            yield copy


def sample_file(store: Store, key: str) -> SampleFile | None:
    """Return the file of a sample; None where there is none. Raises DataError where it changes all
    the time."""
    if not store.exists(key):
        return None
    journals = _journals(store, key)
    for _ in range(_TRIES):
        content, before = store.read_bytes(key), journals
        journals = _journals(store, key)
        if journals == before:
            return SampleFile(store.path(key), content, journals)
        time.sleep(_PAUSE)
    raise DataError(
        f"{store.path(key)}: is being saved by another program. Run again when that is done"
    )


def open_elsewhere(store: Store, key: str) -> str | None:
    """Return the file that shows that a program has a sample open; None where none has."""
    beside = [f"{key}{end}" for end in ("-wal", "-shm", "-journal")] if store.local else []
    return next((store.path(one) for one in beside if store.exists(one)), None)


def write_judged(store: Store, key: str, file: SampleFile) -> None:
    """Write what was judged in the web map into the file of a sample, unless it is there already, a
    program has the file open, or it has changed: it is written another time then. Raises
    StorageError where it cannot be written."""
    if file.filled == file.content or file.journals or open_elsewhere(store, key):
        return
    if store.read_bytes(key) == file.content:
        store.put(key, file.filled)


def _journals(store: Store, key: str) -> dict[str, bytes]:
    found = {}
    for end in ("-wal", "-journal") if store.local else ():
        with contextlib.suppress(MissingArtefactError):  # it is gone with the end of a save
            found[end] = store.read_bytes(f"{key}{end}")
    return found


def _settle(copy: Path, path: str) -> None:
    """Have SQLite bring a file to the end of its last save: a file that is read alone is not."""
    try:
        with contextlib.closing(sqlite3.connect(copy)) as database:
            database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.DatabaseError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: Exception) -> DataError:
    return DataError(
        f"{path}: cannot be read as a GeoPackage ({error}). Take it from a backup, or move it away "
        "and draw another by `lc-platform sample`"
    )


@dataclass(frozen=True)
class Design:
    """By which chances the points of a sample were drawn."""

    pixels: Mapping[int, int]
    """By stratum."""
    points: Mapping[int, int]
    """By stratum."""
    crs: str
    """Of the map, in well-known text."""
    pixel_area: float
    """Square metres in that CRS."""
    seed: int
    mosaic_version: str
    """Of the map that the strata are the classes of."""
    allocation: str

    @property
    def hectares(self) -> float:
        """The area of all strata."""
        return sum(self.pixels.values()) * self.pixel_area / 1e4


@dataclass(frozen=True)
class ReferenceSample:
    """Points that were drawn, and what people saw there."""

    path: str
    """As errors name it."""
    points: geopandas.GeoDataFrame
    """A point a row, in the CRS that it was saved in."""
    design: Design
    set_aside: geopandas.GeoDataFrame | None = None
    """Judged points that are no part of the sample any more."""
    warnings: Sequence[str] = ()

    @cached_property
    def written(self) -> list[str]:
        """What people wrote of each point, without blanks at the ends; empty where nothing."""
        return [text(value) for value in self.points["reference"]]

    @property
    def judged(self) -> int:
        """How many points people have judged."""
        return sum(map(bool, self.written))

    def references(self, classes: Legend, column: str = "reference") -> NDArray[np.int64]:
        """Return the class ids that people saw, (point,), 0 where nothing is written.

        column  that they wrote into

        Raises DataError naming the points whose class is none of the map's.
        """
        names = [name for name, _ in classes.values()]
        meant = meaning(classes)
        words = [text(value) for value in self.points[column]]
        found = np.zeros(len(words), np.int64)
        wrong: dict[str, list[Any]] = {}
        for row, (point, word) in enumerate(zip(self.points["id"], words, strict=True)):
            known = meant(word) if word else 0
            if known is None:
                wrong.setdefault(word, []).append(point)
            else:
                found[row] = known
        if wrong:
            said = [
                f"{_named(points)}: the map has no class {word!r}.{resembling(word, names)}"
                for word, points in list(wrong.items())[:_NAMED]
            ]
            if len(wrong) > _NAMED:
                said.append(f"{len(wrong) - _NAMED} more words are no class.")
            raise DataError(
                f"{self.path}: {' '.join(said)} Write one of {', '.join(names)} (or its id), or "
                "leave it empty"
            )
        return found


def places_on(
    sample: ReferenceSample | None, grid: GeoBox
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows and columns of points on a grid, or beyond it; of none where there is
    no sample."""
    if sample is None:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    places = sample.points.to_crs(str(grid.crs)).geometry
    rows = np.floor((places.y.to_numpy() - grid.affine.f) / grid.affine.e)
    columns = np.floor((places.x.to_numpy() - grid.affine.c) / grid.affine.a)
    return rows.astype(np.int64), columns.astype(np.int64)


def _named(ids: Sequence[Any]) -> str:
    """Return points in words, the first of many."""
    return f"point{'s' if len(ids) > 1 else ''} {some(ids, _NAMED)}"


def _read(file: Path, path: str) -> ReferenceSample:
    import geopandas
    import pyogrio
    from pyogrio.errors import DataSourceError

    try:
        layers = {str(name) for name, _ in pyogrio.list_layers(file)}
    except DataSourceError as error:
        raise _unreadable(path, error) from error
    table = pyogrio.read_dataframe(file, layer=DESIGN) if DESIGN in layers else None
    points = geopandas.read_file(file, layer=POINTS) if POINTS in layers else None
    lacking = [
        *(name for name in (POINTS, DESIGN) if name not in layers),
        *(name for name in _NEEDED if points is not None and name not in points),
        *(name for name in _OFDESIGN if table is not None and name not in table),
    ]
    if lacking and (table is not None or _drawn(file, layers)):
        raise DataError(
            f"{path}: lacks {', '.join(lacking)}, which `lc-platform sample` wrote into it. It was "
            "saved as a new file, or under other names. Fill in the layer reference_sample of the "
            "file that was drawn and save it there, or put what it lacks back by that name: the "
            "table design says by which chances the points were drawn"
        )
    if points is None or table is None or lacking or not len(table):
        raise DataError(
            f"{path}: is no sample that `lc-platform sample` drew (it lacks "
            f"{', '.join(lacking) or 'the rows of its design'}). Areas and their errors can be "
            "estimated from points drawn at random alone, each by a known chance: training "
            "polygons, held-out patches and chosen points say nothing of the ground between them. "
            "Move the file away, and draw a sample by `lc-platform sample`"
        )
    first = table.iloc[0]
    design = Design(
        {int(s): int(n) for s, n in zip(table["stratum"], table["pixels"], strict=True)},
        {int(s): int(n) for s, n in zip(table["stratum"], table["points"], strict=True)},
        str(first["crs"]),
        float(first["pixel_area"]),
        int(first["seed"]),
        str(first["mosaic_version"]),
        str(first["allocation"]),
    )
    points = _plain_points(points, path)
    aside = geopandas.read_file(file, layer=_SET_ASIDE) if _SET_ASIDE in layers else None
    return ReferenceSample(path, points, design, aside, _checked(points, design, path))


def _drawn(file: Path, layers: set[str]) -> bool:
    """Whether a layer, whatever its name is, has points as they are drawn."""
    import pyogrio

    return any(set(_NUMBERS) <= set(pyogrio.read_info(file, layer=one)["fields"]) for one in layers)


def _plain_points(points: geopandas.GeoDataFrame, path: str) -> geopandas.GeoDataFrame:
    """Return points as they were drawn, which editors may have saved as numbers in words, and as
    collections of one point. Raises DataError where they are something else."""
    import pandas

    points = points.copy()
    for name in _NUMBERS:
        numbers = pandas.to_numeric(points[name], errors="coerce")
        wrong = numbers.isna() & points[name].notna()
        if wrong.any():
            raise DataError(
                f"{path}: the column {name} has {str(points[name][wrong].iloc[0])!r}, which is no "
                "number. Leave that column as it was drawn"
            )
        points[name] = numbers
    parts = points.geometry.count_geometries()
    single = points.geometry.geom_type.isin(["Point", "MultiPoint"]) & (parts == 1)
    other = ~(single | points.geometry.is_empty | points.geometry.isna())
    if other.any():
        raise DataError(
            f"{path}: {_named(points['id'][other].tolist())}: no single point is drawn there but "
            f"a {points.geometry.geom_type[other].iloc[0]}. Put it back to the columns x and y"
        )
    several = points.geometry.geom_type == "MultiPoint"
    if several.any():
        points = points.set_geometry(points.geometry.where(~several, points.geometry.centroid))
    return points


def _checked(points: geopandas.GeoDataFrame, design: Design, path: str) -> list[str]:
    """Return what is to be told of points. Raises DataError where they are not those drawn."""
    if points.crs is None:
        raise DataError(f"{path}: its points have no CRS. Give them that of the map")
    if (points[list(_NUMBERS)].isna().any(axis=1)).any():
        raise DataError(
            f"{path}: has points that were added by hand, without id or stratum. They were not "
            "drawn at random: remove them"
        )
    empty = points.geometry.is_empty | points.geometry.isna()
    if empty.any():
        raise DataError(f"{path}: {_named(points['id'][empty].tolist())}: no place is given")
    for name, columns in (("id", ["id"]), ("place", ["x", "y"])):
        twice = points.duplicated(columns, keep=False)
        if twice.any():
            alike = points[twice].sort_values(columns)["id"].tolist()
            raise DataError(
                f"{path}: {_named(alike)}: the same {name} is there twice. A point counts once: "
                "remove the others"
            )
    drawn = points.to_crs(design.crs)
    far = np.hypot(drawn.geometry.x - drawn["x"], drawn.geometry.y - drawn["y"])
    moved = drawn["id"][far > _MOVED * design.pixel_area**0.5].tolist()
    if moved:
        raise DataError(
            f"{path}: {_named(moved)}: not where it was drawn. What is seen elsewhere says nothing "
            "of the stratum: put it back to the columns x and y, and judge it again"
        )
    strata = points["stratum"].astype(int)
    off = ~strata.isin(list(design.pixels)) | (
        points["stratum_pixels"].astype(int) != strata.map(design.pixels)
    )
    if off.any():
        raise DataError(
            f"{path}: {_named(points['id'][off].tolist())}: the stratum, or its number of pixels, "
            "is not the design's. Leave those columns as they were drawn"
        )
    found = Counter(strata.tolist())
    warnings = []
    for stratum, drawn in design.points.items():
        if found[stratum] > drawn:
            raise DataError(
                f"{path}: stratum {stratum} has {found[stratum]} points, of which {drawn} were "
                "drawn. Remove those that were added"
            )
    gone = sum(design.points.values()) - len(points)
    if gone:
        warnings.append(
            f"{gone} points of the sample have been removed from the file; they are taken to be "
            "like the others of their strata"
        )
    return warnings


@dataclass(frozen=True)
class DrawnSample:
    """A sample that is to be written."""

    points: geopandas.GeoDataFrame
    table: pandas.DataFrame
    """The design, a row a stratum."""
    set_aside: geopandas.GeoDataFrame | None = None
    kept: int = 0
    """Judged points of an earlier sample that are in this one."""

    @property
    def content(self) -> bytes:
        """The bytes of its GeoPackage. SQLite writes it in a folder of this machine, since it
        cannot lock files on every network drive, nor tell why a folder cannot be written to."""
        import pyogrio

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "sample.gpkg"
            self.points.to_file(path, layer=POINTS, driver="GPKG")
            pyogrio.write_dataframe(self.table, path, layer=DESIGN, driver="GPKG")
            if self.set_aside is not None and len(self.set_aside):
                self.set_aside.to_file(path, layer=_SET_ASIDE, driver="GPKG")
            return path.read_bytes()


@dataclass(frozen=True)
class Places:
    """Pixels that were drawn, on the map's grid."""

    strata: NDArray[np.int64]
    x: NDArray[np.floating[Any]]
    """Of the pixels' centres, in the map's CRS."""
    y: NDArray[np.floating[Any]]


@dataclass(frozen=True)
class MapFacts:
    """What a sample says of the map that it is drawn from."""

    year: int
    crs: str
    """In well-known text."""
    pixel_area: float
    """Square metres."""
    mosaic_version: str
    model_version: str
    pixels: Mapping[int, int]
    """By class."""
    classes: Legend = field(default_factory=dict)
    changing: bool = False
    """Whether people are to judge the class of the year before too."""


def assemble(
    drawn: Places,
    of: MapFacts,
    seed: int,
    allocation: str,
    earlier: ReferenceSample | None = None,
) -> DrawnSample:
    """Return a sample to be filled in, with what people have judged of an earlier one where its
    points are in this one too."""
    import geopandas
    import pandas

    longitudes, latitudes = transformer(of.crs, "EPSG:4326").transform(drawn.x, drawn.y)
    names = {one: name for one, (name, _) in of.classes.items()}
    strata = drawn.strata.tolist()
    table: dict[str, Any] = {
        "id": np.arange(1, len(strata) + 1),
        "stratum": drawn.strata,
        "stratum_pixels": [of.pixels[one] for one in strata],
        "map_class": drawn.strata,
        "map_class_name": [names.get(one, str(one)) for one in strata],
        "mosaic_version": of.mosaic_version,
        "model_version": of.model_version,
        "longitude": np.round(longitudes, 7),
        "latitude": np.round(latitudes, 7),
        "x": drawn.x,
        "y": drawn.y,
        "reference": "",
        **({BEFORE: ""} if of.changing else {}),
        "remark": "",
    }
    geometry = geopandas.points_from_xy(drawn.x, drawn.y)
    points = geopandas.GeoDataFrame(table, geometry=geometry, crs=of.crs)
    counts = Counter(strata)
    design = pandas.DataFrame(
        {
            "stratum": list(of.pixels),
            "name": [names.get(one, str(one)) for one in of.pixels],
            "pixels": list(of.pixels.values()),
            "points": [counts[one] for one in of.pixels],
            "crs": of.crs,
            "pixel_area": of.pixel_area,
            "seed": seed,
            "year": of.year,
            "mosaic_version": of.mosaic_version,
            "model_version": of.model_version,
            "allocation": allocation,
        }
    )
    if earlier is None:
        return DrawnSample(points, design)
    return _with_judgements(points, design, earlier)


def _with_judgements(
    points: geopandas.GeoDataFrame, design: pandas.DataFrame, earlier: ReferenceSample
) -> DrawnSample:
    known = _filled_in(earlier).to_crs(points.crs)
    # Places are centres of pixels, which are told apart from the first one's on.
    rows = _rows_at(points, known, float(design["pixel_area"].iloc[0]) ** 0.5)
    own = [name for name in known.columns if name not in points.columns]
    ours = [name for name in ("reference", BEFORE, "remark") if name in points.columns]
    for name in (*own, *ours):
        if name not in known.columns:
            continue
        values = points[name].tolist() if name in points.columns else [None] * len(points)
        for row, value in zip(rows, known[name].tolist(), strict=True):
            if row >= 0:
                values[row] = value
        points[name] = values
    for name in ours:
        points[name] = [text(value) for value in points[name]]
    judged = np.array([bool(text(value)) for value in known["reference"]], np.bool_)
    aside = known[rows < 0]
    return DrawnSample(points, design, aside, int((judged & (rows >= 0)).sum()))


def _filled_in(of: ReferenceSample) -> geopandas.GeoDataFrame:
    """Return the points of a sample that people have judged or remarked upon, and those set aside,
    each at the place that it was drawn at."""
    import geopandas
    import pandas

    places = geopandas.points_from_xy(of.points["x"], of.points["y"], crs=of.design.crs)
    points = of.points.to_crs(of.design.crs).set_geometry(places)
    remarks = points["remark"] if "remark" in points else [None] * len(points)
    filled = [bool(word or text(remark)) for word, remark in zip(of.written, remarks, strict=True)]
    known = points[filled]
    if of.set_aside is None or not len(of.set_aside):
        return known
    return pandas.concat([known, of.set_aside.to_crs(known.crs)], ignore_index=True)


def _rows_at(
    points: geopandas.GeoDataFrame, known: geopandas.GeoDataFrame, pixel: float
) -> NDArray[np.int64]:
    """Return which row of ``points`` lies where each of ``known`` does, -1 where none does."""
    west, north = points["x"].iloc[0], points["y"].iloc[0]
    x, y = (points["x"] - west) / pixel, (points["y"] - north) / pixel
    cells = zip(x.round().astype(int), y.round().astype(int), strict=True)
    there = {cell: row for row, cell in enumerate(cells)}
    x, y = (known.geometry.x - west) / pixel, (known.geometry.y - north) / pixel
    # What has no place in this CRS lies on no pixel, as what lies between two.
    x, y = x.where(np.isfinite(x), 0.5), y.where(np.isfinite(y), 0.5)
    cells = zip(x.round().astype(int), y.round().astype(int), strict=True)
    # Pixels of another grid are others, however near they are.
    same = ((x - x.round()).abs() < _SAME) & ((y - y.round()).abs() < _SAME)
    found = [there.get(cell, -1) if alike else -1 for cell, alike in zip(cells, same, strict=True)]
    return np.array(found, np.int64)
