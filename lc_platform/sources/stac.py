"""Imagery from a STAC API or a static STAC catalog.

Items are found with pystac-client (an API) or pystac (a catalog of files) and understood with
odc-stac. Their pixels are gathered here rather than by ``odc.stac.load``, for two promises that
it does not make: a pixel is the same whichever window it was read in (GDAL's warp may take its
neighbour), and a grid whose pixels are only nearly those of the archive is not shifted along.
"""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, TypeVar
from urllib.parse import unquote, urlparse

import numpy as np
import odc.stac
import pystac
import rasterio
import shapely
import shapely.geometry
from affine import Affine
from numpy.typing import NDArray
from odc.geo import CRS
from odc.geo.converters import rio_geobox
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from pystac_client import Client
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from rasterio.errors import RasterioError
from rasterio.windows import Window

from lc_platform.sources.protocol import (
    Acquisition,
    Pixels,
    SourceError,
    TransientSourceError,
)

SENTINEL2_ASSETS: Mapping[str, str] = {
    "B01": "coastal",
    "B02": "blue",
    "B03": "green",
    "B04": "red",
    "B05": "rededge1",
    "B06": "rededge2",
    "B07": "rededge3",
    "B08": "nir",
    "B8A": "nir08",
    "B09": "nir09",
    "B10": "cirrus",
    "B11": "swir16",
    "B12": "swir22",
    "SCL": "scl",
}
"""Sentinel-2 band -> asset key in catalogs that name their assets by common names."""

PASS_GAP = timedelta(minutes=10)
"""Granules of one satellite further apart in time than this belong to two passes."""

_SENTINEL2_QUANTIFICATION = 0.0001
_OFFSET_SINCE_BASELINE = (4, 0)
_REPLACED_SHARE = 0.99
_SAME_PIXEL = 1e-6
_POINTS_AT_ONCE = 2**22
_MEAN_FROM_RATIO = 1.99
_REMEMBERED_API_ITEMS = 5000
_HTTP_SECONDS = 60.0
_TRANSIENT = re.compile(
    r"HTTP response code: (0|408|429|5\d\d)|CURL|[Tt]imed? ?out|[Cc]onnection|resolve host"
)
_GDAL_OPTIONS = {
    "GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR",
    "GDAL_HTTP_TIMEOUT": str(int(_HTTP_SECONDS)),
}
# GDAL remembers, for the whole process, that a remote file could not be read, and would answer a
# retry from that memory. So it is told to forget those that failed the last time.
_FAILED: set[str] = set()
_KEPT_PROPERTIES = (
    "s2:processing_baseline",
    "platform",
    "constellation",
    "sat:relative_orbit",
    "sat:orbit_state",
    "earthsearch:boa_offset_applied",
)

_Out = TypeVar("_Out")


