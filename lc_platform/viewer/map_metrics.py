"""What the map counts of itself, in Prometheus' form."""

from __future__ import annotations

import time
from typing import Literal

from prometheus_client import CollectorRegistry, Counter, Histogram, make_asgi_app
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATH = "/metrics"
"""Beside the map's own path, so that a proxy that leads to the map does not lead there."""
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 20.0)
"""Upper bounds of the histogram's buckets."""
UNKNOWN = "unknown"
"""The route of what the map has no page for: addresses that anybody makes up are no labels."""


class MapMetrics:
    """Counts of one map, from the start of its process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "lc_platform_map_requests",
            "Requests that the map answered.",
            ("route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "lc_platform_map_request_seconds",
            "Seconds from a request to the end of its answer.",
            ("route",),
            buckets=SECONDS,
            registry=self.registry,
        )
        self._tiles = Counter(
            "lc_platform_map_tiles",
            "Tiles with something on them: drawn anew, or kept from before.",
            ("origin",),
            registry=self.registry,
        )

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count an answer to a request."""
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def tile(self, origin: Literal["drawn", "cache"]) -> None:
        """Count a tile."""
        self._tiles.labels(origin).inc()


class CountedRequests:
    """Middleware that counts requests by the route that answers them."""

    def __init__(self, app: ASGIApp, metrics: MapMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.perf_counter(), 500

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        def count() -> None:
            route = getattr(scope.get("route"), "path", UNKNOWN)
            self._metrics.answered(route, status, time.perf_counter() - started)

        try:
            await self._app(scope, receive, sent)
        except Exception:
            count()
            raise
        count()


class WithMetrics:
    """A server's application, and its metrics beside."""

    def __init__(self, app: ASGIApp, metrics: MapMetrics) -> None:
        self._app = app
        self._page = make_asgi_app(metrics.registry)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_page = scope["type"] == "http" and scope["path"] == PATH
        await (self._page if is_page else self._app)(scope, receive, send)
