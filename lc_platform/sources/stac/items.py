"""STAC items, and what of their metadata the platform reads."""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import odc.stac
import pystac
import shapely
import shapely.geometry

from lc_platform.catalogue import BAND_ALIASES, HostedCollection, is_hls
from lc_platform.eo.polygons import box_in_degrees
from lc_platform.sources.passes import footprint, utc
from lc_platform.sources.protocol import MissingBandError, SourceError
from lc_platform.sources.stac import amplitude
from lc_platform.sources.stac.hrefs import located
from lc_platform.sources.stac.pixels import Layer, unsigned

SENTINEL2_ASSETS: Mapping[str, str] = {band: key for key, band in BAND_ALIASES.items()}
"""Sentinel-2 band -> asset key in catalogs that name their assets by common names."""

_REFLECTANCE = (SENTINEL2_ASSETS.keys() | SENTINEL2_ASSETS.values()) - {"SCL", "scl"}
_SENTINEL2_QUANTIFICATION = 0.0001
"""Of HLS too, which tells it in its files alone."""
_FMASK_FILL = 255.0
_OFFSET_SINCE_BASELINE = (4, 0)
# What pystac and odc-stac raise for documents that are not as the standard says.
NOT_STAC = (AttributeError, KeyError, TypeError, ValueError, pystac.STACError)


@dataclass(frozen=True)
class Granule:
    """An item, and the part of its metadata that the platform reads."""

    item: pystac.Item
    id: str
    datetime: datetime
    footprint: shapely.Geometry
    """In degrees, with longitudes from -180 to 180."""
    platform: str
    crs: str
    """For example ``EPSG:32633``, empty where it is not known."""
    baseline: tuple[int, ...]
    tile: str
    """The tile of the military grid, for example ``33TVM``; empty where it is not known."""
    track: str
    """What granules of one pass have in common; empty where it is not known."""

    def bands(self) -> tuple[str, ...]:
        """Return Sentinel-2 names in their order, then asset keys."""
        named = [band for band in SENTINEL2_ASSETS if self._locate(band) is not None]
        return tuple(dict.fromkeys(named + [asset for asset, _ in self._parsed.bands]))

    def layer(self, band: str, acquisition: str, hosted: HostedCollection) -> Layer:
        """Return the item's band; raises SourceError naming the acquisition where it has none, or
        where nobody tells its offset."""
        key = self._locate(band)
        if key is None:
            raise MissingBandError(
                f"acquisition {acquisition}: the archive has no band {band} "
                f"(item {self.id}). It has: {', '.join(self.bands()) or 'none'}.",
                band,
            )
        source, asset = self._parsed.bands[key], self.item.assets[key[0]]
        uri = located(asset.href, self.item.get_self_href())
        own = f"s3://{hosted.bucket}/"
        if hosted.bucket and uri.startswith("s3://") and not uri.startswith(own):
            raise SourceError(
                f"acquisition {acquisition}, band {band}: {unsigned(uri)} is not in {own}, "
                f"where the files of {self.item.collection_id} are (item {self.id}). Use another "
                f"archive."
            )
        metadata = _band_metadata(asset, key[1])
        where = f"acquisition {acquisition}, band {band}: item {self.id}"
        scale, offset = (_number(metadata, name, where) for name in ("scale", "offset"))
        if scale == 0:
            raise SourceError(f"{where} tells scale 0, which is no scale. {_MEND}")
        of_fmask = band.upper() == "FMASK"
        classification = (
            "classification" in (asset.roles or ())
            or not {"classification:classes", "classification:bitfields"}.isdisjoint(metadata)
            or of_fmask
            or (scale is None and (band.upper() == "SCL" or source.meta.data_type == "uint8"))
        )
        if not classification:
            applied = self.item.properties.get("earthsearch:boa_offset_applied") is True
            offset = 0.0 if applied else offset
            if scale is None and self._is_hls:
                scale = _SENTINEL2_QUANTIFICATION
            if scale is None and self._is_sentinel2 and {band, key[0]} & _REFLECTANCE:
                scale = _SENTINEL2_QUANTIFICATION
                if offset is None and self.baseline >= _OFFSET_SINCE_BASELINE:
                    offset = hosted.offset_since_0400
                if offset is None and not () < self.baseline < _OFFSET_SINCE_BASELINE:
                    raise SourceError(
                        f"acquisition {acquisition}: item {self.id} does not tell scale and "
                        f"offset of band {band} (raster:bands), and from processing baseline "
                        f"04.00 on the offset may or may not have been taken out. Use an archive "
                        f"that tells it."
                    )
        backscatter: amplitude.DeclaredUnit | None = None
        if self._is_radar and str(metadata.get("data_type", "")).startswith("float"):
            unit = str(metadata.get("unit") or "").strip().lower()
            backscatter = amplitude.UNITS.get(unit, "unknown")
            scale, offset = amplitude.SCALE, 0.0
        return Layer(
            where=f"acquisition {acquisition}, band {band}: {unsigned(uri)}",
            acquisition=acquisition,
            band=band,
            uri=uri,
            index=max(source.band, 1),
            nodata=_no_data(asset, key[1], _FMASK_FILL if of_fmask else source.meta.nodata),
            scale=1.0 if scale is None else scale,
            offset=offset or 0.0,
            classification=classification,
            backscatter=backscatter,
            asset=key[0],
            radar=self._is_radar,
        )

    @cached_property
    def _parsed(self) -> Any:
        item = copy.copy(self.item)
        item.geometry = shapely.geometry.mapping(self.footprint)  # odc takes polygons alone
        try:
            # The files' own georeference is used, so an asset without proj: is as good.
            return odc.stac.parse_item(item, {"*": {"ignore_proj": True}})
        except NOT_STAC as error:
            raise SourceError(
                f"item {self.id}: its assets cannot be understood "
                f"({type(error).__name__}: {error})."
            ) from error

    def _locate(self, band: str) -> tuple[str, int] | None:
        """Return asset key and band in it: by asset key, by ``eo:bands``, by what Sentinel-2's are
        named in Earth Search and in the Copernicus Data Space, by asset key in other letters (VV,
        vv)."""
        found = [(band, 1), *self._parsed.collection.aliases.get(band, ())]
        if self._is_sentinel2 and band in SENTINEL2_ASSETS:
            usual = (SENTINEL2_ASSETS[band], *(f"{band}_{metres}m" for metres in (10, 20, 60)))
            found += [(key, 1) for key in usual]
        found += [key for key in self._parsed.bands if key[0].lower() == band.lower()]
        return next((key for key in found if key in self._parsed.bands), None)

    @property
    def _is_radar(self) -> bool:
        named = "sentinel-1" in f"{self.item.collection_id} {self.platform}".lower()
        return named or any(name.startswith("sar:") for name in self.item.properties)

    @property
    def _is_hls(self) -> bool:
        return is_hls(str(self.item.collection_id))

    @property
    def _is_sentinel2(self) -> bool:
        return (
            not self._is_hls
            and "sentinel-2" in f"{self.item.collection_id} {self.platform}".lower()
        )