class StacArchive:
    """One collection of a STAC API or of a static STAC catalog, as a ``Source``.

    catalog     path or http(s) URL of a ``catalog.json`` or ``collection.json``, or of the
                landing page of a STAC API. It is read on first use
    collection  the collection's id

    An acquisition's key is ``{start}_{platform}`` (``20180801T105021_sentinel-2a``), where
    start is when the satellite's datatake began if the items tell it (``s2:datatake_id`` or
    ``s2:product_uri``), which is the same for all granules of a pass. Failing that it is
    ``{date}_{platform}_R{relative orbit}`` if they tell the orbit, and failing that the time of
    the pass's earliest granule: of the whole collection in a static catalog, of those that the
    search found in an API.
    """

    def __init__(self, catalog: str, collection: str) -> None:
        self.catalog = catalog
        self.collection = collection
        self._io = StacApiIO(timeout=_HTTP_SECONDS, max_retries=2)
        self._lock = threading.RLock()
        self._client: Client | None = None
        self._passes: list[_Pass] | None = None
        self._entries: dict[str, _Entry] = {}
        self._method: Literal["GET", "POST"] = "POST"
        self._opened = False

    def search(self, area: Geometry, start: datetime, end: datetime) -> list[Acquisition]:
        """Acquisitions that touch ``area`` (any CRS) in the half-open period [start, end), UTC.

        In order of time then key. Raises SourceError where the catalog is not there, is not
        STAC, has not the collection or lists an item that cannot be read, and
        TransientSourceError where it did not answer.
        """
        footprint = _to_wgs84(area)
        start, end = _utc(start), _utc(end)
        self._open()
        if end <= start:
            return []
        if self._client is None:
            found = self._static_passes()
        else:
            found = _group_into_passes(self._search_api(footprint, start, end))
        acquisitions = []
        for one_pass in found:
            entries = [
                entry
                for entry in one_pass.entries
                if start <= entry.datetime < end and entry.footprint.intersects(footprint)
            ]
            if entries:
                acquisitions.append(_acquisition(one_pass.key, entries))
        return sorted(acquisitions, key=lambda acquisition: (acquisition.datetime, acquisition.key))

    def read(self, acquisition: Acquisition, geobox: GeoBox, bands: Sequence[str]) -> Pixels:
        """The acquisition's ``bands``, in the order asked for, on the grid ``geobox``.

        Where the grid's pixels are those of the archive nothing is resampled. A finer grid takes
        the nearest archive pixel; a grid at least twice as coarse, the mean of the archive's
        valid pixels (for a classification band, the nearest). A pixel comes with all its bands
        from one granule: the first, in order of preference, that has data in all of them;
        granules in the grid's own CRS go first. Granules whose offsets differ are brought to the
        lowest of their offsets.

        Raises SourceError naming the acquisition, the band and the file where a band is not in
        the archive, a file is missing, damaged or not of whole numbers from 0 to 65535, and
        TransientSourceError where the archive did not answer.
        """
        if not bands:
            raise SourceError(f"acquisition {acquisition.key}: no band was asked for.")
        entries = self._entries_of(acquisition)
        layers = [[entry.layer(band, acquisition.key) for band in bands] for entry in entries]
        # Of all granules, so that every window of an acquisition has the same scale and offset.
        scale, offset, shifts = _common_calibration(acquisition.key, bands, layers)

        target = _Target(geobox)
        values = np.zeros((len(bands), *geobox.shape), np.uint16)
        data_mask = np.zeros(geobox.shape, np.bool_)
        for granule in _those_on(geobox, entries):
            read = _in_threads_if_remote(
                lambda layer: _read_layer(layer, target, acquisition.key), layers[granule]
            )
            fresh = ~data_mask
            for _, valid in read:
                fresh &= valid
            for index, ((numbers, _), shift) in enumerate(zip(read, shifts[granule], strict=True)):
                if shift:
                    numbers = np.minimum(numbers.astype(np.int64) + shift, 65535)
                np.copyto(values[index], numbers.astype(np.uint16, copy=False), where=fresh)
            data_mask |= fresh
            if data_mask.all():
                break
        return Pixels(values=values, data_mask=data_mask, scale=scale, offset=offset)

    def bands(self) -> tuple[str, ...]:
        """Names that ``read`` takes: Sentinel-2 bands in their order, then the asset keys.

        Those of the collection's first item; empty where the collection has none.
        """
        self._open()
        if self._client is None:
            entries: list[_Entry] = [e for p in self._static_passes()[:1] for e in p.entries[:1]]
        else:
            found = self._call_api(
                lambda client: list(
                    client.search(
                        method=self._method, collections=[self.collection], max_items=1
                    ).items()
                )
            )
            entries = self._remember(found)
        return entries[0].bands() if entries else ()

    def _open(self) -> None:
        with self._lock:
            if self._opened:
                return
            document = self._read_json(self.catalog, "imagery.catalog")
            if _is_api(document):
                self._open_api()
            else:
                self._open_static(document)
            self._opened = True

    def _read_json(self, href: str, what: str) -> dict[str, Any]:
        advice = "Give the path or URL of a STAC catalog.json or of a STAC API."
        path = _local_path(href)
        if path is not None and path.is_dir():
            raise SourceError(f"{what}: {href} is a folder. Give the path of its catalog.json.")
        try:
            text = self._io.read_text(href if path is None else str(path))
        except FileNotFoundError as error:
            raise SourceError(f"{what}: {href} is not there. {advice}") from error
        except APIError as error:
            raise _api_failure(f"{what}: {href}", error, advice) from error
        except (OSError, UnicodeDecodeError) as error:
            raise SourceError(f"{what}: {href} cannot be read ({error}). {advice}") from error
        try:
            document = json.loads(text)
        except json.JSONDecodeError as error:
            raise SourceError(
                f"{what}: {href} is not JSON ({error.msg} in line {error.lineno}). {advice}"
            ) from error
        if not isinstance(document, dict) or "stac_version" not in document:
            raise SourceError(
                f"{what}: {href} is JSON but not STAC (it has no stac_version). {advice}"
            )
        return document

    # Static catalog

    def _open_static(self, document: dict[str, Any]) -> None:
        root = self._parse(document, self.catalog, "imagery.catalog")
        seen: list[str] = []
        for collection in self._collections(root, set()):
            seen.append(collection.id)
            if collection.id == self.collection:
                break
        else:
            raise self._no_collection(seen)
        hrefs = list(dict.fromkeys(self._item_hrefs(collection, set())))
        with ThreadPoolExecutor(16 if hrefs and _is_remote(hrefs[0]) else 1) as pool:
            items = list(pool.map(self._read_item, hrefs))
        entries = self._remember(items)
        self._passes = _group_into_passes(entries)

    def _parse(
        self, document: dict[str, Any], href: str, what: str
    ) -> pystac.Catalog | pystac.Item:
        type_ = document.get("type")
        path = _local_path(href)
        base = href if path is None else str(path.absolute())
        try:
            if type_ == "Catalog":
                return pystac.Catalog.from_dict(document, href=base, migrate=True)
            if type_ == "Collection":
                return pystac.Collection.from_dict(document, href=base, migrate=True)
            if type_ == "Feature":
                return pystac.Item.from_dict(document, href=base, migrate=True)
        except (KeyError, ValueError, TypeError, AttributeError, pystac.STACError) as error:
            raise SourceError(
                f"{what}: {href} is not valid STAC ({type(error).__name__}: {error})."
            ) from error
        raise SourceError(
            f"{what}: {href} is not a STAC catalog, collection or item (its type is {type_!r})."
        )

    def _children(self, parent: pystac.Catalog, seen: set[str]) -> Iterator[pystac.Catalog]:
        for link in parent.get_child_links():
            href = link.get_absolute_href()
            if href is None or href in seen:
                continue
            seen.add(href)
            what = f"{parent.self_href or self.catalog} lists a child"
            child = self._parse(self._read_json(href, what), href, what)
            if isinstance(child, pystac.Catalog):
                yield child

    def _collections(
        self, node: pystac.Catalog | pystac.Item, seen: set[str]
    ) -> Iterator[pystac.Collection]:
        if isinstance(node, pystac.Item):
            raise SourceError(
                f"imagery.catalog: {self.catalog} is a single item. "
                f"Give the path or URL of its collection.json or catalog.json."
            )
        if isinstance(node, pystac.Collection):
            yield node
        for child in self._children(node, seen):
            yield from self._collections(child, seen)

    def _item_hrefs(self, node: pystac.Catalog, seen: set[str]) -> Iterator[str]:
        for link in node.get_item_links():
            href = link.get_absolute_href()
            if href is not None:
                yield href
        for child in self._children(node, seen):
            if not isinstance(child, pystac.Collection):
                yield from self._item_hrefs(child, seen)

    def _read_item(self, href: str) -> pystac.Item:
        what = f"collection {self.collection} lists an item"
        item = self._parse(self._read_json(href, what), href, what)
        if not isinstance(item, pystac.Item):
            raise SourceError(f"{what}: {href} is not a STAC item.")
        return item

    def _static_passes(self) -> list[_Pass]:
        assert self._passes is not None
        return self._passes

    # API

    def _open_api(self) -> None:
        try:
            self._client = Client.open(self.catalog, stac_io=self._io)
        except APIError as error:
            raise _api_failure(f"imagery.catalog: {self.catalog}", error, "") from error
        except (KeyError, ValueError, TypeError, pystac.STACError) as error:
            raise SourceError(
                f"imagery.catalog: {self.catalog} is not a STAC API that can be used "
                f"({type(error).__name__}: {error})."
            ) from error
        methods = {
            str(link.extra_fields.get("method") or "GET").upper()
            for link in self._client.get_links("search")
        }
        self._method = "POST" if "POST" in methods else "GET"
        found = self._call_api(lambda client: client.get_collection(self.collection))
        if found is None or found.id != self.collection:
            known = self._call_api(lambda client: [c.id for c in client.get_collections()])
            raise self._no_collection(known)

    def _no_collection(self, known: Iterable[str]) -> SourceError:
        return SourceError(
            f"imagery.collection: {self.catalog} has no collection {self.collection}. "
            f"It has: {', '.join(sorted(set(known))) or 'none'}."
        )

    def _call_api(self, call: Callable[[Client], _Out]) -> _Out:
        assert self._client is not None
        try:
            return call(self._client)
        except APIError as error:
            raise _api_failure(f"imagery.catalog: {self.catalog}", error, "") from error
        except NotImplementedError as error:
            raise SourceError(
                f"imagery.catalog: {self.catalog} offers no item search ({error})."
            ) from error
        except (KeyError, ValueError, TypeError, pystac.STACError) as error:
            raise SourceError(
                f"imagery.catalog: {self.catalog} answered a search with what is not STAC "
                f"({type(error).__name__}: {error})."
            ) from error

    def _search_api(
        self, footprint: shapely.Geometry, start: datetime, end: datetime
    ) -> list[_Entry]:
        # A GET's query string may be too short for a geometry; search() filters by it anyway.
        where: dict[str, Any] = (
            {"intersects": shapely.geometry.mapping(footprint)}
            if self._method == "POST"
            else {"bbox": footprint.bounds}
        )
        items = self._call_api(
            lambda client: list(
                client.search(
                    method=self._method,
                    collections=[self.collection],
                    datetime=[start, end],
                    limit=100,
                    **where,
                ).items()
            )
        )
        return self._remember(items)

    # Items

    def _remember(self, items: Iterable[pystac.Item]) -> list[_Entry]:
        entries = list({item.id: _Entry(item) for item in items}.values())
        with self._lock:
            if self._client is not None and len(self._entries) > _REMEMBERED_API_ITEMS:
                self._entries = {}
            self._entries.update((entry.item.id, entry) for entry in entries)
        return entries

    def _entries_of(self, acquisition: Acquisition) -> list[_Entry]:
        self._open()
        with self._lock:
            missing = [id_ for id_ in acquisition.items if id_ not in self._entries]
            known = {id_: self._entries[id_] for id_ in acquisition.items if id_ not in missing}
        if missing and self._client is not None:
            found = self._call_api(
                lambda client: list(
                    client.search(
                        method=self._method, collections=[self.collection], ids=missing
                    ).items()
                )
            )
            known.update((entry.item.id, entry) for entry in self._remember(found))
            missing = [id_ for id_ in missing if id_ not in known]
        if missing or not known:
            raise SourceError(
                f"acquisition {acquisition.key}: {self.catalog} has no item "
                f"{', '.join(missing) or '(none was named)'} in collection {self.collection}. "
                f"Search the archive again."
            )
        return [known[id_] for id_ in acquisition.items]


