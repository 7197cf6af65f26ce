"""The web map as a server of its own, and as one below an address of others."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from html import escape

import uvicorn
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from lc_platform.errors import PlatformError
from lc_platform.reading.reader import Reader
from lc_platform.runtime import signals
from lc_platform.runtime.interruption import StopRequested
from lc_platform.storage import exclusive
from lc_platform.storage.errors import StorageError
from lc_platform.viewer.app import create_app
from lc_platform.viewer.hosts import ExpectedHosts
from lc_platform.viewer.map_metrics import WithMetrics

REQUEST_SECONDS = 20.0
"""In which a request must have arrived, with its body."""
LONGEST_HEAD = 65536
"""Bytes of a request's first line and headers."""
ENDS = 5
"""Seconds that answers are given to end when the server is asked to."""
CONNECTIONS = 500
"""At once; more are told to come again. They stay below the usual limit of a process's files."""
TRY_AGAIN = 5.0
"""Seconds after which a map that could not be opened is tried again."""
_LOG = logging.getLogger(__name__)


def app_of(
    reader: Reader,
    *,
    dagster: str | None = None,
    user_header: str | None = None,
    hosts: Sequence[str] = (),
) -> FastAPI:
    """Return the web map of what was opened, with the base map of its configuration.

    dagster, user_header, hosts  as `create_app` takes them
    """
    base_map = None if reader.config is None else reader.config.viewer.base_map
    if base_map is not None:
        base_map = base_map.model_copy(update={"tiles": base_map.url})
    return create_app(
        reader, dagster=dagster, base_map=base_map, user_header=user_header, hosts=hosts
    )


def doubt(reader: Reader) -> str | None:
    """Return what judgements cannot rely on in the store that was opened, see `exclusive.doubt`.

    Nothing where it takes no files of these credentials: then nobody judges, and is told so.
    """
    try:
        return exclusive.doubt(reader.store)
    except StorageError:
        return None


class Below:
    """An application that lies below a path of another one.

    path    begins with a slash and does not end with one; empty where it lies at the root
    beside  answers all other paths; where None, the root leads to the path
    """

    def __init__(self, path: str, app: ASGIApp, beside: ASGIApp | None = None) -> None:
        self._path = path
        self._app = app
        self._beside = beside or self._lead

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if scope["type"] != "http" or not (path == self._path or self._holds(path)):
            await self._beside(scope, receive, send)
        elif not self._holds(path):
            await RedirectResponse(f"{self._path}/")(scope, receive, send)
        else:
            inner = {**scope, "root_path": scope.get("root_path", "") + self._path}
            await self._app(inner, receive, send)

    def _holds(self, path: str) -> bool:
        return path.startswith(f"{self._path}/")

    async def _lead(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] != "http":
            await send({"type": "websocket.close", "code": 1000})
        elif scope["path"] == "/":
            await RedirectResponse(f"{self._path}/")(scope, receive, send)
        else:
            text = f"The map is at {self._path}/"
            await PlainTextResponse(text, 404)(scope, receive, send)


class Opened:
    """An application that is made when it is first asked for; where that fails, the answer says
    why, and is tried again."""

    def __init__(self, make: Callable[[], ASGIApp]) -> None:
        self._make = make
        self._making = asyncio.Lock()
        self._app: ASGIApp | None = None
        self._why = ""
        self._failed = -TRY_AGAIN

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._making:
            if self._app is None and time.monotonic() - self._failed > TRY_AGAIN:
                await self._open()
        if self._app is not None:
            await self._app(scope, receive, send)
            return
        page = f"<!doctype html><title>Map</title><p>The map cannot be opened: {escape(self._why)}"
        await HTMLResponse(page, 503)(scope, receive, send)

    async def _open(self) -> None:
        try:
            self._app = await asyncio.to_thread(self._make)
        except PlatformError as error:
            self._why = str(error)
            _LOG.warning("the map cannot be opened: %s", error)
        except Exception as error:  # whatever it is: what lies beside goes on
            self._why = f"{type(error).__name__}. The log of `lc-platform ui` says more"
            _LOG.exception("the map cannot be opened")
        self._failed = time.monotonic()


class Punctual(HttpToolsProtocol):
    """A connection that is closed where a request does not arrive in time, or has too much in its
    head: a client that sends a byte now and then would keep it for ever."""

    _late: asyncio.TimerHandle | None = None
    _head = 0
    """Bytes that have come of a request whose head is not complete."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        self._head += len(data)
        super().data_received(data)
        if self._head > LONGEST_HEAD:
            self._give_up()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._expect()

    def on_headers_complete(self) -> None:
        super().on_headers_complete()
        self._head = 0

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._head = 0
        self._stop_waiting()

    def on_body(self, body: bytes) -> None:
        super().on_body(body)
        self._head = 0

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def _expect(self) -> None:
        self._stop_waiting()
        self._late = self.loop.call_later(REQUEST_SECONDS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _give_up(self) -> None:
        self._stop_waiting()
        self.transport.abort()


def server_of(
    app: Starlette, *, path: str, hosts: Sequence[str] | None = None, proxied: bool = False
) -> uvicorn.Server:
    """Return a server of the web map below a path, and of its metrics under /metrics.

    app      as `app_of` makes it
    path     as `Below` takes it
    hosts    names by which it may be asked beside this machine's own; any where None
    proxied  whether all requests come through a proxy, which says by X-Forwarded-Proto how it was
             asked
    """
    settings = uvicorn.Config(
        ExpectedHosts(WithMetrics(Below(path, app), app.state.metrics), hosts),
        http=Punctual,
        ws="none",
        log_level="warning",
        server_header=False,
        proxy_headers=proxied,
        forwarded_allow_ips="*" if proxied else None,
        limit_concurrency=CONNECTIONS,
        timeout_graceful_shutdown=ENDS,
    )
    return uvicorn.Server(settings)


def serve(server: uvicorn.Server, listening: socket.socket) -> None:
    """Serve until a signal comes; a second one ends the process at once.

    listening  the socket
    """

    def end(_: int) -> None:
        server.should_exit = True

    # What a request is doing may be stopped on request too.
    with suppress(StopRequested):
        signals.stoppable(partial(server.run, sockets=[listening]), end)
