"""A STAC API and its files over HTTP on loopback: real answers, counted, and faults on demand.

It serves a folder with a static STAC catalog in three ways at once: the files as they are
(`StacServer.files`), a STAC API over the catalog's items with paging (`StacServer.api`), and, with
``signed``, files that are given only to links signed with a token of `StacServer.tokens`.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

import shapely
import shapely.geometry

from lc_platform_tests.breakable import BreakableHandler, serving
from lc_platform_tests.faulty_proxy import Cut, Reset, Slow


@dataclass
class Request:
    """What was asked for."""

    method: str
    path: str
    """Without the query."""
    query: str
    range: str | None
    headers: Mapping[str, str] = field(default_factory=dict)
    at: float = 0.0
    """Seconds on the monotonic clock."""
    status: int = 0
    bytes: int = 0
    """Of the answer's body, as far as it was sent."""


@dataclass(frozen=True)
class Answer:
    """An answer of another kind than the right one."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


HTML = Answer(200, b"<html><body>Please log in</body></html>", {"Content-Type": "text/html"})
"""What a proxy says instead of the server."""


@dataclass(frozen=True)
class Trickle:
    """The answer's body comes byte by byte, of which each takes a time."""

    seconds: float = 0.1


Failure = Answer | Slow | Reset | Cut | Trickle


@dataclass
class StacServer:
    """What is served and how, and what was asked for. All of it may be changed meanwhile."""

    folder: Path
    url: str = ""
    latency: float = 0.0
    """Seconds before each answer."""
    page: int = 100
    """Items of a page of search results at most."""
    methods: Sequence[str] = ("GET", "POST")
    """Of the search."""
    tags: bool = False
    """Whether files come with an ETag, of their content."""
    signed: bool = False
    token_seconds: float = 3600.0
    """A token's life."""
    change: Callable[[dict[str, Any]], dict[str, Any]] = lambda item: item
    """Makes of an item of the catalog the one that the API gives."""
    fail: Callable[[Request], Failure | None] = lambda _: None
    """Asked at every request."""
    requests: list[Request] = field(default_factory=list)
    at_once: int = 0
    """The most requests for files that were under way at the same time."""
    _valid: set[str] = field(default_factory=set, repr=False)
    _under_way: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @property
    def api(self) -> str:
        """URL of the STAC API's landing page."""
        return f"{self.url}/api"

    @property
    def files(self) -> str:
        """URL of the folder."""
        return f"{self.url}/files"

    @property
    def tokens(self) -> str:
        """URL of what gives tokens, before the collection's id."""
        return f"{self.url}/sas/token"

    def asked(self, path: str = "", method: str = "") -> list[Request]:
        """Requests whose path has the regular expression in it."""
        return [r for r in self.requests if re.search(path, r.path) and method in r.method]

    @property
    def of_files(self) -> list[Request]:
        """Requests for imagery."""
        return [r for r in self.requests if _is_of_file(r)]

    def reset(self) -> None:
        """Forget what was asked for."""
        with self._lock:
            self.requests.clear()
            self.at_once = 0

    def revoke(self) -> None:
        """Take no token any more that was given."""
        with self._lock:
            self._valid.clear()

    def token(self) -> dict[str, str]:
        signature = secrets.token_urlsafe(24)
        expiry = datetime.now(UTC) + timedelta(seconds=self.token_seconds)
        told = f"{expiry:%Y-%m-%dT%H:%M:%SZ}"
        with self._lock:
            self._valid.add(signature)
        return {"msft:expiry": told, "token": urlencode({"se": told, "sig": signature})}

    def takes(self, query: str) -> bool:
        signature = parse_qs(query).get("sig", [""])[0]
        with self._lock:
            return signature in self._valid

    @contextmanager
    def counted(self, request: Request) -> Iterator[None]:
        with self._lock:
            self.requests.append(request)
            self._under_way += _is_of_file(request)
            self.at_once = max(self.at_once, self._under_way)
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= _is_of_file(request)

    @cached_property
    def collections(self) -> dict[str, dict[str, Any]]:
        """By id, without their links."""
        found = {}
        for path in sorted(self.folder.rglob("collection.json")):
            collection = json.loads(path.read_text(encoding="utf-8"))
            found[collection["id"]] = {**collection, "links": []}
        return found

    @cached_property
    def items(self) -> list[dict[str, Any]]:
        """Of all collections, their assets' links absolute, in order of id."""
        found = []
        for path in self.folder.rglob("*.json"):
            item = json.loads(path.read_text(encoding="utf-8"))
            if item.get("type") != "Feature":
                continue
            folder = path.parent.relative_to(self.folder)
            for asset in item["assets"].values():
                if "://" not in asset["href"]:
                    asset["href"] = f"{self.files}/{(folder / asset['href']).as_posix()}"
            found.append({**item, "links": []})
        return sorted(found, key=lambda item: str(item["id"]))