@dataclass(frozen=True, slots=True)
class _Layer:
    """One band of one item."""

    band: str
    uri: str
    index: int
    nodata: float | None
    scale: float
    offset: float
    classification: bool


@dataclass(frozen=True, slots=True)
class _Pass:
    key: str
    entries: tuple[_Entry, ...]


class _Entry:
    """An item and what the platform needs to know of it, worked out once."""

    def __init__(self, item: pystac.Item) -> None:
        self.item = item
        properties = item.properties
        when = item.datetime or item.common_metadata.start_datetime
        if when is None:
            raise SourceError(f"item {item.id}: it has neither datetime nor start_datetime.")
        self.datetime = _utc(when)
        self.footprint = _item_footprint(item)
        platform = properties.get("platform") or properties.get("constellation") or ""
        self.platform = str(platform).lower()
        self.baseline = _version(properties.get("s2:processing_baseline"))
        self.tile = _tile(item)
        self.datatake = _datatake(properties)
        orbit = properties.get("sat:relative_orbit")
        self.orbit = int(orbit) if isinstance(orbit, int | float) else _orbit_of_product(properties)
        self._layers: dict[str, _Layer] = {}
        self._sources: dict[tuple[str, int], Any] | None = None

    @property
    def epsg(self) -> int | None:
        """EPSG code of the item's grid, None where it is not told."""
        code = self.item.properties.get("proj:code")
        if isinstance(code, str) and code.upper().startswith("EPSG:"):
            return int(code[5:])
        epsg = self.item.properties.get("proj:epsg")
        return int(epsg) if isinstance(epsg, int) else None

    def layer(self, band: str, acquisition: str) -> _Layer:
        """The item's band; raises SourceError naming the acquisition where it has none."""
        if band not in self._layers:
            self._layers[band] = self._find_layer(band, acquisition)
        return self._layers[band]

    def bands(self) -> tuple[str, ...]:
        """Sentinel-2 names in their order, then asset keys."""
        keys = [name for name in SENTINEL2_ASSETS if self._locate(name) is not None]
        sources = self._raster_sources()
        keys += [asset for asset, _ in sources if asset not in keys]
        return tuple(dict.fromkeys(keys))

    def _raster_sources(self) -> dict[tuple[str, int], Any]:
        if self._sources is None:
            try:
                # The files' own georeference is used, so an asset without proj: is as good.
                parsed = odc.stac.parse_item(self.item, {"*": {"ignore_proj": True}})
            except (KeyError, ValueError, TypeError) as error:
                raise SourceError(
                    f"item {self.item.id}: its assets cannot be understood "
                    f"({type(error).__name__}: {error})."
                ) from error
            self._sources = {(key[0], key[1]): source for key, source in parsed.bands.items()}
        return self._sources

    def _locate(self, band: str) -> tuple[str, int] | None:
        sources = self._raster_sources()
        if (band, 1) in sources:
            return band, 1
        named = [key for key in sources if _band_names(self.item.assets[key[0]], key[1]) & {band}]
        if not named and band in SENTINEL2_ASSETS:
            candidates = {SENTINEL2_ASSETS[band], band.lower()} if self._is_sentinel2() else set()
            named = [
                key
                for key in sources
                if key[1] == 1
                and (key[0] in candidates or re.fullmatch(rf"{band}_\d+m", key[0]) is not None)
            ]
        if not named:
            return None
        width = {key: sum(other[0] == key[0] for other in sources) for key in named}
        return min(named, key=lambda key: (width[key], self._resolution(key), key))

    def _is_sentinel2(self) -> bool:
        told = (
            self.platform,
            self.item.properties.get("constellation"),
            self.item.collection_id,
        )
        return any("sentinel-2" in str(name).lower() for name in told)

    def _resolution(self, key: tuple[str, int]) -> float:
        asset = self.item.assets[key[0]]
        told = _band_field(asset, key[1], "spatial_resolution")
        gsd = told if told is not None else asset.extra_fields.get("gsd")
        if isinstance(gsd, int | float):
            return float(gsd)
        in_key = re.search(r"_(\d+)m$", key[0])
        return float(in_key.group(1)) if in_key else math.inf

    def _find_layer(self, band: str, acquisition: str) -> _Layer:
        key = self._locate(band)
        if key is None:
            raise SourceError(
                f"acquisition {acquisition}: the archive has no band {band} "
                f"(item {self.item.id}). It has: {', '.join(self.bands()) or 'none'}."
            )
        source = self._raster_sources()[key]
        asset = self.item.assets[key[0]]
        if str(source.meta.data_type).startswith(("float", "cfloat", "complex")) and _told_type(
            asset, key[1]
        ):
            raise _not_whole_numbers(acquisition, band, source.uri, source.meta.data_type)
        roles = set(asset.roles or ())
        told_scale = _band_field(asset, key[1], "scale")
        classification = (
            "classification" in roles
            or band.upper() == "SCL"
            or (told_scale is None and str(_told_type(asset, key[1])) == "uint8")
        )
        scale, offset = self._calibration(band, key, acquisition, classification)
        local = _local_path(source.uri)
        nodata = source.meta.nodata
        return _Layer(
            band=band,
            uri=source.uri if local is None else str(local),
            index=max(source.band, 1),
            nodata=None if nodata is None else float(nodata),
            scale=scale,
            offset=offset,
            classification=classification,
        )

    def _calibration(
        self, band: str, key: tuple[str, int], acquisition: str, classification: bool
    ) -> tuple[float, float]:
        asset = self.item.assets[key[0]]
        scale = _band_field(asset, key[1], "scale")
        offset = _band_field(asset, key[1], "offset")
        applied = self.item.properties.get("earthsearch:boa_offset_applied")
        if classification:
            return float(scale or 1.0), float(offset or 0.0)
        if scale is None and self._is_sentinel2() and _is_reflectance(band, asset, key[1]):
            scale = _SENTINEL2_QUANTIFICATION
            if (
                offset is None
                and applied is not True
                and (self.baseline == () or self.baseline >= _OFFSET_SINCE_BASELINE)
            ):
                raise SourceError(
                    f"acquisition {acquisition}: item {self.item.id} does not tell scale and "
                    f"offset of band {band} (raster:bands), and from processing baseline 04.00 on "
                    f"the offset may or may not have been taken out. Use an archive that tells it."
                )
        if applied is True:
            offset = 0.0
        return float(1.0 if scale is None else scale), float(offset or 0.0)


