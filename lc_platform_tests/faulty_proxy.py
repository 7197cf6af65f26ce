"""A proxy before an HTTP server that counts what passes, and fails as it is told to."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from lc_platform_tests.breakable import BreakableHandler, serving


@dataclass
class Request:
    """What passed."""

    method: str
    path: str
    range: str | None
    bytes: int = 0
    """Of the answer's body."""


@dataclass(frozen=True)
class Refuse:
    """An answer of the store's own kind, instead of the server's."""

    status: int
    code: str


@dataclass(frozen=True)
class Slow:
    """Half of the answer's body comes after a time."""

    seconds: float


class Reset:
    """The connection is broken before an answer."""


class Cut:
    """The connection is broken in the middle of the answer's body."""


Failure = Refuse | Slow | Reset | Cut


@dataclass
class FaultyProxy:
    """Between a client and ``upstream``."""

    upstream: str
    fail: Callable[[Request], Failure | None] = lambda _: None
    """Asked at every request."""
    alter: Callable[[str, str, dict[str, str]], dict[str, str]] = lambda _, __, headers: headers
    """Gives the headers that are passed on, of a method, a path and the client's headers."""
    requests: list[Request] = field(default_factory=list)
    endpoint: str = ""
    at_once: int = 0
    """The most requests that were under way at the same time."""
    _under_way: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @contextmanager
    def counted(self, request: Request) -> Iterator[None]:
        with self._lock:
            self.requests.append(request)
            self._under_way += 1
            self.at_once = max(self.at_once, self._under_way)
        try:
            yield
        finally:
            with self._lock:
                self._under_way -= 1

    def count(self, method: str = "") -> int:
        return sum(one.method.startswith(method) for one in self.requests)


@contextmanager
def faulty_proxy(upstream: str) -> Iterator[FaultyProxy]:
    """A running proxy."""
    proxy = FaultyProxy(upstream)
    with serving(_handler(proxy)) as proxy.endpoint:
        yield proxy


def _handler(proxy: FaultyProxy) -> type[BaseHTTPRequestHandler]:
    address = urlsplit(proxy.upstream)

    class Handler(BreakableHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            request = Request(self.command, self.path, self.headers.get("Range"))
            with proxy.counted(request):
                failure = proxy.fail(request)
                if isinstance(failure, Reset):
                    self.reset()
                elif isinstance(failure, Refuse):
                    self._refuse(failure)
                else:
                    self._forward(request, body, failure)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _pass  # noqa: N815

        def _forward(self, request: Request, body: bytes, failure: Failure | None) -> None:
            upstream = http.client.HTTPConnection(address.netloc, timeout=60)
            try:
                headers = proxy.alter(self.command, self.path, dict(self.headers.items()))
                upstream.request(self.command, self.path, body, headers)
                answer = upstream.getresponse()
                content = answer.read()
            finally:
                upstream.close()
            head = self.command == "HEAD"
            request.bytes = len(content)
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                    self.send_header(name, value)
            size = answer.getheader("Content-Length") if head else str(len(content))
            self.send_header("Content-Length", size or "0")
            self.end_headers()
            if isinstance(failure, Slow):
                half = len(content) // 2
                self.wfile.write(content[:half])
                self.wfile.flush()
                time.sleep(failure.seconds)
                content = content[half:]
            if isinstance(failure, Cut) and content:
                self.wfile.write(content[: len(content) // 2])
                self.wfile.flush()
                self.reset()
                return
            self.wfile.write(content)

        def _refuse(self, failure: Refuse) -> None:
            content = (
                f"<?xml version='1.0'?><Error><Code>{failure.code}</Code>"
                f"<Message>{failure.code}</Message></Error>"
            ).encode()
            self.send_response_only(failure.status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(content)))
            # Azure's, which an answer to HEAD has no other place for.
            self.send_header("x-ms-error-code", failure.code)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

    return Handler
