"""Imagery from a STAC API or a static STAC catalog.

Items are found with pystac-client (an API) or pystac (a catalog of files) and their bands with
odc-stac; `lc_platform.sources.stac_pixels` reads these.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import odc.stac
import pystac
import shapely
import shapely.geometry
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from pystac.utils import make_absolute_href
from pystac_client import Client
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO

from lc_platform.sources.protocol import (
    Acquisition,
    Cost,
    Pixels,
    SourceError,
    TransientSourceError,
)
from lc_platform.sources.stac_pixels import HTTP_SECONDS, Layer, read_layer

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

_REFLECTANCE = (SENTINEL2_ASSETS.keys() | SENTINEL2_ASSETS.values()) - {"SCL", "scl"}
_SENTINEL2_QUANTIFICATION = 0.0001
_OFFSET_SINCE_BASELINE = (4, 0)
_REPLACED_SHARE = 0.99
_REMEMBERED_API_ITEMS = 5000
_KEPT_PROPERTIES = (
    "s2:processing_baseline",
    "platform",
    "constellation",
    "sat:relative_orbit",
    "sat:orbit_state",
    "earthsearch:boa_offset_applied",
)
_ADVICE = "Give the path or URL of a STAC catalog.json or of a STAC API."
# What pystac and odc-stac raise for documents that are not as the standard says.
_NOT_STAC = (AttributeError, KeyError, TypeError, ValueError, pystac.STACError)


_Kind = TypeVar("_Kind", bound=pystac.STACObject)


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
        self.remote = "://" in catalog
        self._io = StacApiIO(timeout=HTTP_SECONDS, max_retries=2)
        self._pool = ThreadPoolExecutor(16)
        self._opened = False
        self._api: Client | None = None
        self._granules: dict[str, _Granule] = {}

    def search(self, area: Geometry, start: datetime, end: datetime) -> list[Acquisition]:
        """Acquisitions that touch ``area`` (any CRS) in the half-open period [start, end), UTC.

        In order of time then key. Raises SourceError where the catalog is not there, is not
        STAC, has not the collection or lists an item that cannot be read, and
        TransientSourceError where it did not answer.
        """
        footprint = _in_degrees(area)
        start, end = _utc(start), _utc(end)
        self._open()
        granules: Iterable[_Granule] = self._granules.values()
        if self._api is not None:
            granules = self._ask_api(bbox=footprint.bounds, datetime=[start, end], limit=100)
        acquisitions = []
        for key, of_pass in _passes(granules).items():
            found = [g for g in of_pass if start <= g.datetime < end]
            found = [g for g in found if g.footprint.intersects(footprint)]
            if found:
                acquisitions.append(_acquisition(key, _in_order_of_preference(found)))
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
        granules = self._granules_of(acquisition)
        layers = [[granule.layer(band, acquisition.key) for band in bands] for granule in granules]
        # Of all granules, so that every window of an acquisition has the same scale and offset.
        scale, offset, shifts = _common_calibration(acquisition.key, bands, layers)

        values = np.zeros((len(bands), *geobox.shape), np.uint16)
        data_mask = np.zeros(geobox.shape, np.bool_)
        for index in _those_on(geobox, granules):
            # Threads wait for a server together; files of this machine are read faster without.
            take = self._pool.map if "://" in layers[index][0].uri else map
            read = list(take(lambda layer: read_layer(layer, geobox), layers[index]))
            fresh = ~data_mask & np.all([valid for _, valid in read], axis=0)
            for band, ((numbers, _), shift) in enumerate(zip(read, shifts[index], strict=True)):
                shifted = np.minimum(numbers.astype(np.int64) + shift, 65535)
                np.copyto(values[band], shifted.astype(np.uint16), where=fresh)
            data_mask |= fresh
            if data_mask.all():
                break
        return Pixels(values=values, data_mask=data_mask, scale=scale, offset=offset)

    def cost(self, geobox: GeoBox, bands: Sequence[str]) -> Cost:
        """A request a band, and its pixels as they are without compression."""
        if not self.remote:
            return Cost()
        rows, columns = geobox.shape
        return Cost(requests=len(bands), bytes=2 * rows * columns * len(bands))

    def bands(self) -> tuple[str, ...]:
        """Names that ``read`` takes: Sentinel-2 bands in their order, then the asset keys.

        Those of the collection's first item; empty where the collection has none.
        """
        self._open()
        if self._api is not None:
            granules = self._ask_api(max_items=1)
        else:
            granules = sorted(self._granules.values(), key=lambda granule: granule.datetime)
        return granules[0].bands() if granules else ()

    def _open(self) -> None:
        if self._opened:
            return
        where = f"imagery.catalog: {self.catalog}"
        root = self._read(make_absolute_href(self.catalog), where, pystac.Catalog)
        if isinstance(root, Client) and (root.get_links("search") or root.get_conforms_to()):
            self._open_api(root)
        else:
            self._open_static(root)
        self._opened = True

    def _read(self, href: str, where: str, kind: type[_Kind]) -> _Kind:
        """The catalog, collection or item in a file; ``where`` begins the errors."""
        try:
            document = json.loads(self._io.read_text(href))
            if not isinstance(document, dict) or "stac_version" not in document:
                raise SourceError(
                    f"{where} is JSON but not STAC (it has no stac_version). {_ADVICE}"
                )
            found = self._io.stac_object_from_dict(document, href, preserve_dict=False)
            if not isinstance(found, kind):
                raise SourceError(f"{where} is not a STAC {kind.__name__.lower()}. {_ADVICE}")
            return found
        except FileNotFoundError as error:
            raise SourceError(f"{where} is not there. {_ADVICE}") from error
        except IsADirectoryError as error:
            raise SourceError(f"{where} is a folder. Give the path of its catalog.json.") from error
        except APIError as error:
            raise _api_failure(where, error) from error
        except json.JSONDecodeError as error:
            raise SourceError(
                f"{where} is not JSON ({error.msg} in line {error.lineno}). {_ADVICE}"
            ) from error
        except pystac.STACTypeError as error:
            raise SourceError(f"{where} is not a STAC catalog, collection or item.") from error
        except OSError as error:
            raise SourceError(f"{where} cannot be read ({error}). {_ADVICE}") from error
        except _NOT_STAC as error:
            raise SourceError(
                f"{where} is not valid STAC ({type(error).__name__}: {error})."
            ) from error

    # Static catalog

    def _open_static(self, root: pystac.Catalog) -> None:
        seen = []
        for node in self._with_descendants(root):
            if isinstance(node, pystac.Collection):
                seen.append(node.id)
                if node.id == self.collection:
                    break
        else:
            raise self._no_collection(seen)
        hrefs = [
            link.absolute_href
            for part in self._with_descendants(node)
            for link in part.get_item_links()
        ]

        def read_item(href: str) -> pystac.Item:
            where = f"collection {self.collection} lists an item: {href}"
            return self._read(href, where, pystac.Item)

        self._remember(self._pool.map(read_item, hrefs))

    def _with_descendants(self, node: pystac.Catalog) -> Iterator[pystac.Catalog]:
        yield node
        for link in node.get_child_links():
            where = f"{node.self_href} lists a child: {link.absolute_href}"
            yield from self._with_descendants(self._read(link.absolute_href, where, pystac.Catalog))

    # API

    def _open_api(self, api: Client) -> None:
        with self._answering():
            collections = [collection.id for collection in api.get_collections()]
        if self.collection not in collections:
            raise self._no_collection(collections)
        self._api = api

    def _ask_api(self, **query: Any) -> list[_Granule]:
        assert self._api is not None
        links = self._api.get_links("search")
        methods = {str(link.extra_fields.get("method", "GET")).upper() for link in links}
        with self._answering():
            found = self._api.search(
                method="POST" if "POST" in methods else "GET",
                collections=[self.collection],
                **query,
            )
            items = list(found.items())
        if len(self._granules) > _REMEMBERED_API_ITEMS:
            self._granules = {}
        return self._remember(items)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        where = f"imagery.catalog: {self.catalog}"
        try:
            yield
        except APIError as error:
            raise _api_failure(where, error) from error
        except (NotImplementedError, *_NOT_STAC) as error:
            raise SourceError(
                f"{where} is not a STAC API that can be searched "
                f"({type(error).__name__}: {error}). {_ADVICE}"
            ) from error

    # Both

    def _no_collection(self, known: Iterable[str]) -> SourceError:
        return SourceError(
            f"imagery.collection: {self.catalog} has no collection {self.collection}. "
            f"It has: {', '.join(sorted(set(known))) or 'none'}."
        )

    def _remember(self, items: Iterable[pystac.Item]) -> list[_Granule]:
        granules = {item.id: _granule(item) for item in items}
        self._granules |= granules
        return list(granules.values())

    def _granules_of(self, acquisition: Acquisition) -> list[_Granule]:
        self._open()
        known = self._granules
        missing = [id_ for id_ in acquisition.items if id_ not in known]
        if missing and self._api is not None:
            known = known | {granule.id: granule for granule in self._ask_api(ids=missing)}
            missing = [id_ for id_ in missing if id_ not in known]
        if missing:
            raise SourceError(
                f"acquisition {acquisition.key}: {self.catalog} has no item {', '.join(missing)} "
                f"in collection {self.collection}. Search the archive again."
            )
        return [known[id_] for id_ in acquisition.items]


@dataclass(frozen=True)
class _Granule:
    """An item and what the platform needs to know of it."""

    item: pystac.Item
    id: str
    datetime: datetime
    footprint: shapely.Geometry
    """In degrees of longitude and latitude."""
    platform: str
    crs: str
    """For example ``EPSG:32633``, empty where it is not told."""
    baseline: tuple[int, ...]
    tile: str
    """Of the military grid, for example ``33TVM``; empty where it is not told."""
    track: str
    """What granules of one pass have in common; empty where it is not told."""

    def bands(self) -> tuple[str, ...]:
        """Sentinel-2 names in their order, then asset keys."""
        named = [band for band in SENTINEL2_ASSETS if self._locate(band) is not None]
        return tuple(dict.fromkeys(named + [asset for asset, _ in self._parsed.bands]))

    def layer(self, band: str, acquisition: str) -> Layer:
        """The item's band; raises SourceError naming the acquisition where it has none."""
        key = self._locate(band)
        if key is None:
            raise SourceError(
                f"acquisition {acquisition}: the archive has no band {band} "
                f"(item {self.id}). It has: {', '.join(self.bands()) or 'none'}."
            )
        source, asset = self._parsed.bands[key], self.item.assets[key[0]]
        told = _told_of_band(asset, key[1])
        scale, offset = told.get("scale"), told.get("offset")
        classification = "classification" in (asset.roles or ()) or (
            scale is None and (band.upper() == "SCL" or source.meta.data_type == "uint8")
        )
        if not classification:
            applied = self.item.properties.get("earthsearch:boa_offset_applied") is True
            offset = 0.0 if applied else offset
            if scale is None and self._is_sentinel2 and {band, key[0]} & _REFLECTANCE:
                scale = _SENTINEL2_QUANTIFICATION
                if offset is None and not () < self.baseline < _OFFSET_SINCE_BASELINE:
                    raise SourceError(
                        f"acquisition {acquisition}: item {self.id} does not tell scale and "
                        f"offset of band {band} (raster:bands), and from processing baseline "
                        f"04.00 on the offset may or may not have been taken out. Use an archive "
                        f"that tells it."
                    )
        return Layer(
            where=f"acquisition {acquisition}, band {band}: {source.uri}",
            uri=source.uri,
            index=max(source.band, 1),
            nodata=source.meta.nodata,
            scale=1.0 if scale is None else float(scale),
            offset=float(offset or 0.0),
            classification=classification,
        )

    @cached_property
    def _parsed(self) -> Any:
        try:
            # The files' own georeference is used, so an asset without proj: is as good.
            return odc.stac.parse_item(self.item, {"*": {"ignore_proj": True}})
        except _NOT_STAC as error:
            raise SourceError(
                f"item {self.id}: its assets cannot be understood "
                f"({type(error).__name__}: {error})."
            ) from error

    def _locate(self, band: str) -> tuple[str, int] | None:
        """Asset key and band in it: by asset key, by ``eo:bands``, by what Sentinel-2's are named
        in Earth Search and in the Copernicus Data Space."""
        found = [(band, 1), *self._parsed.collection.aliases.get(band, ())]
        if self._is_sentinel2 and band in SENTINEL2_ASSETS:
            usual = (SENTINEL2_ASSETS[band], *(f"{band}_{metres}m" for metres in (10, 20, 60)))
            found += [(key, 1) for key in usual]
        return next((key for key in found if key in self._parsed.bands), None)

    @property
    def _is_sentinel2(self) -> bool:
        return "sentinel-2" in f"{self.item.collection_id} {self.platform}".lower()


