"""Files that the configuration names, and digests of their content.

A map seldom is one file: a virtual one (VRT) points at others, a shapefile and a MapInfo table
have parts, a raster has its place and its no-data value beside it. All of them count.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from lc_platform.config.sections import Config

_LENGTH = 16
_PARTS = {
    ".shp": (".shx", ".dbf", ".prj", ".cpg"),
    ".tab": (".dat", ".map", ".id"),
    ".mif": (".mid",),
    ".gml": (".xsd", ".gfs"),
    ".csv": (".csvt", ".prj"),
}
"""Files that belong to one with this ending, with its name; others beside it are a viewer's."""
_JOURNALS = ("-wal", "-journal")
"""What SQLite has not yet written into a database, such as a GeoPackage, lies in a file of this
name."""
_DATABASES = {".gpkg", ".sqlite", ".db"}
_VECTOR = {
    ".shp", ".tab", ".mif", ".mid", ".gml", ".csv", ".geojson", ".json", ".geojsonl", ".fgb",
    ".kml", ".kmz", ".parquet", ".geoparquet", ".zip", ".sqlite", ".db", ".dxf", ".gpx", ".gpkg",
}  # fmt: skip
"""Endings of files with which GDAL reads nothing else as a raster, so that it is not asked."""
_POINTERS = {"SourceFilename", "SourceDataset", "SrcDataSource", "IndexDataset"}
"""Elements of a virtual dataset that name another."""
_ARCHIVES = ("/vsizip/", "/vsitar/", "/vsigzip/", "zip://", "tar://", "gzip://")
_STATISTICS = re.compile("STATISTICS_|Histogram", re.IGNORECASE)
_METADATA_FILE = ".aux.xml"


@dataclass(frozen=True)
class InputFile:
    """A file that the configuration names; versions are made of its content."""

    written: str
    """As the configuration has it: a variable's value is no part of what artefacts are made of."""
    located: str
    layer: str | None = None
    """Of a file of several layers."""

    @classmethod
    def of(
        cls, config: Config, path: str | None, key: str, layer: str | None = None
    ) -> InputFile | None:
        """Return the file that a key of a configuration names, if any."""
        return None if path is None else cls(path, config.located(path, key), layer)

    @cached_property
    def content(self) -> str:
        """The content's digest; of what is not on this machine, how it is written."""
        return digest(self.located) or self.written


def digest_of(file: InputFile | None) -> str | None:
    """Return what versions are made of a file, if there is one."""
    if file is None:
        return None
    return f"{file.content}, layer {file.layer}" if file.layer else file.content


def digest(path: str) -> str | None:
    """Return a hash of the content of a file with the files that belong to it, or of a folder's.

    To a file belong its parts and what GDAL reads beside it, such as a world file, an ``.aux.xml``
    or a mask; to a virtual one those that it points at, with theirs. Statistics that a viewer
    leaves in an ``.aux.xml`` do not count. Of what lies in a zip the whole zip does.

    None of what is not a local file, whose content is not asked for.
    """
    named = local(path)
    if named is None:
        return None
    if named.is_dir():
        files = sorted(file for file in named.rglob("*") if file.is_file())
    else:
        files = list(_belonging(named))
    found = hashlib.sha256()
    for file in files:
        status = file.stat()
        found.update(_of_file(str(file), status.st_size, status.st_mtime_ns).encode())
    return found.hexdigest()[:_LENGTH]


def is_elsewhere(path: str) -> bool:
    """Return whether a path is none of this machine's file system: a URL, or what GDAL opens by a
    prefix of its own."""
    return "://" in path or path.startswith("/vsi")


def is_there(path: str) -> bool:
    """Return whether a file of this machine is there; also where it is none of this machine."""
    return is_elsewhere(path) or Path(path).exists()


def local(path: str) -> Path | None:
    """Return the file on this machine that a path names, or the one that holds what it names;
    None where there is none."""
    for prefix in _ARCHIVES:
        if path.startswith(prefix):
            inside = path.removeprefix(prefix).replace("!", "/").replace("{", "").replace("}", "")
            return next((p for p in (Path(inside), *Path(inside).parents) if p.is_file()), None)
    if path.startswith("file://"):
        path = path.removeprefix("file://")
    if is_elsewhere(path) or not Path(path).exists():
        return None
    return Path(path)


