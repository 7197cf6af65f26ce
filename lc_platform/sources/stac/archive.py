"""Imagery from a STAC API or a static STAC catalog.

Items are found with pystac-client (an API) or pystac (a catalog of files) and their bands with
odc-stac (`lc_platform.sources.stac.items`); `lc_platform.sources.stac.pixels` reads these.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from difflib import get_close_matches
from pathlib import PurePosixPath
from threading import Lock, local
from typing import Any, TypeVar

import numpy as np
import pystac
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from pystac_client import Client
from pystac_client.exceptions import APIError

from lc_platform.catalogue import (
    FILL_VALUES,
    PRESETS,
    SENTINEL2_RESOLUTIONS,
    DataType,
    HostedCollection,
    Preset,
)
from lc_platform.eo import polygons
from lc_platform.eo.resampling import Interpolation
from lc_platform.errors import some
from lc_platform.runtime import redaction
from lc_platform.sources.network.limits import Limits
from lc_platform.sources.network.remote_files import HEAD_BYTES, Content, RemoteFiles
from lc_platform.sources.network.requests import HTTP_SECONDS
from lc_platform.sources.passes import as_acquisition, clear_enough, in_degrees, passes, sun_of, utc
from lc_platform.sources.protocol import Acquisition, Cost, Ledger, Pixels, SourceError
from lc_platform.sources.stac.bands import Bands, common_calibration
from lc_platform.sources.stac.documents import Documents
from lc_platform.sources.stac.granules import by_preference, granules_on
from lc_platform.sources.stac.hrefs import located, relative, resolve
from lc_platform.sources.stac.items import NOT_STAC, Granule, Items, merged, parsed
from lc_platform.sources.stac.pixels import Layer, Read, read_layer
from lc_platform.sources.stac.signing import Signing

_TILE = 1024
_COMPRESSED = 0.7
"""Of what reflectance takes without compression."""
_BESIDE = 8
"""Threads beyond those whose connections are under way: they decode what they have. More only take
turns."""
_NAMED_COLLECTIONS = 20
_NAMED_ITEMS = 10
_REMEMBERED_API_ITEMS = 1000
_KEPT_PROPERTIES = (
    "s2:processing_baseline",
    "platform",
    "constellation",
    "sat:relative_orbit",
    "sat:orbit_state",
    "earthsearch:boa_offset_applied",
)
_ADVICE = (
    f"Give the path or URL of a STAC catalog.json or of a STAC API, or one of {', '.join(PRESETS)}."
)
_log = logging.getLogger(__name__)


_Kind = TypeVar("_Kind", bound=pystac.STACObject)


class _LastRead(local):
    """Of each thread what has come of the files of the acquisition that it reads, so that one that
    is read on a second grid is not fetched again, however many others are under way."""

    key = ""
    contents: tuple[Content | None, ...] = ()

    def keep(self, key: str, contents: Iterable[Content | None]) -> None:
        before = self.contents if self.key == key else ()
        self.key, self.contents = key, (*before, *contents)


class StacArchive:
    """One collection of a STAC API or of a static STAC catalog, as a ``Source``.

    catalog              path or http(s) URL of a ``catalog.json`` or ``collection.json``, or of
                         the landing page of a STAC API; or a name of ``catalogue.PRESETS``.
                         It is read on first use
    collection           the collection's id
    connections          requests under way at the same time, of all threads together
    requests_per_minute  of all processes of this machine; None for as fast as they come
    retries              of a request that failed for no fault of its own
    seconds              an archive may take to answer
    ledger               counts what reading takes
    preset               what has to be known of the archive; by default that of the name
    exclude              ids of items that are left out as if they were not there
    data_type            of the numbers of its files, in which they are returned
    resampling           of bands that are coarser than the grid that they are read on

    Items without a geometry are passed over; of a geometry the polygonal part counts, and an item
    that has none is left out. Both are logged by their ids. Items that cannot be understood, and
    two different ones with one id, are refused by a search of the area that they lie in, and do
    not disturb other searches.

    An acquisition's key is ``{start}_{platform}`` (``20180801T105021_sentinel-2a``), where
    start is when the satellite's datatake began if the items tell it (``s2:datatake_id`` or
    ``s2:product_uri``), which is the same for all granules of a pass. Failing that it is
    ``{date}_{platform}_R{relative orbit}`` if they tell the orbit, and failing that the time of
    the pass's earliest granule: of the whole collection in a static catalog, of those that the
    search found in an API.
    """

    def __init__(
        self,
        catalog: str,
        collection: str,
        *,
        connections: int = 4,
        requests_per_minute: float | None = None,
        retries: int = 5,
        seconds: float = HTTP_SECONDS,
        ledger: Ledger | None = None,
        preset: Preset | None = None,
        exclude: Iterable[str] = (),
        data_type: DataType = "uint16",
        resampling: Interpolation = "nearest",
    ) -> None:
        preset = preset or PRESETS.get(catalog) or Preset(url=catalog)
        self.catalog = located(preset.url) if preset.url.startswith("file:") else preset.url
        self.collection = collection
        self.remote = "://" in self.catalog
        limits = Limits(
            f"stac {self.catalog}",
            connections=connections,
            requests_per_minute=requests_per_minute,
            retries=retries,
        )
        self._limits = limits
        self._io = Documents(limits, seconds)
        self._hosted = preset.collections.get(collection, HostedCollection())
        signing = None
        if preset.tokens:
            signing = Signing(
                lambda url: self._document(url, f"imagery.catalog: {url}", _ADVICE),
                preset.tokens + collection,
                preset.signed_hosts,
            )
        self._files = RemoteFiles(
            limits,
            seconds=seconds,
            signing=signing,
            requester_pays=bool(self._hosted.bucket),
            region=self._hosted.region,
        )
        self._ledger = ledger
        self._exclude = frozenset(exclude)
        self._data_type, self._resampling = data_type, resampling
        self._pool = ThreadPoolExecutor(connections + _BESIDE if self.remote else 16)
        self._opening, self._remembering = Lock(), Lock()
        self._last_read = _LastRead()
        self._opened = False
        self._api: Client | None = None
        self._items = Items({})

    def search(
        self, area: Geometry, start: datetime, end: datetime, around: Geometry | None = None
    ) -> list[Acquisition]:
        """Return the acquisitions that touch ``area`` (any CRS) in the half-open period [start,
        end), UTC, each with all its granules that touch ``around``, or else the area.

        In order of time then key. Raises SourceError where the catalog is not there, is not
        STAC, has not the collection or lists an item that cannot be read, and
        TransientSourceError where it did not answer.
        """
        footprint = in_degrees(area)
        read = footprint if around is None else in_degrees(around)
        start, end = utc(start), utc(end)
        acquisitions = []
        for key, of_pass in passes(self._found(read, start, end)).items():
            found = [g for g in of_pass if start <= g.datetime < end]
            found = [g for g in found if g.footprint.intersects(read)]
            if any(g.footprint.intersects(footprint) for g in found):
                kept = by_preference(found)
                acquisitions.append(self._acquisition(key, kept, footprint))
        return sorted(acquisitions, key=lambda acquisition: (acquisition.datetime, acquisition.key))

    def layers(
        self,
        area: Geometry,
        bands: Sequence[str],
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> list[list[Layer]]:
        """Return the ``bands`` of each item that touches ``area`` (any CRS), in the half-open
        period [start, end), UTC, or of all times: the newest items first, and those of one time by
        their ids. Errors are those of ``search``, and of ``read`` where an item lacks a band.
        """
        around = in_degrees(area)
        period = (None, None) if start is None or end is None else (utc(start), utc(end))
        granules = [g for g in self._found(around, *period) if g.footprint.intersects(around)]
        if period[0] is not None and period[1] is not None:
            granules = [g for g in granules if period[0] <= g.datetime < period[1]]
        granules = sorted(granules, key=lambda one: one.id)
        granules = sorted(granules, key=lambda one: one.datetime, reverse=True)
        return [[one.layer(band, one.id, self._hosted) for band in bands] for one in granules]

    @property
    def files(self) -> RemoteFiles:
        """What its files are read by."""
        return self._files

    def read(self, acquisition: Acquisition, geobox: GeoBox, bands: Sequence[str]) -> Pixels:
        """Return the acquisition's ``bands``, in the order asked for, on the grid ``geobox``.

        Where the grid's pixels are those of the archive nothing is resampled. A finer grid takes
        the nearest archive pixel, or what ``resampling`` says; a grid at least twice as coarse, the
        mean of the archive's valid pixels (for a classification band, always the nearest). A pixel
        comes with all its bands from one granule: the first, in order of preference, that has data
        in all of them; granules in the grid's own CRS go first. Granules whose offsets differ are
        brought to the lowest of their offsets.

        Raises SourceError naming the acquisition, the band and the file where a band is not in
        the archive, a file is missing, damaged or not of numbers of the archive's type, and
        TransientSourceError where the archive did not answer.
        """
        granules = self._granules_of(acquisition)
        layers = [
            [granule.layer(band, acquisition.key, self._hosted) for band in bands]
            for granule in granules
        ]
        # Of all granules, so that every window of an acquisition has the same scale and offset.
        scale, offset, shifts = common_calibration(acquisition.key, bands, layers)

        fill, dtype = FILL_VALUES[self._data_type], np.dtype(self._data_type)
        values = np.full((len(bands), *geobox.shape), fill, dtype)
        data_mask = np.zeros(geobox.shape, np.bool_)
        spent, tags = Cost(), {}
        for index in granules_on(geobox, granules):
            read = self._read_layers(layers[index], geobox)
            self._last_read.keep(acquisition.key, [layer.content for layer in read])
            fresh = ~data_mask
            for layer in read:
                fresh &= layer.valid
            for band, (layer, shift) in enumerate(zip(read, shifts[index], strict=True)):
                found = layer.values
                if shift:
                    found = _shifted(found, int(shift))
                np.copyto(values[band], found, where=fresh)
                spent += layer.cost
            if len(granules) == 1:
                tags = {b: layer.tag for b, layer in zip(bands, read, strict=True) if layer.tag}
            data_mask |= fresh
            if data_mask.all():
                break
        return Pixels(values, data_mask, scale, offset, spent, tags)

    def stop(self) -> None:
        """End the waits for the archive that are under way: what is read then fails with
        TransientSourceError. What is asked for later is waited for again."""
        self._limits.stop()

    def _found(
        self, around: shapely.Geometry, start: datetime | None, end: datetime | None
    ) -> Iterable[Granule]:
        """Return the items around an area in degrees and in a period; of a static catalog all."""
        self._open()
        items = self._items
        if self._api is not None:
            when = {} if start is None else {"datetime": [start, end]}
            items = merged(
                self._ask_api(bbox=part.bounds, limit=100, **when)
                for part in shapely.get_parts(around)
            )
        for invalid in items.invalid:
            if invalid.footprint.intersects(around):
                raise invalid.error
        return items.granules.values()

    def _acquisition(
        self, key: str, granules: Sequence[Granule], area: shapely.Geometry
    ) -> Acquisition:
        def of_granules(max_cloud_cover: float) -> Acquisition | None:
            clear = clear_enough(granules, _cloud_cover, max_cloud_cover)
            if not any(granule.footprint.intersects(area) for granule in clear):
                return None
            return self._acquisition(key, clear, area)

        properties = [granule.item.properties for granule in granules]
        clouds = [_cloud_cover(granule) for granule in granules]
        facts = {name: [of.get(name) for of in properties] for name in _KEPT_PROPERTIES}
        facts["grid:code"] = [f"MGRS-{g.tile}" if g.tile else None for g in granules]
        suns = [sun_of(of) for of in properties]
        found = as_acquisition(key, granules, clouds, facts, _coverage(granules, area), suns)
        bands = Bands(found.key, granules, self._hosted, self._files)
        own = (relative(one.item.get_self_href(), self.catalog) for one in granules)
        addresses = tuple(own) if self._api is None else ()
        return replace(found, bands=bands, of_granules=of_granules, addresses=addresses)

    def _read_layers(self, layers: Sequence[Layer], geobox: GeoBox) -> list[Read]:
        # Threads wait for a server together; files of this machine are read faster without.
        if not layers or "://" not in layers[0].uri:
            return [self._read_layer(layer, geobox) for layer in layers]
        reserved = self.cost(geobox, [layer.band for layer in layers])
        spent = reserved  # where it fails, it is not known
        if self._ledger is not None:
            self._ledger.reserve(reserved)
        try:
            read = list(self._pool.map(lambda layer: self._read_layer(layer, geobox), layers))
            spent = sum((layer.cost for layer in read), Cost())
            return read
        finally:
            if self._ledger is not None:
                self._ledger.settle(reserved, spent)

    def _read_layer(self, layer: Layer, geobox: GeoBox) -> Read:
        return read_layer(layer, geobox, self._files, self._data_type, self._resampling)

    def cost(self, geobox: GeoBox, bands: Sequence[str]) -> Cost:
        """Return an estimate for an archive of Cloud-Optimized GeoTIFFs in tiles of 1024 x 1024.

        Of each band the file's head, and the tiles that a box of this size touches on average: a
        request a row of tiles, and the tiles' bytes at a usual compression. A band's resolution
        is Sentinel-2's, or else the grid's. What `read` took is in its pixels' ``cost``.
        """
        if not self.remote:
            return Cost()
        return sum((_usual_cost(geobox, SENTINEL2_RESOLUTIONS.get(band)) for band in bands), Cost())

    def bands(self) -> tuple[str, ...]:
        """Names that ``read`` takes: Sentinel-2 bands in their order, then the asset keys.

        Those of the collection's first item; empty where the collection has none.
        """
        self._open()
        items = self._items if self._api is None else self._ask_api(max_items=1)
        granules = sorted(items.granules.values(), key=lambda granule: granule.datetime)
        return granules[0].bands() if granules else ()

    def _open(self) -> None:
        with self._opening:
            if self._opened:
                return
            where = f"imagery.catalog: {self.catalog}"
            root = self._read(located(self.catalog), where, pystac.Catalog, _ADVICE)
            root.set_root(root)  # or it would be read once more
            if isinstance(root, Client) and (root.get_links("search") or root.get_conforms_to()):
                self._open_api(root)
            else:
                self._open_static(root)
            self._opened = True

    def _document(self, href: str, where: str, advice: str) -> dict[str, Any]:
        """Return the JSON object in a file; ``where`` begins the errors, and ``advice`` ends
        them."""
        try:
            document = json.loads(self._io.read_text(href))
        except FileNotFoundError as error:
            raise SourceError(f"{where} is not there. {advice}") from error
        except IsADirectoryError as error:
            raise SourceError(f"{where} is a folder. Give the path of its catalog.json.") from error
        except APIError as error:
            raise _api_failure(where, error, advice) from error
        except json.JSONDecodeError as error:
            raise SourceError(
                f"{where} is not JSON ({error.msg} in line {error.lineno}). {advice}"
            ) from error
        except OSError as error:
            raise SourceError(f"{where} cannot be read ({error}). {advice}") from error
        if not isinstance(document, dict):
            raise SourceError(f"{where} is JSON but not STAC (it is no object). {advice}")
        return document

    def _read(self, href: str, where: str, kind: type[_Kind], advice: str) -> _Kind:
        """Return the catalog, collection or item in a file, with errors as those of `_document`."""
        return self._parsed(self._document(href, where, advice), href, where, kind, advice)

    def _parsed(
        self, document: dict[str, Any], href: str, where: str, kind: type[_Kind], advice: str
    ) -> _Kind:
        if "stac_version" not in document:
            raise SourceError(f"{where} is JSON but not STAC (it has no stac_version). {advice}")
        resolve(document, href)
        try:
            found = self._io.stac_object_from_dict(document, href, preserve_dict=False)
        except pystac.STACTypeError as error:
            raise SourceError(
                f"{where} is not a STAC catalog, collection or item. {advice}"
            ) from error
        except NOT_STAC as error:
            raise SourceError(
                f"{where} is not valid STAC ({type(error).__name__}: {error})."
                + (
                    _left_out(document)
                    if kind is pystac.Item and "id" in document
                    else f" {advice}"
                )
            ) from error
        if not isinstance(found, kind):
            raise SourceError(f"{where} is not a STAC {kind.__name__.lower()}. {advice}")
        return found

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
            str(link.get_target_str())
            for part in self._with_descendants(node)
            for link in part.get_item_links()
        ]

        def read_item(href: str) -> pystac.Item | None:
            where = f"collection {self.collection} lists an item: {href}"
            name = _name_of(href)
            advice = (
                "Restore the item, take its link out of the collection, or leave it out by "
                f"imagery.exclude: [{name}]."
            )
            try:
                document = self._document(href, where, advice)
                if document.get("id") in self._exclude:
                    return None
                return self._parsed(document, href, where, pystac.Item, advice)
            except SourceError:
                if name in self._exclude:
                    return None
                raise

        items = self._pool.map(read_item, dict.fromkeys(hrefs))
        self._items = parsed(item for item in items if item is not None)
        self._log_left_out(self._items)

    def _with_descendants(self, node: pystac.Catalog) -> Iterator[pystac.Catalog]:
        yield node
        for link in node.get_child_links():
            href = str(link.get_target_str())
            where = f"{node.self_href} lists a child: {href}"
            advice = "Restore the child, or take its link out of the catalog that lists it."
            yield from self._with_descendants(self._read(href, where, pystac.Catalog, advice))

    # API

    def _open_api(self, api: Client) -> None:
        with self._answering():
            found = api.get_collection(self.collection)
            if found is None or found.id != self.collection:
                raise self._no_collection(one.id for one in api.get_collections())
        self._api = api

    def _ask_api(self, **query: Any) -> Items:
        assert self._api is not None
        links = self._api.get_links("search")
        methods = {str(link.extra_fields.get("method", "GET")).upper() for link in links}
        with self._answering():
            found = self._api.search(
                method="POST" if "POST" in methods else "GET",
                collections=[self.collection],
                **query,
            )
            items = parsed(
                self._item(document)
                for document in found.items_as_dicts()
                if document.get("id") not in self._exclude
            )
        self._log_left_out(items)
        with self._remembering:
            known = self._items.granules
            if len(known) > _REMEMBERED_API_ITEMS:
                known = {}
            self._items = Items({**known, **items.granules})
        return items

    def _item(self, document: dict[str, Any]) -> pystac.Item:
        try:
            return pystac.Item.from_dict(document, root=self._api, preserve_dict=False)
        except NOT_STAC as error:
            raise SourceError(
                f"item {document.get('id')}: {self.catalog} gives it, and it is not valid STAC "
                f"({type(error).__name__}: {error})." + _left_out(document)
            ) from error

    @contextmanager
    def _answering(self) -> Iterator[None]:
        where = f"imagery.catalog: {self.catalog}"
        try:
            yield
        except APIError as error:
            raise _api_failure(where, error, _ADVICE) from error
        except (NotImplementedError, *NOT_STAC) as error:
            raise SourceError(
                f"{where} is not a STAC API that can be searched "
                f"({type(error).__name__}: {error}). {_ADVICE}"
            ) from error

    # Both

    def _no_collection(self, known: Iterable[str]) -> SourceError:
        names = sorted(set(known))
        has = f"It has: {', '.join(names) or 'none'}."
        if len(names) > _NAMED_COLLECTIONS:
            near = get_close_matches(self.collection, names, 5, 0.5)
            has = f"Of its {len(names)} the nearest are: {', '.join(near) or 'none'}."
        return SourceError(
            f"imagery.collection: {self.catalog} has no collection {self.collection}. {has}"
        )

    def _log_left_out(self, items: Items) -> None:
        for what, ids in (
            ("tell no geometry and are passed over", items.without_geometry),
            ("have a geometry without a polygonal part and are left out", items.without_area),
        ):
            if ids:
                _log.warning(
                    "%s: %d items of %s %s: %s",
                    redaction.hidden(self.catalog),
                    len(ids),
                    self.collection,
                    what,
                    some(ids, _NAMED_ITEMS),
                )

    def _granules_of(self, acquisition: Acquisition) -> list[Granule]:
        self._open()
        known = self._items.granules
        missing = [id_ for id_ in acquisition.items if id_ not in known]
        if missing and self._api is not None:
            known = {**known, **self._ask_api(ids=missing).granules}
            missing = [id_ for id_ in missing if id_ not in known]
        if missing:
            raise SourceError(
                f"acquisition {acquisition.key}: {self.catalog} has no item {', '.join(missing)} "
                f"in collection {self.collection}. Search the archive again."
            )
        return [known[id_] for id_ in acquisition.items]


def _shifted(numbers: NDArray[Any], by: int) -> NDArray[Any]:
    """Return digital numbers with another one added, cut off at their type's largest."""
    found: NDArray[Any] = numbers.astype(np.float64) + by
    if numbers.dtype.kind != "f":
        limits = np.iinfo(numbers.dtype)
        found = np.clip(found, limits.min, limits.max)
    return found.astype(numbers.dtype)