def _granule(item: pystac.Item) -> _Granule:
    try:
        told = item.properties
        when = item.datetime or item.common_metadata.start_datetime
        if when is None:
            raise ValueError("it has neither datetime nor start_datetime")
        platform = str(told.get("platform") or told.get("constellation") or "").lower()
        return _Granule(
            item=item,
            id=item.id,
            datetime=_utc(when),
            footprint=shapely.make_valid(shapely.geometry.shape(item.geometry)),
            platform=platform,
            crs=str(told.get("proj:code") or f"EPSG:{told.get('proj:epsg', '')}"),
            baseline=tuple(map(int, re.findall(r"\d+", str(told.get("s2:processing_baseline"))))),
            tile=_tile(item),
            track=_track(told, _utc(when), platform),
        )
    except (*_NOT_STAC, shapely.GEOSException) as error:
        raise SourceError(f"item {item.id}: it cannot be understood ({error}).") from error


def _tile(item: pystac.Item) -> str:
    told = item.properties.get("grid:code") or item.properties.get("s2:mgrs_tile")
    if told:
        return str(told).upper().removeprefix("MGRS-")
    in_id = re.search(r"(?:^|_)T?(\d{2}[A-Z]{3})(?:_|$)", item.id)
    return in_id.group(1) if in_id else ""


