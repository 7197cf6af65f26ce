"""A new configuration: its file, and beside it the schema that editors check it by."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import cos, radians
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

from lc_platform.area.boundary import from_bbox, from_file, swap_question, swapped
from lc_platform.catalogue import first_year
from lc_platform.commands.reference_proposal import Proposal
from lc_platform.config import CATALOGS, FILE_NAME, SOURCES, ConfigError, parse, template
from lc_platform.config.json_schema import FILE, MODELINE, stored_schema
from lc_platform.config.keys import EXAMPLES
from lc_platform.eo.bootstrap import FEWEST_BLOCKS
from lc_platform.eo.polygons import METRES_PER_DEGREE

SIDE = 10.0
"""Kilometres along the side of the box around a place."""
_SMALL = 20.0
"""Kilometres: a smaller area is split into smaller patches, so that there are several."""
_SMALL_PATCH = 2560
_ABOVE = 2
"""Levels above the configuration from which files belong to it."""
_DEGREE = METRES_PER_DEGREE / 1000
"""Kilometres of a degree of latitude."""
_NUMBER = r"[+-]?\d+(?:\.\d+)?"


@dataclass(frozen=True)
class Archive:
    """Where imagery comes from."""

    source: str
    """One of `catalogue.SOURCES`."""
    catalog: str | None = None
    """Of source stac."""


def archive_of(text: str) -> Archive:
    """Return the archive that a word names: a source, a public STAC archive, or the path or URL of
    a STAC catalog. Raises ConfigError."""
    text = text.strip()
    if text in SOURCES:
        return Archive(text, CATALOGS[0] if text == "stac" else None)
    if text in CATALOGS or "://" in text:
        return Archive("stac", text)
    if Path(text).expanduser().is_file():
        return Archive("stac", str(Path(text).expanduser().resolve()))
    raise ConfigError(
        f"{text}: there is no such archive. Give one of {', '.join((*CATALOGS, *SOURCES))}, or the "
        "path or URL of a STAC catalog"
    )


def area_of(text: str, extent: Sequence[float] | None = None) -> dict[str, Any]:
    """Return the keys of `aoi` that say where: of a file with a boundary, of a box (west, south,
    east, north) or of a place (longitude, latitude), in degrees.

    extent  of the reference: west, south, east, north in degrees; None where it is not known

    Raises ConfigError, also of a box that lies on the reference only with its latitudes and
    longitudes exchanged, or BoundaryError of a file that gives no area.
    """
    found = _area_of(text)
    box = found.get("bbox")
    if box and extent and not _meet(box, extent) and _meet(swapped(box), extent):
        raise ConfigError(
            f"{text}: lies far from the reference ({' '.join(f'{one:.3f}' for one in extent)}). "
            f"{swap_question(box)}"
        )
    return found


def _meet(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(one[i] <= other[i + 2] and other[i] <= one[i + 2] for i in (0, 1))


def _area_of(text: str) -> dict[str, Any]:
    numbers = [float(one) for one in re.findall(_NUMBER, text)]
    if re.fullmatch(rf"[\[(\s]*{_NUMBER}(?:[\s,;]+{_NUMBER})*[\])\s]*", text):
        if len(numbers) == 2:
            return {"bbox": around(*numbers)}
        if len(numbers) == 4:
            from_bbox(numbers)
            return {"bbox": numbers}
        raise ConfigError(
            f"{text}: {len(numbers)} numbers are no area. Give four, west south east north, or "
            "two, longitude latitude, in degrees; or a file"
        )
    path = path_of(text)
    if "://" not in path and not Path(path).exists():
        raise ConfigError(
            f"{text}: there is no such file. Give a file, four numbers (west south east north) "
            "or two (longitude latitude), in degrees"
        )
    from_file(path)
    return {"boundary": path}


def path_of(text: str) -> str:
    """Return the whole path of a file, or a URL, that somebody has typed, or has dropped on the
    terminal: in quotes, with blanks after backslashes, or as file://."""
    text = text.strip().strip("'\"")
    if text.startswith("file://"):
        text = unquote(urlsplit(text).path)
    if "://" in text:
        return text
    file = Path(text).expanduser()
    if not file.exists() and "\\" in text:
        plain = Path(re.sub(r"\\(.)", r"\1", text)).expanduser()
        file = plain if plain.exists() else file
    return str(file.resolve())


def around(longitude: float, latitude: float, side: float = SIDE) -> list[float]:
    """Return the box around a place: west, south, east, north in degrees.

    side  kilometres
    Raises ConfigError where there is no such place, or a pole is near.
    """
    if not (-180 <= longitude <= 180 and -80 <= latitude <= 84):
        raise ConfigError(
            f"{longitude:g} {latitude:g}: that is no place between 80 S and 84 N. Give longitude, "
            "then latitude, in degrees"
        )
    north = side / 2 / _DEGREE
    east = north / cos(radians(latitude))
    box = (longitude - east, latitude - north, longitude + east, latitude + north)
    return [round(one, 5) for one in box]


def usual_box(source: str) -> Sequence[float]:
    """Return the box of a source's template, or of the examples where that has none: west, south,
    east, north in degrees."""
    found: Sequence[float] = yaml.safe_load(template(source))["aoi"].get("bbox")
    return found or EXAMPLES["aoi.bbox"]


def usual_classes(source: str) -> list[str]:
    """Return the names of the classes of a source's template."""
    return list(parse(yaml.safe_load(template(source))).class_names.values())


