"""Imagery from Sentinel Hub, or from its deployment in the Copernicus Data Space."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import Geometry
from sentinelhub.api.catalog import SentinelHubCatalog
from sentinelhub.api.process import SentinelHubRequest
from sentinelhub.constants import CRS, MimeType, MosaickingOrder, ResamplingType
from sentinelhub.data_collections import DataCollection
from sentinelhub.download.models import DownloadRequest, DownloadResponse
from sentinelhub.exceptions import MissingDataInRequestException
from sentinelhub.geometry import BBox
from sentinelhub.time_utils import parse_time

from lc_platform.sources.network.limits import Limits
from lc_platform.sources.oversampling import divided, mean_of_points
from lc_platform.sources.passes import (
    PASS_GAP,
    as_acquisition,
    clear_enough,
    footprint,
    in_degrees,
    passes,
    percent,
    sun_of,
    utc,
)
from lc_platform.sources.protocol import (
    Acquisition,
    Cost,
    Ledger,
    MissingBandError,
    Pixels,
    SourceError,
)
from lc_platform.sources.sentinel_hub import request_grid
from lc_platform.sources.sentinel_hub.client import Client, Service, account
from lc_platform.sources.sentinel_hub.evalscript import (
    NO_CLOUD_MASK,
    BandEncoding,
    encodings,
    evalscript,
)
from lc_platform.sources.sentinel_hub.processing_units import processing_units

MOST_PIXELS = 2500
"""A side of an answer."""
MOST_ITEMS = 100
"""A page of the catalog."""

END = "end_datetime"
"""Property of an acquisition: sensing time of its latest granule."""
LEFT_OUT_ABOVE = "left_out_above"
"""Property of an acquisition some granules of which are left out for their clouds: a cloud cover in
percent that all of these are above, and none of the others."""

_REPLACED_SHARE = 0.99
_BASELINE = re.compile(r"_N(\d\d)(\d\d)_")
_DATATAKE = re.compile(r"_MSIL\w\w_(\d{8}T\d{6})_")
_RADAR_DATATAKE = re.compile(r"^S1\w_\w\w_GRD\w_.*_([0-9A-F]{6})_[0-9A-F]{4}")
_LANDSAT_PATH = re.compile(r"^L\w\d\d_\w{4}_(\d{3})(\d{3})_(\d{8})_")
_KEPT_PROPERTIES = ("platform", "constellation", "sat:relative_orbit", "sat:orbit_state")

logger = logging.getLogger(__name__)
_crs_lock = Lock()


@dataclass(frozen=True)
class _Collection:
    """A collection, and how Sentinel Hub is asked for it."""

    definition: DataCollection
    native: float
    """Metres between its pixels."""
    processing: Mapping[str, Any] = field(default_factory=dict)
    orthorectified: bool = False
    deployments: tuple[str, ...] = ("sentinel_hub",)


# Digital numbers of Sentinel-2 since processing baseline 04.00 carry an offset, that Sentinel Hub
# takes out: so scale and offset are the same for all years.
_SENTINEL2 = {"harmonizeValues": True}
_EVERYWHERE = ("sentinel_hub", "cdse")
_RADAR = {
    "orthorectify": True,
    "backCoeff": "GAMMA0_TERRAIN",
    "demInstance": "COPERNICUS_30",
}
COLLECTIONS: Mapping[str, _Collection] = {
    "sentinel-2-l1c": _Collection(
        DataCollection.SENTINEL2_L1C, 10.0, _SENTINEL2, deployments=_EVERYWHERE
    ),
    "sentinel-2-l2a": _Collection(
        DataCollection.SENTINEL2_L2A, 10.0, _SENTINEL2, deployments=_EVERYWHERE
    ),
    "sentinel-1-grd": _Collection(
        DataCollection.SENTINEL1_IW, 10.0, _RADAR, orthorectified=True, deployments=_EVERYWHERE
    ),
    "landsat-ot-l1": _Collection(DataCollection.LANDSAT_OT_L1, 30.0),
    "landsat-ot-l2": _Collection(DataCollection.LANDSAT_OT_L2, 30.0),
}


class SentinelHubArchive:
    """One collection of Sentinel Hub, as a ``Source``.

    collection           of `COLLECTIONS`
    deployment           ``sentinel_hub`` or ``cdse`` (the Copernicus Data Space's)
    profile              of sentinelhub's configuration file, None for its usual one. Its
                         sh_base_url and sh_token_url go before the deployment's
    connections          requests under way at the same time, of this process
    requests_per_minute  of this machine and account, None for no limit but Sentinel Hub's
    retries              of a request that failed for no fault of its own
    ledger               that reserves the cost of each request and counts what it took
    exclude              ids of items that are left out of the catalog
    backscatter          of a radar, the coefficient (`catalogue.BACKSCATTER`); None for the usual
                         one

    The account comes from SH_CLIENT_ID and SH_CLIENT_SECRET in the environment or from the
    profile, when it is first needed. Raises SourceError for a collection that the deployment
    lacks.

    An acquisition's key is ``{start}_{platform}`` where start is when the satellite's datatake
    began (``20170705T100031_sentinel-2a``), ``{date}_{platform}_{datatake}`` for Sentinel-1 and
    ``{date}_{platform}_P{path}`` for Landsat.

    Digital numbers:

    Sentinel-2   reflectance = digital number * 0.0001 (offset 0) in all years, as Sentinel Hub
                 takes the offset of newer processing baselines out (``harmonizeValues``); CLP is
                 the cloud probability * 255 and CLM 0 or 1, no data where there is no cloud mask
    Landsat      reflectance = digital number * 0.0001, temperature in kelvin = digital number *
                 0.01, quality bits (BQA) as they are
    Sentinel-1   gamma0 on the Copernicus terrain model (radiometrically terrain corrected), or
                 another coefficient on the same model by choice, linear power = digital number *
                 0.0001; interferometric wide swath with VV and VH
    """

    remote = True

    def __init__(
        self,
        collection: str,
        *,
        deployment: str = "sentinel_hub",
        profile: str | None = None,
        connections: int,
        requests_per_minute: float | None = None,
        retries: int,
        ledger: Ledger | None = None,
        exclude: Iterable[str] = (),
        backscatter: str | None = None,
    ) -> None:
        has = [name for name, known in COLLECTIONS.items() if deployment in known.deployments]
        if collection not in has:
            elsewhere = [d for d in _EVERYWHERE if collection in COLLECTIONS and d != deployment]
            hint = f" (imagery.deployment: {elsewhere[0]} has it)" if elsewhere else ""
            raise SourceError(
                f"imagery.collection: {collection} is not in {deployment}{hint}. "
                f"It has: {', '.join(has)}"
            )
        self.collection = collection
        self.deployment = deployment
        self.profile = profile
        self._limits = (connections, requests_per_minute, retries)
        self._ledger = ledger
        self._exclude = frozenset(exclude)
        self._opened: Service | None = None
        self._lock = Lock()
        self._of = COLLECTIONS[collection]
        if backscatter is not None:
            processing = {**self._of.processing, "backCoeff": backscatter.upper()}
            self._of = replace(self._of, processing=processing)
        self._bands = encodings(self._of.definition)

    def __repr__(self) -> str:
        return f"SentinelHubArchive({self.collection!r}, deployment={self.deployment!r})"

    def search(
        self, area: Geometry, start: datetime, end: datetime, around: Geometry | None = None
    ) -> list[Acquisition]:
        """Return the acquisitions that touch ``area`` (any CRS) in the half-open period [start,
        end), UTC, each with all its granules that touch ``around``, or else the area.

        In order of time then key. Items without a geometry, or with one that has no polygonal
        part, and those of an id that another item has are passed over with a warning. Raises
        SourceError where there is no account, it is refused or the catalog cannot be read,
        TransientSourceError where it did not answer after all retries, and QuotaError.
        """
        searched = in_degrees(area)
        read = searched if around is None else in_degrees(around)
        start, end = utc(start), utc(end)
        what = f"search of {self.collection} from {start:%Y-%m-%d} to {end:%Y-%m-%d}"
        service = self._service
        catalog = SentinelHubCatalog(config=service.config)
        catalog.client = Client(service, what, Cost(requests=1))
        granules: dict[str, _Granule] = {}
        try:
            for part in shapely.get_parts(read):
                for item in catalog.search(
                    self._of.definition,
                    bbox=BBox(part.bounds, CRS.WGS84),
                    time=(start, end),
                    limit=MOST_ITEMS,
                ):
                    if item["id"] not in self._exclude:
                        _take(granules, item, what)
        except (MissingDataInRequestException, AttributeError, KeyError, TypeError) as error:
            raise SourceError(
                f"{what}: {service.config.sh_base_url} does not answer as Sentinel Hub's catalog "
                f"({type(error).__name__}: {error}). Check sh_base_url of the profile"
            ) from error
        acquisitions = []
        for key, of_pass in passes(granules.values()).items():
            found = [g for g in of_pass if start <= g.datetime < end]
            found = [g for g in found if g.footprint.intersects(read)]
            if any(g.footprint.intersects(searched) for g in found):
                acquisitions.append(_acquisition(key, _newest(found), searched))
        return sorted(acquisitions, key=lambda acquisition: (acquisition.datetime, acquisition.key))

    def read(self, acquisition: Acquisition, geobox: GeoBox, bands: Sequence[str]) -> Pixels:
        """Return the acquisition's ``bands``, in the order asked for, on the grid ``geobox``.

        One request has all bands, of at most `MOST_PIXELS` pixels a side; larger grids are cut and
        put together. The service takes the nearest of the archive's pixels, at each pixel's
        centre. A grid at least twice as coarse is asked for with up to 4 x 4 points a pixel, spread
        evenly, and their mean is taken here; of a classification band the valid point nearest to
        the centre. On 80 m that is every archive pixel of the 20 m and 60 m bands and each fourth
        of the 10 m bands: all of them would cost four times as many processing units, and one
        point a pixel, or the service's own bilinear, would cost a sixteenth and be no mean.

        Raises SourceError naming the acquisition and the band or what Sentinel Hub refuses,
        TransientSourceError where it did not answer after all retries, and QuotaError where the
        account's quota or the ledger's budget is spent.
        """
        chosen = self._encodings(bands, f"acquisition {acquisition.key}")
        crs = _crs(geobox)
        points = request_grid.points_a_side(geobox, self._of.native)
        script = evalscript(chosen)
        classifications = [encoding.classification for encoding in chosen]
        values = np.zeros((len(bands), *geobox.shape), np.uint16)
        data_mask = np.zeros(geobox.shape, np.bool_)
        cost = Cost()
        for (rows, columns), piece in request_grid.pieces(geobox, MOST_PIXELS // points):
            asked = divided(piece, points)
            price = self._price(asked, len(bands))
            client = Client(self._service, f"acquisition {acquisition.key}", price)
            image = client.send(
                self._request(acquisition, asked, crs, script),
                partial(_image, asked=asked, bands=len(bands)),
            )
            numbers, valid = image[:-1], image[-1] > 0
            for band, encoding in zip(numbers, chosen, strict=True):
                if encoding.name == "CLM":
                    valid &= band != NO_CLOUD_MASK
            means, seen = mean_of_points(numbers, valid, points, classifications)
            values[:, rows, columns], data_mask[rows, columns] = means, seen
            cost += client.spent
        return Pixels(
            values,
            data_mask,
            scale=np.array([encoding.scale for encoding in chosen]),
            offset=np.zeros(len(bands)),
            cost=cost,
        )

    def stop(self) -> None:
        """End the waits for the archive that are under way: what is read then fails with
        TransientSourceError. What is asked for later is waited for again."""
        if self._opened is not None:
            self._opened.limits.stop()

    def cost(self, geobox: GeoBox, bands: Sequence[str]) -> Cost:
        """Return requests and processing units by the price list, bytes without compression. Needs
        no account."""
        points = request_grid.points_a_side(geobox, self._of.native)
        cost = Cost()
        for _, piece in request_grid.pieces(geobox, MOST_PIXELS // points):
            cost += self._price(divided(piece, points), len(bands))
        return cost

    def bands(self) -> tuple[str, ...]:
        """Names that ``read`` takes."""
        return tuple(self._bands)

    @property
    def _service(self) -> Service:
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _open(self) -> Service:
        connections, requests_per_minute, retries = self._limits
        config = account(self.deployment, self.profile, self._of.definition.service_url)
        limits = Limits(
            f"sentinel_hub {config.sh_token_url} {config.sh_client_id}",
            connections=connections,
            requests_per_minute=requests_per_minute,
            retries=retries,
        )
        return Service(config, limits, self._ledger)

    def _encodings(self, bands: Sequence[str], what: str) -> list[BandEncoding]:
        for band in bands:
            if band not in self._bands:
                raise MissingBandError(
                    f"{what}: {self.collection} of Sentinel Hub has no band {band}. "
                    f"It has {', '.join(self._bands)}",
                    band,
                )
        return [self._bands[band] for band in bands]

    def _price(self, asked: GeoBox, bands: int) -> Cost:
        height, width = asked.shape
        units = processing_units(width, height, bands, orthorectified=self._of.orthorectified)
        return Cost(1, units, 2 * width * height * (bands + 1))

    def _request(
        self, acquisition: Acquisition, asked: GeoBox, crs: CRS, script: str
    ) -> DownloadRequest:
        box, (height, width) = asked.boundingbox, asked.shape
        end = acquisition.properties.get(END)
        last = _time(end) if end else acquisition.datetime + PASS_GAP
        second = timedelta(seconds=1)
        other: dict[str, Any] = {}
        if self._of.processing:
            other["processing"] = dict(self._of.processing)
        if above := acquisition.properties.get(LEFT_OUT_ABOVE):
            # The client's own argument knows whole percents alone.
            other["dataFilter"] = {"maxCloudCoverage": float(above)}
        data = SentinelHubRequest.input_data(
            self._of.definition,
            time_interval=(
                acquisition.datetime.replace(microsecond=0) - second,
                last.replace(microsecond=0) + second,
            ),
            mosaicking_order=MosaickingOrder.MOST_RECENT,
            upsampling=ResamplingType.NEAREST,
            downsampling=ResamplingType.NEAREST,
            other_args=other,
        )
        data.service_url = self._service.config.sh_base_url
        request = SentinelHubRequest(
            evalscript=script,
            input_data=[data],
            responses=[SentinelHubRequest.output_response("default", MimeType.TIFF)],
            bbox=BBox((box.left, box.bottom, box.right, box.top), crs),
            size=(width, height),
            config=self._service.config,
        )
        return request.download_list[0]


@dataclass(frozen=True)
class _Granule:
    """An item of the catalog, and what the platform needs to know of it."""

    id: str
    datetime: datetime
    footprint: shapely.Geometry
    """In degrees, with longitudes from -180 to 180."""
    platform: str
    track: str
    """What granules of one pass have in common; empty where it is not known."""
    baseline: str
    cloud_cover: object
    """Percent, as the catalog tells it."""
    properties: Mapping[str, Any]


def _take(granules: dict[str, _Granule], item: Mapping[str, Any], what: str) -> None:
    """Add an item's granule, unless it has no geometry."""
    name, properties = str(item["id"]), item["properties"]
    if not item.get("geometry"):
        logger.warning(
            "item %s of the catalog has no geometry, so that nobody can tell whether it covers the "
            "area: it is passed over. Tell the archive's support",
            name,
        )
        return
    where = footprint(item["geometry"])
    if where.is_empty:
        logger.warning(
            "item %s of the catalog has a geometry without a polygonal part, so that nobody can "
            "tell whether it covers the area: it is left out. Tell the archive's support",
            name,
        )
        return
    try:
        granule = _granule(name, where, properties)
    except (ValueError, TypeError, IndexError) as error:
        raise SourceError(
            f"{what}: item {name} cannot be understood ({type(error).__name__}: {error}). Tell the "
            f"archive's support, or leave it out by imagery.exclude: [{name}]"
        ) from error
    known = granules.setdefault(name, granule)
    # A page may begin with the last item of the page before it.
    if (known.datetime, known.footprint) != (granule.datetime, granule.footprint):
        logger.warning(
            "the catalog lists two items with the id %s, of %s and %s: the first is used. Tell the "
            "archive's support",
            name,
            known.datetime.isoformat(),
            granule.datetime.isoformat(),
        )


def _granule(name: str, where: shapely.Geometry, properties: Mapping[str, Any]) -> _Granule:
    when = _time(properties["datetime"])
    platform = str(properties.get("platform") or properties.get("constellation") or "").lower()
    baseline = _BASELINE.search(name)
    return _Granule(
        id=name,
        datetime=when,
        footprint=where,
        platform=platform,
        track=_track(name, when, platform),
        baseline=".".join(baseline.groups()) if baseline else "",
        cloud_cover=properties.get("eo:cloud_cover"),
        properties=properties,
    )


def _track(name: str, when: datetime, platform: str) -> str:
    if datatake := _DATATAKE.search(name):
        return f"{datatake.group(1)}_{platform}"
    if datatake := _RADAR_DATATAKE.search(name):
        return f"{when:%Y%m%d}_{platform}_{datatake.group(1)}"
    if path := _LANDSAT_PATH.search(name):
        return f"{when:%Y%m%d}_{platform}_P{path.group(1)}"
    return ""


def _newest(granules: Iterable[_Granule]) -> list[_Granule]:
    """Return the newest processing first, without what it replaces, then by id."""
    kept: list[_Granule] = []
    for granule in sorted(granules, key=lambda g: (g.baseline, g.id), reverse=True):
        newer = shapely.union_all([g.footprint for g in kept if g.baseline > granule.baseline])
        if granule.footprint.intersection(newer).area < _REPLACED_SHARE * granule.footprint.area:
            kept.append(granule)
    return sorted(sorted(kept, key=lambda g: g.id), key=lambda g: g.baseline, reverse=True)


def _acquisition(
    key: str,
    granules: Sequence[_Granule],
    searched: shapely.Geometry,
    left_out_above: float | None = None,
) -> Acquisition:
    def of_granules(max_cloud_cover: float) -> Acquisition | None:
        clear = clear_enough(granules, lambda g: g.cloud_cover, max_cloud_cover)
        if not any(g.footprint.intersects(searched) for g in clear):
            return None
        used = {g.id for g in clear}
        cloudy = [g for g in granules if g.id not in used]
        above = _between(clear, cloudy, max_cloud_cover) if cloudy else left_out_above
        return _acquisition(key, clear, searched, above)

    facts = {name: [g.properties.get(name) for g in granules] for name in _KEPT_PROPERTIES}
    facts["s2:processing_baseline"] = [g.baseline or None for g in granules]
    facts[END] = [max(g.datetime for g in granules).isoformat()]
    facts[LEFT_OUT_ABOVE] = [left_out_above]
    covered = shapely.union_all([g.footprint for g in granules]).intersection(searched)
    coverage = min(covered.area / searched.area, 1.0) if searched.area else 0.0
    clouds = [g.cloud_cover for g in granules]
    suns = [sun_of(g.properties) for g in granules]
    found = as_acquisition(key, granules, clouds, facts, coverage, suns)
    return replace(found, of_granules=of_granules)


def _between(
    clear: Iterable[_Granule], cloudy: Iterable[_Granule], max_cloud_cover: float
) -> float:
    """Return a cloud cover midway between those of granules that are used and those that are not:
    however the service rounds, it takes the same ones."""
    used = [p for g in clear if (p := percent(g.cloud_cover)) is not None]
    others = [p for g in cloudy if (p := percent(g.cloud_cover)) is not None]
    return (max(used, default=max_cloud_cover) + min(others)) / 2


def _image(response: DownloadResponse, asked: GeoBox, bands: int) -> NDArray[np.uint16]:
    """Return (band + 1, y, x), the last the data mask. Raises SourceError for another image, which
    would come again and is paid for each time, and whatever the decoder does for a damaged one."""
    image = response.decode()
    expected = (*asked.shape, bands + 1)
    if image.dtype != np.uint16:
        raise SourceError(
            f"the image's values are {image.dtype}, not uint16 as asked for. Tell the archive's "
            "support"
        )
    # The decoder leaves out axes of length one.
    if [n for n in image.shape if n != 1] != [n for n in expected if n != 1]:
        raise SourceError(
            f"the image's shape is {image.shape}, not {expected} as asked for. Tell the archive's "
            "support"
        )
    return np.moveaxis(image.reshape(expected), -1, 0)


def _crs(geobox: GeoBox) -> CRS:
    epsg = None if geobox.crs is None else geobox.crs.to_epsg()
    if epsg is None:
        raise SourceError(
            f"aoi.crs: {geobox.crs} has no EPSG code, by which Sentinel Hub knows it. Take a CRS "
            "that has one"
        )
    a, b, _, d, e, _ = tuple(geobox.affine)[:6]
    if b or d or a <= 0 or e >= 0:
        raise SourceError(
            "the grid asked for is turned or upside down, which Sentinel Hub does not give. Take "
            "one with north up"
        )
    with _crs_lock:  # sentinelhub adds codes that it does not know to its own
        return CRS(str(epsg))


def _time(text: str) -> datetime:
    when = parse_time(text, force_datetime=True)
    assert isinstance(when, datetime)
    return utc(when)