def _cloud_cover(granule: Granule) -> object:
    """Return a granule's cloud cover as its item has it, None where it has none."""
    return granule.item.properties.get("eo:cloud_cover")


def _coverage(granules: Sequence[Granule], area: shapely.Geometry) -> float:
    """Return the share of an area in degrees that footprints cover."""
    covered = shapely.union_all([granule.footprint for granule in granules]) & area
    return float(covered.area / area.area) if area.area else 1.0


def _usual_cost(geobox: GeoBox, metres: float | None) -> Cost:
    """Of one band; ``metres`` is its resolution, None where it is taken to be the grid's."""
    unit = polygons.METRES_PER_DEGREE if geobox.crs is not None and geobox.crs.geographic else 1.0
    sides = []
    for pixels, step in zip(geobox.shape, geobox.resolution.xy[::-1], strict=True):
        of_file = pixels * abs(step) * unit / metres if metres else pixels
        sides.append(1 + max(0.0, of_file - 1) / _TILE)
    rows, columns = sides
    tile_bytes = 2 * _TILE**2 * _COMPRESSED
    return Cost(requests=1 + round(rows), bytes=HEAD_BYTES + round(rows * columns * tile_bytes))


def _left_out(document: dict[str, Any]) -> str:
    return f" Correct the item, or leave it out by imagery.exclude: [{document.get('id')}]"


def _name_of(href: str) -> str:
    """Return what an item that cannot be read is called: its file's name, which is its id by
    custom."""
    path = PurePosixPath(href.partition("?")[0])
    return path.parent.name if path.stem == "item" else path.stem


def _api_failure(where: str, error: APIError, advice: str) -> SourceError:
    status = getattr(error, "status_code", None)
    return SourceError(f"{where} answered with HTTP status {status} ({error}). {advice}")