def years_of(text: str) -> list[int]:
    """Return the years of a list, or of a span such as 2020-2022. Raises ConfigError."""
    found: set[int] = set()
    for part in re.split(r"[\s,;]+", text.strip("[] ")):
        ends = re.fullmatch(r"(\d{4})(?:-(\d{4}))?", part)
        if ends is None:
            raise ConfigError(f"{text}: that is no list of years. Write 2023, or 2020-2023")
        found |= set(range(int(ends[1]), int(ends[2] or ends[1]) + 1))
    if not found:
        raise ConfigError(f"{text}: there is no year. Write the smaller one first: 2020-2023")
    return sorted(found)


def usual_year(source: str, reference: Proposal | None) -> int:
    """Return the year that the reference says of itself, where a source's template has imagery of
    it; else the last year of which all is over."""
    last = datetime.now(UTC).year - 1
    collection = yaml.safe_load(template(source))["imagery"].get("collection", "")
    if reference is None or reference.dated is None:
        return last
    year = reference.dated.year
    return year if (first_year(collection) or year) <= year <= last else last


def file_in(folder: Path) -> Path:
    """Return the configuration's file in a folder. Raises ConfigError where it is there already."""
    file = folder / FILE_NAME
    if file.exists():
        raise ConfigError(
            f"{file}: is there already. Give another folder, or edit it: every key may be changed "
            "in that file, such as years"
        )
    return file


def text_of(
    folder: Path,
    archive: Archive,
    *,
    area: Mapping[str, Any] | None,
    years: Sequence[int],
    reference: Proposal | None,
    known: Mapping[str, Mapping[str, Any]] | None = None,
) -> str:
    """Return the commented configuration that answers give.

    folder     that it is for: paths of files in it are relative to it
    area       keys of `aoi`, see `area_of`; None for the template's
    reference  None for the template's
    known      keys of sections that nobody is asked for, which go before all others
    Raises ConfigError where it would not load.
    """
    plain = yaml.safe_load(template(archive.source))
    answers: dict[str, Any] = {"years": list(years)}
    if area is not None:
        aoi = {k: v for k, v in plain["aoi"].items() if k not in ("boundary", "bbox", "crs")}
        own = {key: _within(folder, v) if key == "boundary" else v for key, v in area.items()}
        if "bbox" in own:
            own["clip"] = True  # By default a box is mapped to the ends of its patches.
        sides = _sides(area)
        answers["aoi"] = {**own, **aoi, "crs": "utm", "patch_size": _patch_size(sides)}
        if (block := _block_size(sides)) is not None:
            answers["validation"] = {**plain.get("validation", {}), "block_size": block}
    if archive.catalog is not None:
        answers["imagery"] = {**plain["imagery"], "catalog": _within(folder, archive.catalog)}
    if reference is not None:
        section = reference.to_section()
        answers["reference"] = {**section, "path": _within(folder, section["path"])}
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", folder.resolve().name):
        answers["name"] = folder.resolve().name
    for name, certain in (known or {}).items():
        answers[name] = {**answers.get(name, plain[name]), **certain}
    text = template(archive.source, answers)
    parse(yaml.safe_load(text), folder)
    return text


def _sides(area: Mapping[str, Any]) -> tuple[float, float]:
    """Return the sides of the box around an area, from west to east and from south to north, in
    kilometres."""
    if "bbox" in area:
        west, south, east, north = area["bbox"]
    else:
        found = from_file(area["boundary"])
        from rasterio.warp import transform_bounds

        west, south, east, north = transform_bounds(found.crs, "EPSG:4326", *found.geometry.bounds)
    width = ((east - west) % 360) * _DEGREE * cos(radians((north + south) / 2))
    return width, (north - south) * _DEGREE


def _patch_size(sides: tuple[float, float]) -> int:
    """Return metres."""
    return _SMALL_PATCH if min(sides) < _SMALL else 10_000


def _block_size(sides: tuple[float, float]) -> int | None:
    """Return the side of the blocks of ground that accuracy is measured by, in metres, where there
    are too few patches for an interval; None where patches will do."""
    patch = _patch_size(sides)
    square_metres = sides[0] * sides[1] * 1e6
    for side in (patch, patch // 2):
        if square_metres >= FEWEST_BLOCKS * side**2:
            return None if side == patch else side
    return patch // 4


def _within(folder: Path, path: str) -> str:
    """Return the path of a file relative to a folder where it lies in it or in a folder at most
    `_ABOVE` levels above, so that all can be moved together; any other as it is."""
    file, own = Path(path), folder.resolve()
    if not file.is_absolute():
        return path
    around = (own, *own.parents[:_ABOVE])
    for levels, one in enumerate(around):
        if one != Path(one.anchor) and file.is_relative_to(one):
            return (PurePosixPath(*[".."] * levels) / file.relative_to(one).as_posix()).as_posix()
    return path


def write(folder: Path, text: str) -> Path:
    """Write a configuration into a folder, which is made where there is none; return its file,
    which appears in one step.

    Raises ConfigError where there is one already, and OSError where nothing can be written.
    """
    file = file_in(folder)
    folder.mkdir(parents=True, exist_ok=True)
    _appear(folder / FILE, stored_schema())
    _appear(file, MODELINE + text)
    return file


def _appear(file: Path, text: str) -> None:
    staged = file.with_name(f".{os.getpid()}-{file.name}")
    try:
        staged.write_text(text, encoding="utf-8")
        staged.replace(file)
    finally:
        staged.unlink(missing_ok=True)
