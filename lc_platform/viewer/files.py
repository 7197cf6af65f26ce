"""The page's own files, and those of MapLibre, which lie in packages."""

from __future__ import annotations

import mimetypes
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from fastapi import APIRouter, Request
from starlette.responses import Response

from lc_platform.reading.errors import NotFoundError, nearest
from lc_platform.viewer.answers import Tagged, tagged

STATIC = Path(__file__).parent / "static"
_VENDORED = ("maplibre-gl.js", "maplibre-gl.css")


def router() -> APIRouter:
    """Return the routes of files: each page in ``static`` (``index.html`` as ``/``, others by their
    name), and what pages are made of."""
    routes = APIRouter(include_in_schema=False)
    static, vendored = _in_static(), _of_maplibre()
    pages = {name.removesuffix(".html"): static[name] for name in static if name.endswith(".html")}

    def page(name: str) -> None:
        @routes.get("/" if name == "index" else f"/{name}")
        def show(request: Request) -> Response:
            return _answer(request, pages[name])

    for name in pages:
        page(name)

    @routes.get("/static/{name}")
    def of_the_page(request: Request, name: str) -> Response:
        return _answer(request, _named(static, name))

    @routes.get("/vendor/{name}")
    def of_others(request: Request, name: str) -> Response:
        return _answer(request, _named(vendored, name))

    return routes


def _in_static() -> Mapping[str, Path]:
    return {path.name: path for path in sorted(STATIC.glob("*.*"))}


def _of_maplibre() -> Mapping[str, Path]:
    # Found, not imported: the package's Python is not needed.
    spec = find_spec("maplibre")
    assert spec is not None
    assert spec.origin is not None
    folder = Path(spec.origin).parent / "srcjs"
    return {name: folder / name for name in _VENDORED}


def _named(files: Mapping[str, Path], name: str) -> Path:
    """Return a file by its name among those that there are: no name is made a path."""
    if name not in files:
        raise NotFoundError(f"{name}: is no file of the map; {nearest(name, files)}")
    return files[name]


@lru_cache(maxsize=256)
def _content(path: Path, changed: int) -> Tagged:  # noqa: ARG001 - read again when it changed
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if path.suffix in (".js", ".mjs"):
        kind = "text/javascript"
    if kind.startswith("text/") or kind == "image/svg+xml":
        kind += "; charset=utf-8"
    return Tagged.of(path.read_bytes(), kind, level=9)


def _answer(request: Request, path: Path) -> Response:
    return tagged(request, _content(path, path.stat().st_mtime_ns))