def _track(told: Mapping[str, Any], when: datetime, platform: str) -> str:
    product = f"{told.get('s2:product_uri')}_"
    datatake = re.search(r"_(\d{8}T\d{6})_", str(told.get("s2:datatake_id")))
    datatake = datatake or re.search(r"_MSIL\w\w_(\d{8}T\d{6})_", product)
    if datatake:
        return f"{datatake.group(1)}_{platform}"
    orbit = told.get("sat:relative_orbit")
    return "" if orbit is None else f"{when:%Y%m%d}_{platform}_R{int(orbit):03d}"


def _told_of_band(asset: pystac.Asset, index: int) -> dict[str, Any]:
    """Of the asset and of its band: STAC 1.0's ``raster:bands``, 1.1's ``bands``."""
    told = dict(asset.extra_fields)
    for name in ("bands", "raster:bands"):
        told |= dict(enumerate(asset.extra_fields.get(name, ()), 1)).get(index, {})
    return {name.removeprefix("raster:"): value for name, value in told.items()}


def _passes(granules: Iterable[_Granule]) -> dict[str, list[_Granule]]:
    """Acquisition's key -> granules, in order of time."""
    passes: dict[str, list[_Granule]] = {}
    latest: dict[str, str] = {}
    for granule in sorted(granules, key=lambda granule: (granule.datetime, granule.id)):
        key = granule.track
        if not key:
            key = latest.get(granule.platform, "")
            if not key or granule.datetime - passes[key][-1].datetime > PASS_GAP:
                key = f"{granule.datetime:%Y%m%dT%H%M%S}_{granule.platform}"
            latest[granule.platform] = key
        passes.setdefault(key, []).append(granule)
    return passes


