"""Classes that a reference map may be of, read from its own values, names and colours."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pyarrow as pa
import rasterio
from pyproj import CRS
from rasterio.errors import RasterioIOError
from rasterio.warp import transform_bounds

from lc_platform.area.coordinates import CoordinatesError, usable
from lc_platform.area.shapefile import companion
from lc_platform.area.vector_layers import Layer, NotVectorError, VectorFileError, batches
from lc_platform.commands.class_vocabulary import means_no_label, usual_colors
from lc_platform.config.colors import chosen
from lc_platform.config.input_files import is_there
from lc_platform.config.reference import plain_text
from lc_platform.sources.polygon_index import READ_ERRORS, layers_of
from lc_platform.sources.protocol import SourceError
from lc_platform.sources.reference_classes import NO_VALUE, word

MOST_CLASSES = 60
"""Values that an attribute has at most to be proposed by itself."""
_CLASSES = 255
_COUNTED = 1000
"""Values after which an attribute is none of classes."""
_SIDE = 2048
"""Pixels along a side that a raster's values are looked for on."""
_EXAMPLES = 3
"""Values of an attribute that are shown of it."""
_DBF_NAME = 10
"""Letters of the name of an attribute that a shapefile keeps."""
_LIKELY = re.compile(
    r"class|cover|lulc|land|use|code|crop|type|species|categ|clc|label|raba|nutz|klass|klasa|"
    r"kult|schl|класс|тип|код|покров|культур|угод|вид",
    re.IGNORECASE,
)
_NAMED_YEAR = re.compile(
    r"(?<!\d)((?:19|20)\d\d)(?:(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))?(?!\d)"
)
"""A year, or a date without hyphens, in the name of a file."""
_YEAR = re.compile(r"(?:19|20)\d\d")
_DATE = re.compile(
    r"((?:19|20)\d\d)[-/.]\d\d?[-/.]\d\d?(?:[T ].*)?|\d\d?[/.]\d\d?[/.]((?:19|20)\d\d)"
)
_OF_TIME = re.compile(
    r"year|date|jahr|datum|stand|leto|ann[eé]e|a[nñ]o|год|дата",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Dated:
    """The year that a reference says of itself."""

    year: int
    by: str
    """What says it, such as ``attribute STAND``."""


@dataclass(frozen=True)
class Values:
    """What stands in an attribute."""

    number: int
    """Of different values."""
    commonest: tuple[str, ...]
    """A few of them, those first that most features have."""

    def __str__(self) -> str:
        more = ", ..." if self.number > len(self.commonest) else ""
        return f"{self.number} values: {', '.join(self.commonest)}{more}"


@dataclass(frozen=True)
class Proposal:
    """How a reference may be read."""

    path: str
    layer: str | None
    """Where the file has several of polygons, of which others have no such attribute."""
    attribute: str | None
    """None of a raster."""
    classes: tuple[Mapping[str, Any], ...]
    """As `reference.classes` has them: id, name, color, values."""
    ignore: tuple[int | str, ...]
    extent: tuple[float, float, float, float] | None
    """West, south, east, north in degrees; None where it is not known."""
    attributes: Mapping[str, Values] = field(default_factory=dict)
    """The attributes that may hold classes, those first that rather do."""
    names_from: str | None = None
    """The attribute whose values are the classes' names, where it is not `attribute`."""
    dated: Dated | None = None
    """None where neither its file's name nor an attribute says a year."""
    complete: bool = True
    """False where a part of a large raster was looked at."""
    notes: tuple[str, ...] = ()
    """What the user should know of how it is read."""
    unlabelled: int = 0
    """Features without a value of the attribute."""
    crs: str | None = None
    """The code of the CRS of its polygons, such as EPSG:3763, where a map may have it: projected,
    in metres."""

    def to_section(self) -> dict[str, Any]:
        """Return the section `reference` of a configuration."""
        found: dict[str, Any] = {"path": self.path, "layer": self.layer}
        found |= {"attribute": self.attribute, "ignore": list(self.ignore)}
        given = {key: value for key, value in found.items() if value not in (None, [])}
        return {**given, "classes": [dict(one) for one in self.classes]}


def propose(path: str, attribute: str | None = None) -> Proposal:
    """Return the classes that a reference map may be of.

    attribute  of a vector file; by default the one that most likely holds classes
    Raises SourceError, which says what to do, where the file is not there, is no map of classes,
    does not say where on Earth it lies, or has no such attribute.
    """
    if not is_there(path):
        raise SourceError(f"{path} is not there. Give the reference map's file")
    try:
        found = layers_of(path, None)
    except NotVectorError:
        return _of_raster(path, attribute)
    except VectorFileError as error:
        raise SourceError(str(error)) from error
    except READ_ERRORS as error:
        raise SourceError(f"{path} cannot be read ({error}). It may be damaged") from error
    polygons = [layer for layer in found if layer.may_have_polygons]
    if not polygons:
        kinds = ", ".join(sorted({layer.kind for layer in found})) or "tables alone"
        raise SourceError(
            f"{path} has no layer of polygons ({kinds}). A reference map is of polygons or a "
            "raster; points with a class are samples: give them as sampling.points"
        )
    try:
        return _of_polygons(path, polygons, attribute)
    except VectorFileError as error:
        raise SourceError(str(error)) from error
    except READ_ERRORS as error:
        raise SourceError(f"{path} cannot be read ({error}). It may be damaged") from error


def _of_polygons(path: str, layers: Sequence[Layer], wanted: str | None) -> Proposal:
    counts, features, without = _counts(layers)
    if not features:
        raise SourceError(f"{path} is empty: it has no feature. Give a file of polygons")
    if not counts and Path(path).suffix.lower() == ".shp" and not companion(path, ".dbf"):
        raise SourceError(
            f"{path} has no attributes, since no .dbf is beside it. A shapefile is several files "
            "of one name: copy it too"
        )
    if wanted is not None:
        attribute = _named(path, wanted, layers)
        if len(counts[attribute]) > _CLASSES:
            raise SourceError(
                f"{path}: the attribute {attribute} has more than {_CLASSES} values, and a map has "
                f"{_CLASSES} classes at most. Give another: {', '.join(_fields(layers))}"
            )
    likely = sorted(
        (name for name, of in counts.items() if 2 <= len(of) <= MOST_CLASSES),
        key=lambda name: (
            not _LIKELY.search(name),
            len(counts[name]) == features,
            not _are_codes(counts[name]),
            len(counts[name]),
        ),
    )
    if wanted is None:
        if not likely:
            raise SourceError(
                f"{path} has no attribute of 2 to {MOST_CLASSES} values, as classes would be "
                f"({_summary(counts)}). Name the one that holds the class (--attribute), or give a "
                "file that has one"
            )
        attribute = likely[0]
    having = [layer for layer in layers if attribute in layer.fields]
    names_from, names = _names(having, attribute, counts)
    classes, ignore = _classes(counts[attribute], names, {})
    if not classes:
        raise SourceError(
            f"{path}: the attribute {attribute} has no value. Give another: "
            f"{', '.join(_fields(layers))}"
        )
    attributes = {name: Values(len(counts[name]), _commonest(counts[name])) for name in likely}
    extent = _extent(path, having)
    return Proposal(
        path,
        None,
        attribute,
        classes,
        ignore,
        extent,
        attributes,
        names_from,
        _dated(path, counts),
        notes=tuple(dict.fromkeys(one.note for one in having if one.note is not None)),
        unlabelled=without[attribute],
        crs=_metric(having[0].crs) if len({one.crs for one in having}) == 1 else None,
    )


def _metric(text: str | None) -> str | None:
    """Return the code of a projected CRS in metres; None of any other."""
    crs = None if text is None else CRS.from_user_input(text)
    if crs is None or not crs.is_projected or crs.axis_info[0].unit_name != "metre":
        return None
    code = crs.to_authority()
    return None if code is None else ":".join(code)


def _commonest(values: Counter[str]) -> tuple[str, ...]:
    named = [text for one, _ in values.most_common() if (text := plain_text(one))]
    return tuple(named[:_EXAMPLES])


def _fields(layers: Iterable[Layer]) -> list[str]:
    return [*dict.fromkeys(name for layer in layers for name in layer.fields)]


def _named(path: str, wanted: str, layers: Sequence[Layer]) -> str:
    """Return the attribute that is meant: a shapefile keeps the first letters of its name."""
    fields = _fields(layers)
    folded = {plain_text(name).casefold(): name for name in fields}
    for name in (wanted, wanted[:_DBF_NAME]):
        if (found := folded.get(plain_text(name).casefold())) is not None:
            return found
    raise SourceError(
        f"{path} has no attribute {wanted}. It has {', '.join(fields) or 'none'}. Give one of them"
    )


def _summary(counts: Mapping[str, Counter[str]]) -> str:
    if not counts:
        return "it has no attribute"
    return ", ".join(
        f"{name} has {'more than ' if len(of) > _COUNTED else ''}{min(len(of), _COUNTED)}"
        for name, of in counts.items()
    )


def _counts(layers: Sequence[Layer]) -> tuple[dict[str, Counter[str]], int, dict[str, int]]:
    """Return how often each value of each attribute of text or numbers is there, the number of
    features, and by attribute how many have no value. Of an attribute with too many values not all
    are counted."""
    counts: dict[str, Counter[str]] = {name: Counter() for name in _fields(layers)}
    features = 0
    for layer in layers:
        with batches(layer, layer.fields) as (_, several):
            for batch in several:
                features += batch.num_rows
                for name in layer.fields:
                    if len(counts[name]) <= _COUNTED and name in batch.schema.names:
                        counts[name].update(_words(batch.column(name)))
    without = {name: of.pop(NO_VALUE, 0) for name, of in counts.items()}
    return counts, features, without


def _words(column: pa.Array) -> Counter[str]:
    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
        return Counter()
    found: Counter[str] = Counter()
    for one in column.value_counts().to_pylist():
        found[word(one["values"])] += one["counts"]
    return found


def _are_whole(values: Iterable[str]) -> bool:
    return all(re.fullmatch(r"0|-?[1-9][0-9]*", one) for one in values)


def _are_codes(values: Iterable[str]) -> bool:
    """Return whether values are of digits, such as 10, 010 or 2.1.1, which say nothing."""
    return all(re.fullmatch(r"-?[0-9]+(\.[0-9]+)*", one) for one in values)


def _names(
    layers: Sequence[Layer], attribute: str, counts: Mapping[str, Counter[str]]
) -> tuple[str | None, dict[str, str]]:
    """Return the other attribute of text that has one name for each value, or for most of them and
    none for the others, and the names by value; None and nothing where there is none."""
    values = counts[attribute]
    if not _are_codes(values):
        return None, {}
    candidates = [
        name
        for name, of in counts.items()
        if name != attribute
        and len(values) < 2 * len(of) <= 2 * MOST_CLASSES
        and not any(map(_are_codes, ([v] for v in of)))
    ]
    pairs: dict[str, dict[str, set[str]]] = {name: {} for name in candidates}
    for layer in layers:
        with batches(layer, [attribute, *candidates]) as (_, several):
            for batch in several:
                own = [word(one) for one in batch.column(attribute).to_pylist()]
                for name in candidates:
                    if name in batch.schema.names:
                        other = map(word, batch.column(name).to_pylist())
                        for value, text in set(zip(own, other, strict=True)):
                            pairs[name].setdefault(value, set()).add(text)
    for name, of in pairs.items():
        # Features without a value may have any name, and any feature may have none.
        named = {
            value: {plain_text(one) for one in of.get(value, ()) if one != NO_VALUE} - {""}
            for value in values
        }
        known = {value: texts.pop() for value, texts in named.items() if len(texts) == 1}
        one_each = not any(named.values()) and len(set(known.values())) == len(known)
        if one_each and 2 * len(known) > len(values):
            return name, known
    return None, {}


def _dated(path: str, counts: Mapping[str, Counter[str]]) -> Dated | None:
    """Return the only year in a file's name, or the only one of an attribute of dates, or of years
    by its name."""
    if len(named := set(_NAMED_YEAR.findall(Path(path).stem))) == 1:
        return Dated(int(named.pop()), "file name")
    for name, values in counts.items():
        found = {_year(one, years=bool(_OF_TIME.search(name))) for one in values}
        if len(values) <= _COUNTED and len(found) == 1 and (year := found.pop()) is not None:
            return Dated(year, f"attribute {name}")
    return None


def _year(text: str, *, years: bool) -> int | None:
    """Return the year of a date.

    years  whether a number of four digits is one
    """
    if years and _YEAR.fullmatch(text):
        return int(text)
    found = _DATE.fullmatch(text)
    return int(found[1] or found[2]) if found else None


def _classes(
    counts: Mapping[str, int], names: Mapping[str, str], colors: Mapping[str, str]
) -> tuple[tuple[Mapping[str, Any], ...], tuple[int | str, ...]]:
    """Return classes, and the values that mean no label.

    counts  of values; names and colors by value, where they are known
    """
    ordered = sorted(counts, key=lambda one: (not _are_whole([one]), _number(one), one))
    ignore = [one for one in ordered if means_no_label(names.get(one, one))]
    alike: dict[str, list[str]] = {}
    for one in ordered:
        if one not in ignore:
            alike.setdefault(plain_text(names.get(one, one)), []).append(one)
    first = [values[0] for values in alike.values()]
    own_ids = _are_whole(first) and all(1 <= int(one) <= _CLASSES for one in first)
    named = [names.get(one, one) for one in first]
    shown = chosen([colors.get(one) for one in first] if colors else usual_colors(named))
    classes = tuple(
        {
            "id": int(values[0]) if own_ids else i,
            "name": f"class {name}" if _are_whole([name]) else name or repr(values[0]),
            "color": color,
            "values": [_value(one) for one in values],
        }
        for i, ((name, values), color) in enumerate(zip(alike.items(), shown, strict=True), 1)
    )
    return classes, tuple(_value(one) for one in ignore)


def _number(value: str) -> float:
    return float(value) if _are_whole([value]) else 0.0


def _value(text: str) -> int | str:
    return int(text) if _are_whole([text]) else text


def _extent(path: str, layers: Sequence[Layer]) -> tuple[float, float, float, float]:
    """Return west, south, east, north in degrees. Raises SourceError where it is not known."""
    import pyogrio

    boxes = []
    for layer in layers:
        if layer.geometry is not None:
            bounds = layer.read().total_bounds
        else:
            info = pyogrio.read_info(layer.dataset, layer=layer.name, force_total_bounds=True)
            bounds = info["total_bounds"]
        found = bounds is not None and bool(np.isfinite(bounds).all())
        try:
            crs = usable(layer.crs, bounds if found else None, path)
        except CoordinatesError as error:
            raise SourceError(str(error)) from error
        if found:
            boxes.append(transform_bounds(crs, "EPSG:4326", *bounds))
    if not boxes:
        raise SourceError(
            f"{path} has no polygon: none of its features has a geometry. Give a file of polygons"
        )
    west, south, east, north = zip(*boxes, strict=True)
    return min(west), min(south), max(east), max(north)


# Rasters.


def _of_raster(path: str, attribute: str | None) -> Proposal:
    if attribute is not None:
        raise SourceError(f"{path} is a raster, which has no attributes. Leave --attribute out")
    try:
        with rasterio.open(path) as raster:
            if raster.count > 1:
                named = ", ".join(
                    f"{i} {name}" if name else str(i)
                    for i, name in enumerate(raster.descriptions, 1)
                )
                raise SourceError(
                    f"{path} has {raster.count} bands ({named}), and a reference has one, of "
                    f"classes. Take it out: gdal_translate -b 1 {Path(path).name} reference.tif"
                )
            values, complete = _values(raster)
            no_data = raster.nodata
            table = _color_table(raster)
            extent = (
                tuple(transform_bounds(raster.crs, "EPSG:4326", *raster.bounds))
                if raster.crs and not raster.transform.is_identity
                else None
            )
            dtype = raster.dtypes[0]
    except RasterioIOError as error:
        raise SourceError(
            f"{path} is neither a vector file nor a raster that GDAL reads ({error})"
        ) from error
    if extent is None:
        raise SourceError(
            f"{path} does not say where on Earth its pixels lie. Georeference it "
            "(gdal_translate -a_srs -a_ullr)"
        )
    if not np.issubdtype(np.dtype(dtype), np.integer):
        whole = all(float(one).is_integer() for one in values)
        raise SourceError(
            f"{path} holds {dtype}, and classes are whole numbers. "
            + (
                "Its values are whole, so convert it: gdal_translate -ot Int16 "
                f"{Path(path).name} reference.tif"
                if whole
                else "Its values are no whole numbers, as of a measure or a probability: give a "
                "map of classes"
            )
        )
    if len(values) > _CLASSES:
        raise SourceError(
            f"{path} has {len(values)} values, and a map has {_CLASSES} classes at most. Give a "
            "map of classes"
        )
    names = {str(value): name for value, name in _category_names(path).items() if name}
    counts = {word(value): n for value, n in values.items() if value != no_data}
    unnamed_zero = "0" in counts and "0" not in names
    if unnamed_zero:
        del counts["0"]
    colors = {str(value): color for value, color in table.items()}
    classes, ignore = _classes(counts, names, colors)
    if not classes:
        raise SourceError(f"{path} has no value but 0 and no data. Give a map of classes")
    zero: tuple[int | str, ...] = (0,) if unnamed_zero else ()
    ignored, dated = (*zero, *ignore), _dated(path, {})
    return Proposal(path, None, None, classes, ignored, extent, dated=dated, complete=complete)


def _values(raster: Any) -> tuple[Counter[float], bool]:
    """Return how often values are there, on a coarser grid where the raster is large."""
    shape = (min(raster.height, _SIDE), min(raster.width, _SIDE))
    values = raster.read(1, out_shape=shape, masked=True).compressed()
    values = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    value, count = np.unique(values, return_counts=True)
    found = Counter(dict(zip(value.tolist(), count.tolist(), strict=True)))
    return found, shape == (raster.height, raster.width)


def _color_table(raster: Any) -> dict[int, str]:
    try:
        table = raster.colormap(1)
    except ValueError:  # it has none
        return {}
    return {value: f"#{r:02x}{g:02x}{b:02x}" for value, (r, g, b, _) in table.items()}


def _category_names(path: str) -> dict[int, str]:
    """Return the names of values in GDAL's side file: its list of categories, or its attribute
    table."""
    side = Path(f"{path}.aux.xml")
    if not side.is_file():
        return {}
    try:
        root = ElementTree.fromstring(side.read_bytes())
    except ElementTree.ParseError:
        return {}
    listed = root.find(".//CategoryNames")
    if listed is not None:
        return {i: (one.text or "").strip() for i, one in enumerate(listed.findall("Category"))}
    table = root.find(".//GDALRasterAttributeTable")
    if table is None:
        return {}
    usages = {one.findtext("Usage", ""): i for i, one in enumerate(table.findall("FieldDefn"))}
    # GDAL's usages: 2 is the name, 5 the value.
    if "2" not in usages or "5" not in usages:
        return {}
    found = {}
    for row in table.findall("Row"):
        cells = [cell.text or "" for cell in row.findall("F")]
        number = cells[usages["5"]]
        if re.fullmatch(r"-?[0-9]+(\.0*)?", number):
            found[int(float(number))] = cells[usages["2"]].strip()
    return found