def _is_of_file(request: Request) -> bool:
    return request.path.startswith("/files/") and request.path.endswith((".tif", ".jp2"))


@contextmanager
def stac_server(folder: Path, **settings: Any) -> Iterator[StacServer]:
    """A running server of a folder; ``settings`` are `StacServer`'s."""
    served = StacServer(folder, **settings)
    with serving(_handler(served)) as served.url:
        yield served


def _handler(served: StacServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BreakableHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            parts = urlsplit(self.path)
            self.request_of = Request(
                self.command,
                unquote(parts.path),
                parts.query,
                self.headers.get("Range"),
                dict(self.headers.items()),
                time.monotonic(),
            )
            with served.counted(self.request_of):
                time.sleep(served.latency)
                failure = served.fail(self.request_of)
                if isinstance(failure, Reset):
                    self.reset()
                    return
                answer = failure if isinstance(failure, Answer) else self._answer(body)
                self._send(answer, failure)

        do_GET = do_HEAD = do_POST = _serve  # noqa: N815

        def _answer(self, body: bytes) -> Answer:
            path, query = self.request_of.path, self.request_of.query
            if path.startswith("/files/"):
                if served.signed and path.endswith(".tif") and not served.takes(query):
                    return Answer(403, b"Server failed to authenticate the request")
                return self._file(served.folder / path.removeprefix("/files/"))
            if path.startswith("/sas/token/"):
                return _json(served.token())
            asked = {name: values[0] for name, values in parse_qs(query).items()}
            told = {"code": "NotFound", "description": "there is no such thing here"}
            missing = _json(told, 404)
            match path.rstrip("/").split("/")[1:]:
                case ["api"]:
                    return _json(self._landing_page())
                case ["api", "conformance"]:
                    return _json({"conformsTo": _CONFORMS_TO})
                case ["api", "collections"]:
                    return _json({"collections": [*served.collections.values()], "links": []})
                case ["api", "collections", id_] if id_ in served.collections:
                    return _json(served.collections[id_])
                case ["api", "collections", id_, "items", item] if id_ in served.collections:
                    return next((_json(one) for one in served.items if one["id"] == item), missing)
                case ["api", "search"] if self.command in served.methods:
                    return self._search(json.loads(body) if self.command == "POST" else asked)
            return missing

        def _file(self, path: Path) -> Answer:
            if not path.is_file():
                return Answer(404, b"not found")
            size = path.stat().st_size
            kind = {".json": "application/json", ".tif": "image/tiff"}.get(path.suffix, "")
            headers = {"Accept-Ranges": "bytes", "Content-Type": kind or "application/octet-stream"}
            if served.tags:
                headers["ETag"] = f'"{hashlib.md5(path.read_bytes()).hexdigest()}"'
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.request_of.range or "")
            if asked is None:
                return Answer(200, path.read_bytes(), headers)
            first, last = int(asked[1]), min(int(asked[2] or size), size - 1)
            if first > last:
                return Answer(416, b"", {"Content-Range": f"bytes */{size}"})
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
            with path.open("rb") as file:
                file.seek(first)
                return Answer(206, file.read(last + 1 - first), headers)

        def _landing_page(self) -> dict[str, Any]:
            links: list[dict[str, Any]] = [
                {"rel": "self", "href": served.api},
                {"rel": "root", "href": served.api},
                {"rel": "conformance", "href": f"{served.api}/conformance"},
                {"rel": "data", "href": f"{served.api}/collections"},
            ]
            for method in served.methods:
                search = {"rel": "search", "type": "application/geo+json", "method": method}
                links.append({**search, "href": f"{served.api}/search"})
            return {
                "type": "Catalog",
                "stac_version": "1.0.0",
                "id": "api",
                "description": "for tests",
                "conformsTo": _CONFORMS_TO,
                "links": links,
            }

        def _search(self, asked: dict[str, Any]) -> Answer:
            found = [item for item in served.items if _is_asked_for(item, asked)]
            # As archives do: the newest first.
            found.sort(key=lambda item: str(item["properties"]["datetime"]), reverse=True)
            first = int(asked.get("token", 0))
            after = first + min(int(asked.get("limit", 10)), served.page)
            page = [served.change(item) for item in found[first:after]]
            links: list[dict[str, Any]] = []
            if after < len(found):
                following = {**asked, "token": str(after)}
                link = {"rel": "next", "href": f"{served.api}/search", "method": self.command}
                if self.command == "POST":
                    links.append({**link, "body": following})
                else:
                    links.append({**link, "href": f"{link['href']}?{urlencode(following)}"})
            return _json({"type": "FeatureCollection", "features": page, "links": links})

        def _send(self, answer: Answer, failure: Failure | None) -> None:
            content = answer.body
            self.request_of.status = answer.status
            self.send_response_only(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "HEAD":
                return
            if isinstance(failure, Trickle):
                for place in range(len(content)):
                    self.wfile.write(content[place : place + 1])
                    time.sleep(failure.seconds)
                return
            if isinstance(failure, Slow | Cut):
                half = len(content) // 2
                self.wfile.write(content[:half])
                self.wfile.flush()
                self.request_of.bytes = half
                if isinstance(failure, Cut):
                    self.reset()
                    return
                time.sleep(failure.seconds)
                content = content[half:]
            # Before: whoever has all of it may count at once.
            self.request_of.bytes += len(content)
            self.wfile.write(content)

    return Handler


_CONFORMS_TO = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/collections",
    "https://api.stacspec.org/v1.0.0/ogcapi-features",
    "https://api.stacspec.org/v1.0.0/item-search",
]


def _json(document: Mapping[str, Any], status: int = 200) -> Answer:
    return Answer(status, json.dumps(document).encode(), {"Content-Type": "application/json"})


def _listed(value: Any) -> list[str]:
    return value.split(",") if isinstance(value, str) else list(value)


def _is_asked_for(item: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """The parameters of the STAC API's item search; an item of no geometry lies everywhere."""
    if "collections" in asked and item["collection"] not in _listed(asked["collections"]):
        return False
    if "ids" in asked and item["id"] not in _listed(asked["ids"]):
        return False
    if "datetime" in asked:
        start, end = (datetime.fromisoformat(when) for when in asked["datetime"].split("/"))
        if not start <= datetime.fromisoformat(item["properties"]["datetime"]) <= end:
            return False
    area: Any = None
    if "bbox" in asked:
        area = shapely.box(*map(float, _listed(asked["bbox"])))
    if "intersects" in asked:
        area = shapely.geometry.shape(asked["intersects"])
    footprint = item.get("geometry")
    return area is None or footprint is None or area.intersects(shapely.geometry.shape(footprint))