def _in_order_of_preference(granules: Sequence[_Granule]) -> list[_Granule]:
    """Tile by tile, the newest processing first, without what it replaces.

    Two items of a tile may be two processings of one granule, or the two halves of a tile that a
    datastrip's end cuts: an older one goes only where newer ones cover it.
    """

    def age(granule: _Granule) -> tuple[tuple[int, ...], str, str]:
        told = granule.item.properties
        return granule.baseline, str(told.get("updated") or told.get("created") or ""), granule.id

    kept: list[_Granule] = []
    for granule in sorted(granules, key=age, reverse=True):
        newer = shapely.union_all(
            [
                other.footprint
                for other in kept
                if granule.tile == other.tile != "" and other.baseline > granule.baseline
            ]
        )
        replaced = granule.footprint.intersection(newer).area
        if newer.is_empty or replaced < _REPLACED_SHARE * granule.footprint.area:
            kept.append(granule)
    return sorted(kept, key=lambda granule: granule.tile)


def _acquisition(key: str, granules: Sequence[_Granule]) -> Acquisition:
    told = [granule.item.properties for granule in granules]
    clouds = [float(of["eo:cloud_cover"]) for of in told if of.get("eo:cloud_cover") is not None]
    facts = {name: [of.get(name) for of in told] for name in _KEPT_PROPERTIES}
    facts["grid:code"] = [f"MGRS-{g.tile}" if g.tile else None for g in granules]
    distinct = {
        name: dict.fromkeys(str(v) for v in of if v is not None) for name, of in facts.items()
    }
    return Acquisition(
        key=re.sub(r"[^A-Za-z0-9_-]+", "-", key).strip("_"),
        datetime=min(granule.datetime for granule in granules),
        items=tuple(granule.id for granule in granules),
        platform=granules[0].platform,
        cloud_cover=sum(clouds) / len(clouds) if clouds else None,
        properties={name: ",".join(values) for name, values in distinct.items() if values},
    )