def _belonging(main: Path) -> Iterator[Path]:
    """Yield a file and all that belongs to it, each once, the file first."""
    folders = _Folders()
    seen: set[Path] = set()
    waiting = [main]
    while waiting:
        file = waiting.pop(0)
        if file in seen:
            continue
        seen.add(file)
        if file.is_dir():
            waiting += sorted(part for part in file.rglob("*") if part.is_file())
            continue
        if file.name.endswith(_METADATA_FILE) and not _metadata(file):
            continue
        yield file
        beside = folders.beside(file)
        waiting += _parts(file, beside)
        waiting += _read_beside(file, beside)
        waiting += _pointed_at(file)


class _Folders:
    """What lies in folders, each listed once."""

    def __init__(self) -> None:
        self._names: dict[Path, dict[str, list[str]]] = {}

    def beside(self, file: Path) -> list[Path]:
        """The files in a file's folder whose names begin as its does, in order."""
        folder = file.parent
        if folder not in self._names:
            groups: dict[str, list[str]] = {}
            for name in sorted(entry.name for entry in folder.iterdir()):
                groups.setdefault(name.split(".")[0].lower(), []).append(name)
            self._names[folder] = groups
        names = self._names[folder].get(file.name.split(".")[0].lower(), [])
        return [folder / name for name in names if name != file.name]


def _parts(file: Path, beside: list[Path]) -> list[Path]:
    ending = file.suffix.lower()
    wanted = [file.stem + part for part in _PARTS.get(ending, ())]
    if ending in _DATABASES:
        wanted += [file.name + journal for journal in _JOURNALS]
    by_name = {part.name.lower(): part for part in beside}  # endings come in either case
    return [by_name[name.lower()] for name in wanted if name.lower() in by_name]


def _read_beside(file: Path, beside: list[Path]) -> list[Path]:
    """Return what GDAL reads with a raster: its place, its mask, its metadata, its overviews."""
    if file.suffix.lower() in _VECTOR | {".xml"}:
        return []
    state = tuple((p.name, p.stat().st_mtime_ns) for p in (file, *beside))
    found = {Path(name).name for name in _read_with(str(file), state)}
    return [part for part in beside if part.name in found]


@lru_cache(maxsize=65536)
def _read_with(path: str, state: tuple[tuple[str, int], ...]) -> tuple[str, ...]:  # noqa: ARG001
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with rasterio.open(path) as raster:
                return tuple(raster.files)
    except rasterio.errors.RasterioError:
        return ()  # polygons, or nothing that GDAL reads, which its reader says


def _pointed_at(file: Path) -> list[Path]:
    """Return the local files that a virtual dataset names."""
    if file.suffix.lower() not in {".vrt", ".gti", ".ovf"}:
        return []
    try:
        root = ElementTree.fromstring(file.read_bytes())
    except (ElementTree.ParseError, OSError):
        return []
    found: list[Path] = []
    for element in root.iter():
        if element.tag not in _POINTERS or not (text := (element.text or "").strip()):
            continue
        relative = next((v for k, v in element.attrib.items() if k.lower() == "relativetovrt"), "0")
        found += _named(text, file.parent if relative == "1" else Path())
    return found


def _named(text: str, folder: Path) -> Iterable[Path]:
    """Return the local file in a dataset's name, as in ``DRIVER:"path":part`` or an archive."""
    quoted = re.findall(r'"([^"]+)"', text)
    plain = text.removeprefix("vrt://").split("?")[0]
    for name in (text, plain, *quoted, *re.findall(r"^[A-Za-z0-9_]+:([^:]+)", text)):
        archive = next((prefix for prefix in _ARCHIVES if name.startswith(prefix)), "")
        inside = name.removeprefix(archive)
        found = local(archive + str(folder / PurePosixPath(inside)))
        if found is not None:
            return [found]
    return []


def _metadata(file: Path) -> bytes:
    """Return what an ``.aux.xml`` says of a raster beyond statistics of its values."""
    content = file.read_bytes()
    try:
        root = ElementTree.fromstring(content)
    except ElementTree.ParseError:
        return content
    for parent in list(root.iter()):
        for child in list(parent):
            key = child.get("key", "") if child.tag == "MDI" else child.tag
            if _STATISTICS.match(key):
                parent.remove(child)
    for _ in range(3):  # metadata within a band within the dataset
        for parent in list(root.iter()):
            for child in list(parent):
                if not len(child) and not (child.text or "").strip():
                    parent.remove(child)
    return ElementTree.tostring(root) if len(root) else b""


@lru_cache(maxsize=65536)
def _of_file(path: str, size: int, changed: int) -> str:  # noqa: ARG001
    if path.endswith(_METADATA_FILE):
        return hashlib.sha256(_metadata(Path(path))).hexdigest()
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