def _item_footprint(item: pystac.Item) -> shapely.Geometry:
    try:
        if item.geometry is not None:
            footprint = shapely.geometry.shape(item.geometry)
            return footprint if footprint.is_valid else shapely.make_valid(footprint)
        if item.bbox is not None:
            west, south, *_ = item.bbox
            east, north = item.bbox[len(item.bbox) // 2 :][:2]
            return shapely.box(west, south, east, north)
    except (AttributeError, KeyError, TypeError, ValueError, shapely.GEOSException) as error:
        raise SourceError(f"item {item.id}: its geometry cannot be read ({error}).") from error
    raise SourceError(f"item {item.id}: it has neither geometry nor bbox.")


def _band_dicts(asset: pystac.Asset, index: int) -> Iterator[dict[str, Any]]:
    fields = asset.extra_fields
    for name in ("raster:bands", "bands", "eo:bands"):
        told = fields.get(name)
        if isinstance(told, list) and len(told) >= index and isinstance(told[index - 1], dict):
            yield told[index - 1]
    yield {name: value for name, value in fields.items() if not isinstance(value, list)}


def _band_field(asset: pystac.Asset, index: int, field: str) -> float | None:
    for told in _band_dicts(asset, index):
        for name in (field, f"raster:{field}"):
            value = told.get(name)
            if isinstance(value, int | float):
                return float(value)
    return None


def _told_type(asset: pystac.Asset, index: int) -> str | None:
    for told in _band_dicts(asset, index):
        if isinstance(told.get("data_type"), str):
            return str(told["data_type"])
    return None


def _band_names(asset: pystac.Asset, index: int) -> set[str]:
    return {str(told["name"]) for told in _band_dicts(asset, index) if "name" in told}


def _is_reflectance(band: str, asset: pystac.Asset, index: int) -> bool:
    names = {band} | _band_names(asset, index)
    optical = {name for name in SENTINEL2_ASSETS if name != "SCL"}
    optical |= {SENTINEL2_ASSETS[name] for name in optical}
    return "reflectance" in (asset.roles or ()) or bool(names & optical)


def _version(text: Any) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", str(text))) if text else ()


def _tile(item: pystac.Item) -> str:
    told = item.properties.get("grid:code") or item.properties.get("s2:mgrs_tile")
    if told:
        return str(told).upper().removeprefix("MGRS-")
    in_id = re.search(r"(?:^|_)T?(\d{2}[A-Z]{3})(?:_|$)", item.id)
    return in_id.group(1) if in_id else ""


def _datatake(properties: Mapping[str, Any]) -> str:
    told = re.search(r"_(\d{8}T\d{6})_", str(properties.get("s2:datatake_id", "")))
    told = told or re.search(r"_MSIL\w\w_(\d{8}T\d{6})_", str(properties.get("s2:product_uri", "")))
    return told.group(1) if told else ""


def _orbit_of_product(properties: Mapping[str, Any]) -> int | None:
    told = re.search(r"_R(\d{3})_", str(properties.get("s2:product_uri", "")))
    return int(told.group(1)) if told else None


def _group_into_passes(entries: Iterable[_Entry]) -> list[_Pass]:
    tracks: dict[tuple[str, str, int | None], list[_Entry]] = {}
    for entry in sorted(entries, key=lambda entry: (entry.datetime, entry.item.id)):
        track = (entry.platform, entry.datatake, None if entry.datatake else entry.orbit)
        tracks.setdefault(track, []).append(entry)
    passes: list[_Pass] = []
    for (platform, datatake, orbit), track_entries in tracks.items():
        for together in _split_at_gaps(track_entries, keep_whole=bool(datatake)):
            first = together[0].datetime
            start = datatake or f"{first:%Y%m%d}" + (
                "" if orbit is not None else f"T{first:%H%M%S}"
            )
            parts = (start, platform, f"R{orbit:03d}" if orbit is not None else "")
            key = re.sub(r"[^A-Za-z0-9_-]+", "-", "_".join(part for part in parts if part))
            passes.append(_Pass(key, tuple(_in_order_of_preference(together))))
    return _with_unique_keys(passes)


def _split_at_gaps(entries: Sequence[_Entry], *, keep_whole: bool) -> Iterator[list[_Entry]]:
    together: list[_Entry] = []
    for entry in entries:
        if together and not keep_whole and entry.datetime - together[-1].datetime > PASS_GAP:
            yield together
            together = []
        together.append(entry)
    if together:
        yield together


def _with_unique_keys(passes: list[_Pass]) -> list[_Pass]:
    passes = sorted(passes, key=lambda one: (min(e.datetime for e in one.entries), one.key))
    taken: dict[str, int] = {}
    unique = []
    for one in passes:
        taken[one.key] = count = taken.get(one.key, 0) + 1
        unique.append(one if count == 1 else _Pass(f"{one.key}-{count}", one.entries))
    return unique


def _in_order_of_preference(entries: Sequence[_Entry]) -> list[_Entry]:
    """Tile by tile, the newest processing first, without what it replaces.

    Two items of a tile may be two processings of one granule, or the two halves of a tile that a
    datastrip's end cuts: an older one goes only where newer ones cover it.
    """

    def newest_first(entry: _Entry) -> tuple[tuple[int, ...], str, str]:
        updated = entry.item.properties.get("updated") or entry.item.properties.get("created")
        return entry.baseline, str(updated or ""), entry.item.id

    kept: list[_Entry] = []
    for tile in sorted({entry.tile for entry in entries}):
        of_tile = sorted((e for e in entries if e.tile == tile), key=newest_first, reverse=True)
        for entry in of_tile:
            newer = [e.footprint for e in kept if e.tile == tile and e.baseline > entry.baseline]
            if tile and newer and _covered(entry.footprint, shapely.union_all(newer)):
                continue
            kept.append(entry)
    return kept


def _covered(footprint: shapely.Geometry, by: shapely.Geometry) -> bool:
    if footprint.area == 0:
        return bool(by.covers(footprint))
    return bool(footprint.intersection(by).area >= _REPLACED_SHARE * footprint.area)


def _acquisition(key: str, entries: Sequence[_Entry]) -> Acquisition:
    clouds = [
        float(cover)
        for entry in entries
        if isinstance(cover := entry.item.properties.get("eo:cloud_cover"), int | float)
    ]
    properties = {}
    for name in _KEPT_PROPERTIES:
        told = [entry.item.properties.get(name) for entry in entries]
        distinct = dict.fromkeys(str(value) for value in told if value is not None)
        if distinct:
            properties[name] = ",".join(distinct)
    tiles = dict.fromkeys(entry.tile for entry in entries if entry.tile)
    if tiles:
        properties["grid:code"] = ",".join(f"MGRS-{tile}" for tile in tiles)
    return Acquisition(
        key=key,
        datetime=min(entry.datetime for entry in entries),
        items=tuple(entry.item.id for entry in entries),
        platform=entries[0].platform,
        cloud_cover=sum(clouds) / len(clouds) if clouds else None,
        properties=properties,
    )


def _those_on(geobox: GeoBox, entries: Sequence[_Entry]) -> list[int]:
    """Which granules to read, in order: those near the grid, those in its CRS first."""
    if len(entries) == 1:
        return [0]
    # Footprints are drawn roughly (straight lines between far corners), hence the margin.
    footprint = _to_wgs84(geobox.extent).buffer(0.02)
    near = [i for i, entry in enumerate(entries) if entry.footprint.intersects(footprint)]
    epsg = geobox.crs.epsg if geobox.crs is not None else None
    return sorted(near, key=lambda i: epsg is None or entries[i].epsg != epsg)


def _common_calibration(
    key: str, bands: Sequence[str], layers: Sequence[Sequence[_Layer]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], list[list[int]]]:
    """Scale and offset (band,) for all granules, and what to add to whose digital numbers."""
    scale = np.array([layer.scale for layer in layers[0]], np.float64)
    offset = np.array([min(o.offset for o in of) for of in zip(*layers, strict=True)], np.float64)
    shifts: list[list[int]] = []
    for granule in layers:
        row = []
        for index, (band, layer) in enumerate(zip(bands, granule, strict=True)):
            shift = (layer.offset - offset[index]) / layer.scale
            if layer.scale != scale[index] or abs(shift - round(shift)) > 1e-6:
                raise SourceError(
                    f"acquisition {key}: its granules store band {band} with different scales or "
                    f"offsets ({layers[0][index].uri} and {layer.uri}), which whole digital "
                    f"numbers cannot reconcile. Use an archive with one processing baseline."
                )
            row.append(round(shift))
        shifts.append(row)
    return scale, offset, shifts


class _Target:
    """The grid to read on, with its pixels' centres in the CRSs that were asked for."""

    def __init__(self, geobox: GeoBox) -> None:
        self.geobox = geobox
        self._centres: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}

    def centres(self, crs: CRS) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """x and y in ``crs``, both (y, x); not finite where a centre has no place in it."""
        known = self._centres.get(str(crs))
        if known is None:
            assert self.geobox.crs is not None
            height, width = self.geobox.shape
            columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
            x, y = self.geobox.transform * (columns, rows)
            if crs != self.geobox.crs:
                x, y = self.geobox.crs.transformer_to_crs(crs)(x, y)
            known = self._centres[str(crs)] = (np.asarray(x), np.asarray(y))
        return known


