"""A Sentinel Hub of this machine: tokens, catalog and Process API as documented, over the simulated
archive, counting what it is asked and misbehaving as it is told to.

The archive's passes come as granules of one degree a side.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import secrets
import tarfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import numpy as np
import shapely
import shapely.geometry
import tifffile
from affine import Affine
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox
from odc.geo.geom import box
from pyproj import Transformer

from lc_platform.sources.protocol import Acquisition, Pixels
from lc_platform.sources.simulated import COLLECTIONS, SimulatedArchive
from lc_platform_tests.breakable import BreakableHandler, serving

TOKEN = "/auth/realms/main/protocol/openid-connect/token"
SEARCH = "/api/v1/catalog/1.0.0/search"
PROCESS = "/api/v1/process"
KINDS = {TOKEN: "token", SEARCH: "search", PROCESS: "process"}

SECONDS_PER_DEGREE = 16
"""That a satellite flies."""
_WITHIN_A_PASS = timedelta(minutes=50)

BRIGHTER = {
    "GAMMA0_TERRAIN": 1.0,
    "GAMMA0_ELLIPSOID": 1.0,
    "SIGMA0_ELLIPSOID": 0.77,
    "BETA0": 1.21,
}
"""Coefficient -> how many times the power that the stand-in has; gamma nought on a flat planet is
sigma nought by the cosine of the incidence angle, and beta nought sigma nought by its sine, here at
39.6 degrees."""

_CLOUDS = {"CLP": (255, 0), "CLM": (1, 0), "SCL": (9, 4)}
"""Bands that the service makes -> their values of cloud and of what is not."""
_ARCHIVES = {**COLLECTIONS, "sentinel-2-l2a": COLLECTIONS["sentinel-2-l1c"]}


def units(collection: str) -> dict[str, str]:
    """Band -> the unit that it can be had in."""
    bands = _ARCHIVES[collection].bands
    if collection == "sentinel-1-grd":
        return dict.fromkeys(bands, "LINEAR_POWER")
    if collection == "landsat-ot-l1":
        return {band: "DN" if band == "BQA" else "REFLECTANCE" for band in bands}
    if collection == "sentinel-2-l2a":
        return dict.fromkeys([*(b for b in bands if b != "B10"), *_CLOUDS], "DN")
    return dict.fromkeys([*bands, "CLP", "CLM"], "DN")


@dataclass(frozen=True)
class Request:
    kind: str
    """``token``, ``search``, ``process`` or ``other``."""
    number: int
    """Of its kind, from 1."""
    body: bytes
    time: float
    """When it came, seconds of the monotonic clock."""


@dataclass(frozen=True)
class Refuse:
    """An error in the service's own form."""

    status: int
    message: str = "The stand-in refuses"
    code: str = "COMMON_EXCEPTION"
    retry_after: int | None = None
    """Milliseconds."""


@dataclass(frozen=True)
class Page:
    """A web page, as a proxy or a portal puts in the place of an answer."""

    status: int = 200


@dataclass(frozen=True)
class Slow:
    """The answer comes after a time."""

    seconds: float


class Reset:
    """The connection is broken before an answer."""


class Cut:
    """The connection is broken in the middle of the answer's body."""


class Damaged:
    """The answer's body is no TIFF, or no JSON."""


class ExpiredTokens:
    """All tokens that were given are refused from now on."""


Fault = Refuse | Page | Slow | Reset | Cut | Damaged | ExpiredTokens


@dataclass
class _Rule:
    fault: Fault
    kind: str
    wait: int
    times: int