@dataclass(frozen=True)
class InvalidItem:
    """An item that cannot be used."""

    error: SourceError
    footprint: shapely.Geometry
    """In degrees, with longitudes from -180 to 180."""


@dataclass(frozen=True)
class Items:
    """The items of a catalog, or of an answer to a search."""

    granules: Mapping[str, Granule]
    """By id."""
    invalid: Sequence[InvalidItem] = ()
    without_geometry: Sequence[str] = ()
    """Ids of the items without a geometry."""
    without_area: Sequence[str] = ()
    """Ids of the items whose geometry has no polygonal part."""


def parsed(items: Iterable[pystac.Item]) -> Items:
    """Return what is to be known of items, each for itself."""
    granules: dict[str, Granule] = {}
    invalid: list[InvalidItem] = []
    without_geometry: list[str] = []
    without_area: list[str] = []
    for item in items:
        if item.geometry is None and item.bbox is None:
            without_geometry.append(item.id)
            continue
        where = _footprint(item)
        if where.is_empty:
            without_area.append(item.id)
            continue
        try:
            granule = _granule(item, where)
        except SourceError as error:
            invalid.append(InvalidItem(error, where))
            continue
        other = granules.setdefault(granule.id, granule)
        if other is not granule and _content(other.item) != _content(item):
            hrefs = " and ".join(filter(None, (one.get_self_href() for one in (other.item, item))))
            twice = SourceError(
                f"item {item.id}: two different items have this id"
                f"{f' ({hrefs})' if hrefs else ''}. Give one of them another id, take it out of "
                f"the catalog, or leave both out by imagery.exclude: [{item.id}]"
            )
            invalid.append(InvalidItem(twice, other.footprint | granule.footprint))
    return Items(granules, invalid, without_geometry, without_area)


