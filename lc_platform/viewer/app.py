"""The web map as an application: its pages, its interface, and what holds for every answer."""

from __future__ import annotations

from collections.abc import Iterable

from fastapi import APIRouter, FastAPI
from starlette.middleware.gzip import GZipMiddleware

from lc_platform.config import BaseMap
from lc_platform.reading.reader import Reader
from lc_platform.viewer import (
    acquisitions,
    area,
    areas,
    chips,
    files,
    judging,
    layers,
    patches,
    pixel,
    search,
    states,
    tiles,
    transitions,
    wmts,
    wrong_labels,
)
from lc_platform.viewer.answers import COMPRESSED_FROM
from lc_platform.viewer.caches import Caches
from lc_platform.viewer.drawing import Drawing
from lc_platform.viewer.map_metrics import CountedRequests, MapMetrics
from lc_platform.viewer.problems import RESPONSES, answer_problems
from lc_platform.viewer.sample_points import Samples
from lc_platform.viewer.scene import Scene
from lc_platform.viewer.security import SecurityHeaders, headers
from lc_platform.viewer.view import View

_ROUTERS: tuple[APIRouter, ...] = (
    area.router,
    pixel.router,
    patches.router,
    states.router,
    areas.router,
    acquisitions.router,
    search.router,
    transitions.router,
    wrong_labels.router,
    judging.router,
    judging.writing,
    layers.router,
    tiles.router,
    wmts.router,
    chips.router,
)
"""The parts of the interface, each of which is a module of this room with its ``router``."""


def create_app(
    reader: Reader,
    *,
    dagster: str | None = None,
    base_map: BaseMap | None = None,
    user_header: str | None = None,
    hosts: Iterable[str] = (),
) -> FastAPI:
    """Return the web map of what was opened.

    dagster      the address of Dagster's UI, for links to it
    base_map     tiles of another server below the layers; nothing else is asked of other servers
    user_header  the header in which a proxy says who is logged in; None where nobody logs in
    hosts        names beside this machine's own by which the one person asks who has started it

    Its addresses are relative: it is mounted where one likes. Every endpoint finds the View, and
    what is kept between requests, in the app's state.
    """
    # FastAPI's pages of documentation would load scripts from elsewhere.
    app = FastAPI(title="lc_platform map", docs_url=None, redoc_url=None, responses=RESPONSES)
    dagster = dagster.rstrip("/") if dagster else None
    names = frozenset(name.lower() for name in hosts)
    app.state.view = View(reader, dagster, base_map, user_header, names)
    app.state.caches = Caches.of(reader)
    app.state.samples = Samples(reader)
    app.state.scene = Scene(reader)
    app.state.metrics = MapMetrics()
    app.state.drawing = Drawing(app.state.scene, app.state.metrics)
    answer_problems(app)
    for router in _ROUTERS:
        app.include_router(router)
    app.include_router(files.router())
    app.add_middleware(GZipMiddleware, minimum_size=COMPRESSED_FROM, compresslevel=5)
    app.add_middleware(SecurityHeaders, headers=headers(base_map))
    app.add_middleware(CountedRequests, metrics=app.state.metrics)
    return app