@dataclass
class SentinelHubServer:
    """A running stand-in."""

    archives: Mapping[str, SimulatedArchive]
    """By collection."""
    base_url: str = ""
    client_id: str = "stand-in-client-0c4f"
    client_secret: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    token_seconds: float = 3600.0
    requests_per_minute: float | None = None
    """From which on requests are refused with status 429; the bucket holds one second's."""
    latency: float = 0.0
    """Seconds, before each answer of search and process."""
    gathered: int = 0
    """So many requests are under way at once before the first of them is answered."""
    page_size: int = 100
    """The most items of a catalog's page."""
    items: Callable[[list[dict[str, Any]]], list[dict[str, Any]]] = lambda found: found
    """Changes what the catalog lists."""
    gone: set[str] = field(default_factory=set)
    """Keys of the archive's acquisitions that are listed and have no pixels."""
    clock: float = 0.0
    """Seconds by which the service's clock is ahead."""
    remembers: bool = False
    """Whether an answer is computed once, for requests that are equal to the byte."""
    requests: list[Request] = field(default_factory=list)
    processing_units: float = 0.0
    bytes: int = 0
    too_many: int = 0
    """Requests that were refused for the rate."""
    at_once: int = 0
    """The most requests that were under way at the same time."""
    tokens: dict[str, float] = field(default_factory=dict)
    """Token -> when it expires."""
    given: list[str] = field(default_factory=list)
    """All tokens that there were."""
    _rules: list[_Rule] = field(default_factory=list)
    _answers: dict[str, tuple[bytes, str, float]] = field(default_factory=dict)
    _under_way: int = 0
    _bucket: tuple[float, float] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def token_url(self) -> str:
        return self.base_url + TOKEN

    def misbehave(self, fault: Fault, *, on: str = "process", at: int = 1, times: int = 1) -> None:
        """At the ``at``-th request of a kind from now on, and ``times - 1`` after it."""
        with self._lock:
            self._rules.append(_Rule(fault, on, at, times))

    def behave(self) -> None:
        """No fault any more."""
        with self._lock:
            self._rules.clear()

    def count(self, kind: str) -> int:
        with self._lock:
            return sum(one.kind == kind for one in self.requests)

    def environment(
        self, folder: Path, *, profile: str = "default-profile", timeout: float = 30.0
    ) -> dict[str, str]:
        """Environment variables with which sentinelhub finds the stand-in and its account. A
        configuration file of sentinelhub's is written to ``folder``."""
        home = folder / "sentinelhub"
        home.mkdir(parents=True, exist_ok=True)
        (home / "config.toml").write_text(
            f'[{profile}]\nsh_base_url = "{self.base_url}"\nsh_token_url = "{self.token_url}"\n'
            f"download_timeout_seconds = {timeout}\n"
        )
        return {
            "XDG_CONFIG_HOME": str(folder),
            "SH_CLIENT_ID": self.client_id,
            "SH_CLIENT_SECRET": self.client_secret,
            # The stand-in has no certificate.
            "OAUTHLIB_INSECURE_TRANSPORT": "1",
        }

    # What the handler asks

    def begin(self, kind: str, body: bytes) -> Fault | None:
        with self._lock:
            number = sum(one.kind == kind for one in self.requests) + 1
            self.requests.append(Request(kind, number, body, time.monotonic()))
            self._under_way += 1
            self.at_once = max(self.at_once, self._under_way)
            for rule in self._rules:
                if rule.kind == kind:
                    rule.wait -= 1
                    if rule.wait <= 0 and rule.times > 0:
                        rule.times -= 1
                        return rule.fault
        return None

    def end(self) -> None:
        with self._lock:
            self._under_way -= 1

    def token(self, form: Mapping[str, list[str]]) -> str | None:
        """A new token, None for a wrong account."""
        given = (form.get("client_id", [""])[0], form.get("client_secret", [""])[0])
        if given != (self.client_id, self.client_secret):
            return None
        made = f"eyJhbGciOiJSUzI1NiJ9.{secrets.token_urlsafe(40)}.{secrets.token_urlsafe(20)}"
        with self._lock:
            self.tokens[made] = time.time() + self.token_seconds
            self.given.append(made)
        return made

    def knows(self, authorization: str) -> bool:
        with self._lock:
            return self.tokens.get(authorization.removeprefix("Bearer "), 0.0) > time.time()

    def expire(self) -> None:
        with self._lock:
            self.tokens.clear()

    def wait(self) -> int | None:
        """Milliseconds to wait for the rate, None where a request may pass."""
        if self.requests_per_minute is None:
            return None
        rate, now = self.requests_per_minute / 60, time.monotonic()
        with self._lock:
            capacity = max(1.0, rate)
            held, since = self._bucket or (capacity, now)
            held = min(capacity, held + (now - since) * rate)
            if held >= 1 - 1e-9:
                self._bucket = (held - 1, now)
                return None
            self._bucket = (held, now)
            self.too_many += 1
            return math.ceil((1 - held) / rate * 1000)

    def search(self, query: Mapping[str, Any]) -> dict[str, Any]:
        """Raises Refusal."""
        collection = query["collections"][0]
        if collection not in self.archives:
            raise Refusal(404, "Collection not found", "COMMON_NOT_FOUND")
        start, end = (_time(text) for text in query["datetime"].split("/"))
        area = (
            shapely.geometry.shape(query["intersects"])
            if "intersects" in query
            else shapely.box(*query["bbox"])
        )
        found = []
        for granule in self._granules(collection, area, start, end):
            item = _item(granule, collection)
            if granule.footprint.intersects(area) and _passes_filter(item, query.get("filter")):
                found.append(item)
        found = self.items(sorted(found, key=lambda i: (i["properties"]["datetime"], i["id"])))
        first = int(query.get("next", 0))
        limit = min(int(query.get("limit", 10)), self.page_size)
        page = found[first : first + limit]
        context: dict[str, Any] = {"limit": limit, "returned": len(page)}
        if first + limit < len(found):
            context["next"] = first + limit
        return {"type": "FeatureCollection", "features": page, "links": [], "context": context}

    def process(self, body: bytes) -> tuple[bytes, str, float]:
        """Content, its type and its processing units. Raises Refusal."""
        key = hashlib.sha256(body).hexdigest()
        if self.remembers and key in self._answers:
            return self._answers[key]
        answer = self._processed(json.loads(body))
        if self.remembers:
            self._answers[key] = answer
        return answer

    def _processed(self, query: Mapping[str, Any]) -> tuple[bytes, str, float]:
        data, output = query["input"]["data"][0], query["output"]
        collection, script = data["type"], _Evalscript.read(query["evalscript"])
        if collection not in self.archives:
            raise Refusal(400, f"Unknown collection {collection}", "COMMON_BAD_PAYLOAD")
        for name in ("width", "height"):
            if not 1 <= output[name] <= 2500:
                error = {
                    "parameter": f"output->{name}",
                    "invalidValue": output[name],
                    "description": "must be between 1 and 2500 pixels",
                }
                raise Refusal(400, "Invalid request", "COMMON_BAD_PAYLOAD", [error])
        known = {**units(collection), "dataMask": "DN"}
        for band, unit in script.inputs.items():
            if band not in known:
                raise Refusal(
                    400,
                    f"Failed to evaluate script! evalscript.js: Dataset with id: {collection}: "
                    f"band {band} not found.",
                    "RENDERER_EXCEPTION",
                )
            if known[band] != unit:
                raise Refusal(400, f"Unsupported unit {unit} of {band}", "RENDERER_EXCEPTION")
        geobox = _geobox(query["input"]["bounds"], output["width"], output["height"])
        coefficient = data.get("processing", {}).get("backCoeff", "GAMMA0_ELLIPSOID")
        if coefficient not in BRIGHTER:
            raise Refusal(400, f"Unknown backCoeff {coefficient}", "COMMON_BAD_PAYLOAD")
        terrain = data.get("processing", {}).get("orthorectify")
        if coefficient == "GAMMA0_TERRAIN" and not terrain:
            raise Refusal(
                400,
                "Radiometric terrain correction needs orthorectification",
                "COMMON_BAD_PAYLOAD",
            )
        values = self._values(collection, data, script, geobox)
        if collection == "sentinel-1-grd":
            for band in self.archives[collection].bands:
                if band in values:
                    values[band] = values[band] * BRIGHTER[coefficient]
        parts = []
        for response in output["responses"]:
            outputs = script.outputs.get(response["identifier"])
            if outputs is None or response["format"]["type"] != "image/tiff":
                raise Refusal(
                    400, f"Output {response['identifier']} not found", "RENDERER_EXCEPTION"
                )
            image = np.stack([factor * values[band] for factor, band in outputs], axis=-1)
            limit = {"UINT8": 255, "UINT16": 65535}[script.sample_type]
            image = np.clip(np.floor(image + 0.5), 0, limit)
            parts.append((response["identifier"], _tiff(image, script.sample_type)))
        # By the price list: 512 x 512 pixels of three bands are one unit; radar on a terrain two.
        pixels = output["width"] * output["height"]
        bands = len(script.inputs) - ("dataMask" in script.inputs)
        factor = 2 if data.get("processing", {}).get("orthorectify") else 1
        price = max(max(pixels / 262144, 0.01) * bands / 3 * factor, 0.005)
        if len(parts) == 1:
            return parts[0][1], "image/tiff", price
        return _tar(parts), "application/tar", price

    def _values(
        self, collection: str, data: Mapping[str, Any], script: _Evalscript, geobox: GeoBox
    ) -> dict[str, NDArray[np.float64]]:
        """Input bands, of the most recent granule first."""
        range_ = data["dataFilter"]["timeRange"]
        start, end = _time(range_["from"]), _time(range_["to"])
        values = {band: np.zeros(geobox.shape) for band in script.inputs}
        mask = values.setdefault("dataMask", np.zeros(geobox.shape))
        area = shapely.box(*geobox.geographic_extent.boundingbox)
        granules = self._granules(collection, area, start, end + timedelta(seconds=1))
        if (limit := data["dataFilter"].get("maxCloudCoverage")) is not None:
            granules = [one for one in granules if self._cloud_cover(one, collection) <= limit]
        harmonized = data.get("processing", {}).get("harmonizeValues", True)
        archive = self.archives[collection]
        for granule in sorted(granules, key=lambda g: g.time, reverse=True):
            if granule.acquisition.key in self.gone:
                continue
            inside = _inside(granule.cell, geobox) & (mask == 0)
            if not inside.any():
                continue
            rows, columns = (_span(inside.any(axis=axis)) for axis in (1, 0))
            part = geobox[rows, columns]
            measured = tuple(b for b in script.inputs if b in archive.bands) or archive.bands[:1]
            pixels = archive.points(granule.acquisition, part, measured)
            found = dict(
                zip(measured, _physical(pixels, measured, script, harmonized), strict=True)
            )
            for band in _CLOUDS.keys() & script.inputs:
                thick, thin, _ = archive.cloud_truth(granule.acquisition, part)
                found[band] = np.where(thick | thin, *map(float, _CLOUDS[band]))
            seen = inside[rows, columns] & pixels.data_mask
            for band in found.keys() & script.inputs:
                np.copyto(values[band][rows, columns], found[band], where=seen)
            np.copyto(mask[rows, columns], 1.0, where=seen)
        return values

    def _cloud_cover(self, granule: _Granule, collection: str) -> float:
        """As the catalog tells it."""
        (item,) = self.items([_item(granule, collection)])
        return float(item["properties"]["eo:cloud_cover"])

    def _granules(
        self, collection: str, area: shapely.Geometry, start: datetime, end: datetime
    ) -> list[_Granule]:
        """Of the half-open period, in the cells that an area touches."""
        west, south, east, north = area.bounds
        found = []
        archive = self.archives[collection]
        around = box(west, south, east, north, "EPSG:4326")
        for acquisition in archive.search(around, start - _WITHIN_A_PASS, end):
            for x in range(math.floor(west), math.ceil(east)):
                for y in range(math.floor(south), math.ceil(north)):
                    when = acquisition.datetime + timedelta(seconds=SECONDS_PER_DEGREE * (89 - y))
                    if not start <= when < end:
                        continue
                    footprint = _footprint(_ARCHIVES[collection], acquisition.key, (x, y))
                    if footprint is not None:
                        found.append(_Granule(acquisition, (x, y), when, footprint))
        return found