def _read_layer(
    layer: _Layer, target: _Target, acquisition: str
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Digital numbers and where they are data, both (y, x)."""
    where = f"acquisition {acquisition}, band {layer.band}: {layer.uri}"
    try:
        with rasterio.Env(**_gdal_options(layer.uri)), _open_raster(layer.uri) as file:
            if layer.index > file.count:
                raise SourceError(f"{where} has no band {layer.index}, only {file.count}.")
            dtype = np.dtype(file.dtypes[layer.index - 1])
            if dtype.kind not in "ui":
                raise _not_whole_numbers(acquisition, layer.band, layer.uri, str(dtype))
            own = rio_geobox(file)
            if own.crs is None or not isinstance(own, GeoBox):
                raise SourceError(f"{where} does not tell its grid and coordinate system.")
            nodata = layer.nodata if layer.nodata is not None else file.nodatavals[layer.index - 1]
            numbers, valid = _on_grid(file, own, layer, target, 0.0 if nodata is None else nodata)
    except (RasterioError, OSError) as error:
        _FAILED.add(layer.uri)
        raise _read_failure(where, layer.uri, error) from error
    _FAILED.discard(layer.uri)
    if dtype not in (np.dtype(np.uint8), np.dtype(np.uint16)):
        data = numbers[valid]
        if data.size and (data.min() < 0 or data.max() > 65535):
            raise _not_whole_numbers(
                acquisition, layer.band, layer.uri, f"{dtype} from {data.min()} to {data.max()}"
            )
    return numbers, valid


def _on_grid(
    file: rasterio.DatasetReader, own: GeoBox, layer: _Layer, target: _Target, nodata: float
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    geobox = target.geobox
    ratio = _ratio(own, geobox)
    if ratio >= _MEAN_FROM_RATIO and not layer.classification:
        return _mean(file, layer.index, own, geobox, ratio, nodata)
    numbers, inside = _nearest(file, layer.index, own, target)
    return numbers, inside & (numbers != nodata)


def _ratio(own: GeoBox, geobox: GeoBox) -> float:
    """Width of the grid's pixels in the file's, at the middle of the file, so that it is the same
    for every window of a grid."""
    assert own.crs is not None
    assert geobox.crs is not None
    x, y = own.transform * (own.shape[1] / 2, own.shape[0] / 2)
    grid = geobox.transform
    if own.crs != geobox.crs:
        x, y = own.crs.transformer_to_crs(geobox.crs)(x, y)
    right_and_down = np.array([[x, y], [x + grid.a, y + grid.d], [x + grid.b, y + grid.e]]).T
    if own.crs != geobox.crs:
        right_and_down = np.array(geobox.crs.transformer_to_crs(own.crs)(*right_and_down))
    columns, rows = ~own.transform * tuple(right_and_down)
    return round(float(np.hypot(columns[1:] - columns[0], rows[1:] - rows[0]).min()), 6)


def _mean(
    file: rasterio.DatasetReader,
    index: int,
    own: GeoBox,
    geobox: GeoBox,
    ratio: float,
    nodata: float,
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The mean of the file's valid pixels in each grid pixel, which is ``ratio`` of them wide.

    Taken over points spread evenly in the grid pixel: one in each of the file's pixels where
    these fit the grid pixel a whole number of times, more where they do not.
    """
    height, width = geobox.shape
    in_one = next((n for n in (1, 2, 3) if abs(n * ratio - round(n * ratio)) < 0.02), 4)
    side = round(in_one * ratio)
    at_once = max(1, _POINTS_AT_ONCE // (width * side**2))
    numbers = np.zeros((height, width), file.dtypes[index - 1])
    valid = np.zeros((height, width), np.bool_)
    for top in range(0, height, at_once):
        part = geobox[top : min(top + at_once, height), :]
        rows = part.shape[0]
        points = GeoBox((rows * side, width * side), _finer(part.transform, side), geobox.crs)
        found, inside = _nearest(file, index, own, _Target(points))
        inside &= found != nodata
        boxes = (rows, side, width, side)
        count = inside.reshape(boxes).sum(axis=(1, 3))
        total = np.where(inside, found, 0).reshape(boxes).sum(axis=(1, 3), dtype=np.int64)
        numbers[top : top + rows] = (2 * total + count) // np.maximum(2 * count, 1)
        valid[top : top + rows] = count > 0
    return numbers, valid


def _finer(transform: Affine, times: int) -> Affine:
    a, b, c, d, e, f = transform[:6]
    return Affine(a / times, b / times, c, d / times, e / times, f)


def _nearest(
    file: rasterio.DatasetReader, index: int, own: GeoBox, target: _Target
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The file's pixel at each grid pixel's centre, and where there is one, both (y, x)."""
    geobox = target.geobox
    height, width = geobox.shape
    to_file = ~own.transform * geobox.transform
    across: NDArray[np.float64]
    down: NDArray[np.float64]
    if own.crs == geobox.crs and to_file.b == 0 == to_file.d:
        across = (to_file.a * (np.arange(width) + 0.5) + to_file.c)[np.newaxis, :]
        down = (to_file.e * (np.arange(height) + 0.5) + to_file.f)[:, np.newaxis]
    else:
        assert own.crs is not None
        across, down = ~own.transform * target.centres(own.crs)
    columns, in_columns = _pixel_indices(across, file.width)
    rows, in_rows = _pixel_indices(down, file.height)
    inside = in_columns & in_rows
    numbers = np.zeros((height, width), file.dtypes[index - 1])
    if not inside.any():
        return numbers, inside
    columns_inside, rows_inside = columns[in_columns], rows[in_rows]
    left, top = int(columns_inside.min()), int(rows_inside.min())
    width, height = int(columns_inside.max()) - left + 1, int(rows_inside.max()) - top + 1
    block = file.read(index, window=Window(left, top, width, height))
    rows, columns = np.clip(rows - top, 0, height - 1), np.clip(columns - left, 0, width - 1)
    np.copyto(numbers, block[rows, columns], where=inside)
    return numbers, inside


def _pixel_indices(
    positions: NDArray[np.float64], size: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    inside = (positions >= -_SAME_PIXEL) & (positions < size - _SAME_PIXEL)
    return np.floor(np.where(inside, positions, 0.0) + _SAME_PIXEL).astype(np.int64), inside


def _open_raster(uri: str) -> rasterio.DatasetReader:
    # Not shared: one file may be read by several threads at a time.
    return rasterio.open(uri, sharing=False)


def _gdal_options(uri: str) -> dict[str, str]:
    if uri not in _FAILED:
        return _GDAL_OPTIONS
    scheme, _, rest = uri.partition("://")
    path = f"/vsi{scheme}/{rest}" if scheme in ("s3", "gs", "az") else f"/vsicurl/{uri}"
    return {**_GDAL_OPTIONS, "CPL_VSIL_CURL_NON_CACHED": path}


def _in_threads_if_remote(read: Callable[[_Layer], _Out], layers: Sequence[_Layer]) -> list[_Out]:
    if len(layers) > 1 and any(_is_remote(layer.uri) for layer in layers):
        with ThreadPoolExecutor(min(8, len(layers))) as pool:
            return list(pool.map(read, layers))
    return [read(layer) for layer in layers]


def _not_whole_numbers(acquisition: str, band: str, uri: str, holds: str) -> SourceError:
    return SourceError(
        f"acquisition {acquisition}, band {band}: {uri} holds {holds}; only whole numbers from 0 "
        f"to 65535 are supported. Leave the band out, or use a collection of digital numbers."
    )


def _read_failure(where: str, uri: str, error: BaseException) -> SourceError:
    told = "; ".join(dict.fromkeys(str(cause) for cause in _causes(error)))
    if not _is_remote(uri):
        if not Path(uri).exists():
            return SourceError(
                f"{where} is listed in the catalog but is not there. Restore the file, or take the "
                f"item out of the catalog."
            )
        return SourceError(
            f"{where} cannot be read; it is damaged or cut short ({told}). Fetch the file again."
        )
    if _TRANSIENT.search(told):
        return TransientSourceError(f"{where} did not answer ({told}). Try again later.")
    return SourceError(f"{where} cannot be read ({told}).")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _api_failure(where: str, error: APIError, advice: str) -> SourceError:
    status = getattr(error, "status_code", None)  # unset where there was no answer at all
    if status is None or status in (408, 429) or status >= 500:
        answer = "did not answer" if status is None else f"answered with HTTP status {status}"
        return TransientSourceError(f"{where} {answer} ({error}). Try again later.")
    return SourceError(f"{where} answered with HTTP status {status} ({error}). {advice}".rstrip())


def _is_api(document: Mapping[str, Any]) -> bool:
    links = document.get("links")
    rels = [link.get("rel") for link in links if isinstance(link, dict)] if links else []
    return document.get("type") == "Catalog" and ("conformsTo" in document or "search" in rels)


def _is_remote(href: str) -> bool:
    return _local_path(href) is None


def _local_path(href: str) -> Path | None:
    if href.startswith("file://"):
        return Path(unquote(urlparse(href).path))
    return None if "://" in href or href.startswith("/vsi") else Path(href)


def _to_wgs84(area: Geometry) -> shapely.Geometry:
    if area.crs is None:
        raise SourceError("the area to search has no coordinate reference system.")
    if area.crs.epsg != 4326:
        west, south, east, north = area.boundingbox
        side = max(east - west, north - south)
        area = area.to_crs("EPSG:4326", resolution=side / 16 if side > 0 else math.inf)
    return area.geom


def _utc(when: datetime) -> datetime:
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