def merged(answers: Iterable[Items]) -> Items:
    """Return those of several answers, of which one item may be in more than one."""
    granules: dict[str, Granule] = {}
    invalid: list[InvalidItem] = []
    without_geometry: dict[str, None] = {}
    without_area: dict[str, None] = {}
    for answer in answers:
        granules |= answer.granules
        invalid += answer.invalid
        without_geometry |= dict.fromkeys(answer.without_geometry)
        without_area |= dict.fromkeys(answer.without_area)
    return Items(granules, invalid, [*without_geometry], [*without_area])


def _content(item: pystac.Item) -> tuple[Any, ...]:
    return item.geometry, item.properties, {k: a.href for k, a in item.assets.items()}


def _granule(item: pystac.Item, where: shapely.Geometry) -> Granule:
    try:
        properties = item.properties
        when = item.datetime or item.common_metadata.start_datetime
        if when is None:
            raise ValueError("it has neither datetime nor start_datetime")
        platform = str(properties.get("platform") or properties.get("constellation") or "").lower()
        return Granule(
            item=item,
            id=item.id,
            datetime=utc(when),
            footprint=where,
            platform=platform,
            crs=str(properties.get("proj:code") or f"EPSG:{properties.get('proj:epsg', '')}"),
            baseline=tuple(
                map(int, re.findall(r"\d+", str(properties.get("s2:processing_baseline"))))
            ),
            tile=_tile(item),
            track=_track(properties, utc(when), platform),
        )
    except NOT_STAC as error:
        raise SourceError(
            f"item {item.id}: it cannot be understood ({error}). Tell the archive's support, or "
            f"leave it out by imagery.exclude: [{item.id}]"
        ) from error


def _footprint(item: pystac.Item) -> shapely.Geometry:
    if item.geometry is not None or item.bbox is None:
        return footprint(item.geometry)
    try:
        edges = [float(edge) for edge in item.bbox]
        (west, south), (east, north) = edges[:2], edges[len(edges) // 2 :][:2]
    except (TypeError, ValueError):
        return shapely.Polygon()
    return box_in_degrees(west, south, east, north)


def _tile(item: pystac.Item) -> str:
    tile = item.properties.get("grid:code") or item.properties.get("s2:mgrs_tile")
    if tile:
        return str(tile).upper().removeprefix("MGRS-")
    in_id = re.search(r"(?:^|_)T?(\d{2}[A-Z]{3})(?:_|$)", item.id)
    return in_id.group(1) if in_id else ""


def _track(properties: Mapping[str, Any], when: datetime, platform: str) -> str:
    product = f"{properties.get('s2:product_uri')}_"
    datatake = re.search(r"_(\d{8}T\d{6})_", str(properties.get("s2:datatake_id")))
    datatake = datatake or re.search(r"_MSIL\w\w_(\d{8}T\d{6})_", product)
    if datatake:
        return f"{datatake.group(1)}_{platform}"
    orbit = re.fullmatch(r"\s*(\d+)(\.0*)?\s*", str(properties.get("sat:relative_orbit")))
    return f"{when:%Y%m%d}_{platform}_R{int(orbit.group(1)):03d}" if orbit else ""


def _band_metadata(asset: pystac.Asset, index: int) -> dict[str, Any]:
    """Of the asset and of its band: STAC 1.0's ``raster:bands``, 1.1's ``bands``."""
    metadata = dict(asset.extra_fields)
    for name in ("bands", "raster:bands"):
        metadata |= dict(enumerate(asset.extra_fields.get(name, ()), 1)).get(index, {})
    return {name.removeprefix("raster:"): value for name, value in metadata.items()}


_MEND = "Correct the item, or leave the acquisition out by imagery.exclude."


def _number(metadata: Mapping[str, Any], name: str, where: str) -> float | None:
    """Return a number of a band's metadata; None where there is none. Raises SourceError where it
    is not a finite number."""
    value = metadata.get(name)
    if value is None:
        return None
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise SourceError(f"{where} tells {name} {value!r}, which is no number. {_MEND}")
    return number


def _no_data(asset: pystac.Asset, index: int, usual: float | None) -> tuple[float, ...]:
    """Return every value of no data that an asset tells of itself or of a band, in any of the ways;
    the usual one where it tells none."""
    places: list[Mapping[str, Any]] = [asset.extra_fields]
    for name in ("bands", "raster:bands"):
        of = dict(enumerate(asset.extra_fields.get(name) or (), 1)).get(index)
        places += [of] if isinstance(of, Mapping) else []
    found: dict[float, None] = {}
    for place in places:
        for name in ("nodata", "raster:nodata"):
            if place.get(name) is not None:
                with suppress(TypeError, ValueError):  # a word is no value that a pixel has
                    found[float(place[name])] = None
    return tuple(found) or (() if usual is None else (float(usual),))