def _physical(
    pixels: Pixels, bands: Sequence[str], script: _Evalscript, harmonized: bool
) -> list[NDArray[np.float64]]:
    """Values in the units that a script asks for; harmonized digital numbers have no offset."""
    found = []
    for numbers, band, scale, offset in zip(
        pixels.values, bands, pixels.scale, pixels.offset, strict=True
    ):
        values = numbers.astype(np.float64)
        if script.inputs.get(band) != "DN":
            values = values * scale + offset
        elif harmonized:
            values = np.maximum(values + offset / scale, 0.0)
        found.append(values)
    return found


class Refusal(Exception):  # noqa: N818
    """An error that the service answers."""

    def __init__(self, status: int, message: str, code: str, errors: Sequence[Any] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.errors = list(errors)


@dataclass(frozen=True)
class _Granule:
    acquisition: Acquisition
    cell: tuple[int, int]
    """Its south-west corner, degrees."""
    time: datetime
    footprint: shapely.Geometry


@lru_cache(maxsize=4096)
def _footprint(
    archive: type[SimulatedArchive], key: str, cell: tuple[int, int]
) -> shapely.Geometry | None:
    """The part of a cell that a pass's swath covers."""
    side, (x, y) = 100, cell
    places = (np.arange(side) + 0.5) / side
    longitude, latitude = (v.ravel() for v in np.meshgrid(x + places, y + places))
    seen = np.abs(archive.mission.pass_of(key).across_track(longitude, latitude)) <= 1
    if not seen.any():
        return None
    # The swath's edges are nearly straight.
    hull = shapely.MultiPoint(np.column_stack([longitude[seen], latitude[seen]])).convex_hull
    reach = hull.buffer(1 / side, join_style="mitre")
    return reach.intersection(shapely.box(x, y, x + 1, y + 1))


def _item(granule: _Granule, collection: str) -> dict[str, Any]:
    acquisition, (x, y) = granule.acquisition, granule.cell
    start = f"{acquisition.datetime:%Y%m%dT%H%M%S}"
    tile = f"{(x + 180) // 6 + 1:02d}{chr(65 + (y + 90) // 8)}{_letter(x)}{_letter(y)}"
    orbit = int(acquisition.properties["sat:relative_orbit"])
    satellite = acquisition.key[2]
    properties: dict[str, Any] = {
        "datetime": granule.time.isoformat().replace("+00:00", "Z"),
        "platform": acquisition.platform,
        "gsd": 10,
    }
    if acquisition.cloud_cover is not None:
        properties["eo:cloud_cover"] = acquisition.cloud_cover
    if collection == "sentinel-1-grd":
        datatake = f"{orbit:06d}_{int(acquisition.datetime.timestamp()) // 60 % 16**6:06X}"
        name = f"S1{satellite}_IW_GRDH_1SDV_{start}_{start}_{datatake}_{abs(x):02X}{abs(y):02X}"
        properties |= {
            "sat:orbit_state": acquisition.properties["sat:orbit_state"],
            "sar:instrument_mode": "IW",
            "s1:polarization": "DV",
            "s1:resolution": "HIGH",
        }
    elif collection.startswith("landsat"):
        number = acquisition.platform[-1]
        name = f"LC0{number}_L1TP_{orbit:03d}{y + 90:03d}_{start[:8]}_{start[:8]}_02_T1"
    else:
        level = collection[-3:].upper()
        baseline = acquisition.properties["s2:processing_baseline"].replace(".", "")
        name = f"S2{satellite}_MSI{level}_{start}_N{baseline}_R{orbit:03d}_T{tile}_{start}.SAFE"
        properties["constellation"] = "sentinel-2"
    return {
        "stac_version": "1.0.0",
        "type": "Feature",
        "id": name,
        "collection": collection,
        "geometry": shapely.geometry.mapping(granule.footprint),
        "bbox": list(granule.footprint.bounds),
        "properties": properties,
        "links": [],
        "assets": {},
    }


def _letter(number: int) -> str:
    return chr(65 + number % 26)


def _passes_filter(item: Mapping[str, Any], text: str | None) -> bool:
    """Equalities joined by AND are all that is understood."""
    for part in (text or "").split(" AND ") if text else ():
        name, value = re.fullmatch(r"\s*([\w:]+)\s*=\s*'([^']*)'\s*", part).groups()  # type: ignore[union-attr]
        if str(item["properties"].get(name)) != value:
            return False
    return True


@dataclass(frozen=True)
class _Evalscript:
    inputs: Mapping[str, str]
    """Band -> unit."""
    outputs: Mapping[str, Sequence[tuple[float, str]]]
    """Identifier -> the bands of the image, each a factor and an input band."""
    sample_type: str

    @classmethod
    def read(cls, script: str) -> _Evalscript:
        """Of scripts that give input bands, each times a number or not; Raises Refusal."""

        def strings(found: re.Match[str] | None) -> list[str]:
            return re.findall(r'"(\w+)"', found.group(1)) if found else []

        if not script.startswith("//VERSION=3"):
            raise Refusal(400, "evalscript.js: no version", "RENDERER_EXCEPTION")
        bands = strings(re.search(r"bands:\s*\[([^\]]*)\]", script))
        units = strings(re.search(r"units:\s*\[([^\]]*)\]", script)) or ["DN"] * len(bands)
        kind = re.search(r'sampleType:\s*"(\w+)"', script)
        returned = script[script.index("evaluatePixel") :]
        named = re.findall(r"(\w+):\s*\[([^\]]*)\]", returned)
        if not named:
            plain = re.search(r"return\s*\[([^\]]*)\]", returned)
            named = [("default", plain.group(1))] if plain else []
        outputs = {}
        for name, terms in named:
            read = [
                re.fullmatch(r"\s*(?:([\d.]+)\s*\*\s*)?samples?\.(\w+)\s*", term)
                for term in terms.split(",")
            ]
            outputs[name] = [(float(m.group(1) or 1), m.group(2)) for m in read if m]
            if len(outputs[name]) != len(read) or any(b not in bands for _, b in outputs[name]):
                raise Refusal(
                    400, f"evalscript.js: cannot evaluate [{terms}]", "RENDERER_EXCEPTION"
                )
        declared = re.findall(r"bands:\s*(\d+)", script)
        if not bands or len(units) != len(bands) or not kind or not outputs:
            raise Refusal(400, "evalscript.js: setup is not understood", "RENDERER_EXCEPTION")
        if sorted(map(int, declared)) != sorted(len(o) for o in outputs.values()):
            raise Refusal(400, "evalscript.js: wrong number of bands", "RENDERER_EXCEPTION")
        return cls(dict(zip(bands, units, strict=True)), outputs, kind.group(1))


def _geobox(bounds: Mapping[str, Any], width: int, height: int) -> GeoBox:
    west, south, east, north = bounds["bbox"]
    epsg = re.fullmatch(
        r"http://www\.opengis\.net/def/crs/EPSG/0/(\d+)", bounds["properties"]["crs"]
    )
    if epsg is None:
        raise Refusal(400, "Unsupported CRS", "COMMON_BAD_PAYLOAD")
    affine = Affine((east - west) / width, 0, west, 0, (south - north) / height, north)
    return GeoBox((height, width), affine, f"EPSG:{epsg.group(1)}")


def _inside(cell: tuple[int, int], geobox: GeoBox) -> NDArray[np.bool_]:
    """Pixels whose centre is in a cell."""
    west, south, east, north = geobox.geographic_extent.boundingbox
    x, y = cell
    if x <= west and y <= south and x + 1 >= east and y + 1 >= north:
        return np.ones(geobox.shape, np.bool_)
    rows, columns = np.mgrid[: geobox.shape[0], : geobox.shape[1]] + 0.5
    eastings, northings = geobox.affine * (columns, rows)
    to_degrees = Transformer.from_crs(str(geobox.crs), "EPSG:4326", always_xy=True)
    longitude, latitude = to_degrees.transform(eastings, northings)
    found: NDArray[np.bool_] = (np.floor(longitude) == x) & (np.floor(latitude) == y)
    return found


def _span(any_: NDArray[np.bool_]) -> slice:
    found = np.flatnonzero(any_)
    return slice(int(found[0]), int(found[-1]) + 1)


def _tiff(image: NDArray[np.float64], sample_type: str) -> bytes:
    file = io.BytesIO()
    dtype = {"UINT8": np.uint8, "UINT16": np.uint16}[sample_type]
    tifffile.imwrite(
        file,
        image.astype(dtype),
        photometric="minisblack",
        planarconfig="contig",
        compression="zlib",
        compressionargs={"level": 1},
        metadata=None,
    )
    return file.getvalue()


def _tar(parts: Sequence[tuple[str, bytes]]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for name, content in parts:
            member = tarfile.TarInfo(f"{name}.tif")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return file.getvalue()


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


@contextmanager
def started(
    seed: int = 42, cloudiness: float = 1.0, **settings: Any
) -> Iterator[SentinelHubServer]:
    """A running stand-in over the planet of a seed; ``settings`` are fields of
    `SentinelHubServer`."""
    _compile()
    archives = {name: of(seed, cloudiness) for name, of in _ARCHIVES.items()}
    stand_in = SentinelHubServer(archives, **settings)
    with serving(_handler(stand_in)) as stand_in.base_url:
        yield stand_in


@cache
def _compile() -> None:
    """Compile what computes the pixels: within a request it may take longer than a client waits."""
    archive = SimulatedArchive()
    grid = GeoBox((2, 2), Affine(10, 0, 460_000, 0, -10, 5_100_000), "EPSG:32633")
    found, *_ = archive.search(
        grid.extent, datetime(2019, 6, 1, tzinfo=UTC), datetime(2019, 7, 1, tzinfo=UTC)
    )
    archive.read(found, grid, archive.bands)


def _handler(stand_in: SentinelHubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BreakableHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:  # noqa: N802
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kind = KINDS.get(self.path, "other")
            fault = stand_in.begin(kind, body)
            try:
                self._answer(kind, body, fault)
            finally:
                stand_in.end()

        def do_GET(self) -> None:  # noqa: N802
            self.do_POST()

        def _answer(self, kind: str, body: bytes, fault: Fault | None) -> None:
            if kind != "token":
                stop = time.monotonic() + 60
                while stand_in.at_once < stand_in.gathered and time.monotonic() < stop:
                    time.sleep(0.01)
                time.sleep(stand_in.latency)
            if isinstance(fault, Reset):
                self.reset()
                return
            if isinstance(fault, Slow):
                time.sleep(fault.seconds)
            if isinstance(fault, Page):
                page = b"<!DOCTYPE html><html><body><h1>Please sign in</h1></body></html>"
                self._send(fault.status, page, "text/html; charset=utf-8")
                return
            if isinstance(fault, Refuse):
                headers = (
                    {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
                )
                self._refuse(Refusal(fault.status, fault.message, fault.code), headers)
                return
            if isinstance(fault, ExpiredTokens):
                stand_in.expire()
            if kind == "token":
                self._token(body, cut=isinstance(fault, Cut))
                return
            if not stand_in.knows(self.headers.get("Authorization", "")):
                words = (
                    "You are not authorized! Please provide a valid access token within the "
                    "header [Authorization: Bearer <accessToken>] of your request."
                )
                self._json(401, {"code": 401, "description": words})
                return
            wait = stand_in.wait()
            if wait is not None:
                refusal = Refusal(429, "You have exceeded your rate limit", "RATE_LIMIT_EXCEEDED")
                self._refuse(refusal, {"Retry-After": str(wait)})
                return
            try:
                headers = {}
                if kind == "search":
                    found = stand_in.search(json.loads(body))
                    content, type_ = json.dumps(found).encode(), "application/json"
                elif kind == "process":
                    content, type_, price = stand_in.process(body)
                    headers["x-processingunits-spent"] = repr(price)
                    with stand_in._lock:
                        stand_in.processing_units += price
                else:
                    raise Refusal(404, "Not Found", "COMMON_NOT_FOUND")
            except Refusal as refusal:
                self._refuse(refusal, {})
                return
            except Exception as error:  # the stand-in's own mistake, or that of a test
                self._refuse(Refusal(500, f"{error!r}", "COMMON_EXCEPTION"), {})
                raise
            if isinstance(fault, Damaged):
                content = b"II*\x00\x08\x00\x00\x00 and then nothing of a TIFF"
            self._send(200, content, type_, headers, cut=isinstance(fault, Cut))

        def _token(self, body: bytes, *, cut: bool) -> None:
            token = stand_in.token(parse_qs(body.decode()))
            if token is None:
                words = "Invalid client or Invalid client credentials"
                self._json(401, {"error": "invalid_client", "error_description": words})
                return
            seconds = int(stand_in.token_seconds)
            answer = {"access_token": token, "expires_in": seconds, "token_type": "Bearer"}
            self._send(200, json.dumps(answer).encode(), "application/json", cut=cut)

        def _refuse(self, refusal: Refusal, headers: Mapping[str, str]) -> None:
            error: dict[str, Any] = {
                "status": refusal.status,
                "reason": self.responses.get(refusal.status, ("Error",))[0],
                "message": str(refusal),
                "code": refusal.code,
            }
            if refusal.errors:
                error["errors"] = refusal.errors
            self._json(refusal.status, {"error": error}, headers)

        def _json(
            self, status: int, content: Any, headers: Mapping[str, str] | None = None
        ) -> None:
            self._send(status, json.dumps(content).encode(), "application/json", headers)

        def _send(
            self,
            status: int,
            content: bytes,
            type_: str,
            headers: Mapping[str, str] | None = None,
            *,
            cut: bool = False,
        ) -> None:
            self.send_response_only(status)
            self.send_header("Date", self.date_time_string(time.time() + stand_in.clock))
            self.send_header("Content-Type", type_)
            self.send_header("Content-Length", str(len(content)))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self.end_headers()
            if cut:
                self.wfile.write(content[: len(content) // 2])
                self.wfile.flush()
                self.reset()
                return
            self.wfile.write(content)
            with stand_in._lock:
                stand_in.bytes += len(content)

    return Handler