def _those_on(geobox: GeoBox, granules: Sequence[_Granule]) -> list[int]:
    """Which granules to read, in order: those near the grid, those in its CRS first."""
    if len(granules) == 1:
        return [0]
    # Footprints are drawn roughly (straight lines between far corners), hence the margin.
    footprint = _in_degrees(geobox.extent).buffer(0.02)
    near = [i for i, granule in enumerate(granules) if granule.footprint.intersects(footprint)]
    return sorted(near, key=lambda i: granules[i].crs != str(geobox.crs))


def _common_calibration(
    key: str, bands: Sequence[str], layers: Sequence[Sequence[Layer]]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Scale and offset (band,) for all granules, and what to add to their digital numbers,
    (granule, band)."""
    scales = np.array([[layer.scale for layer in granule] for granule in layers])
    offsets = np.array([[layer.offset for layer in granule] for granule in layers])
    scale, offset = scales[0], offsets.min(axis=0)
    shifts = (offsets - offset) / scale
    differ = np.argwhere((scales != scale) | (abs(shifts - shifts.round()) > 1e-6))
    if differ.size:
        granule, band = differ[0]
        raise SourceError(
            f"acquisition {key}: its granules store band {bands[band]} with different scales or "
            f"offsets ({layers[0][band].uri} and {layers[granule][band].uri}), which whole digital "
            f"numbers cannot reconcile. Use an archive with one processing baseline."
        )
    return scale, offset, shifts.round().astype(np.int64)


def _api_failure(where: str, error: APIError) -> SourceError:
    status = getattr(error, "status_code", None)  # unset where there was no answer at all
    if status is None or status in (408, 429) or status >= 500:
        answer = "did not answer" if status is None else f"answered with HTTP status {status}"
        return TransientSourceError(f"{where} {answer} ({error}). Try again later.")
    return SourceError(f"{where} answered with HTTP status {status} ({error}). {_ADVICE}")


def _in_degrees(area: Geometry) -> shapely.Geometry:
    west, south, east, north = area.boundingbox
    side = max(east - west, north - south)
    return area.to_crs("EPSG:4326", resolution=side / 16 if side > 0 else math.inf).geom


def _utc(when: datetime) -> datetime:
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
