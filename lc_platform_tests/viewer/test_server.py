"""The web map as a server: where it lies, whom it answers, and what it does not wait for."""

from __future__ import annotations

import http.client
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from lc_platform.commands import ports
from lc_platform.reading.errors import NotFoundError
from lc_platform.viewer import server
from lc_platform.viewer.hosts import ExpectedHosts
from lc_platform.viewer.map_metrics import MapMetrics
from lc_platform.viewer.server import Below, Opened


def seen(request: Request) -> JSONResponse:
    return JSONResponse({"root": request.scope["root_path"], "url": str(request.url_for("seen"))})


MAP = Starlette(routes=[Route("/api/area", seen, name="seen")])
MAP.state.metrics = MapMetrics()


async def _socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("Dagster's")
    await websocket.close()


def _other(_: Request) -> PlainTextResponse:
    return PlainTextResponse("Dagster's")


OTHER = Starlette(routes=[WebSocketRoute("/{at:path}", _socket), Route("/{at:path}", _other)])


def test_what_lies_below_the_path_is_the_maps_and_all_else_anothers() -> None:
    both = TestClient(Below("/map", MAP, beside=OTHER))
    assert both.get("/map/api/area").json() == {
        "root": "/map",
        "url": "http://testserver/map/api/area",
    }
    for path in ("/", "/mapped", "/maps/api/area", "/graphql", "/MAP/api/area"):
        assert both.get(path).text == "Dagster's", path
    with both.websocket_connect("/graphql") as connection:
        assert connection.receive_text() == "Dagster's"


def test_a_slash_is_added_so_that_the_pages_relative_addresses_hold() -> None:
    both = TestClient(Below("/map", MAP, beside=OTHER), follow_redirects=False)
    answer = both.get("/map", headers={"Host": "evil.example"})
    assert (answer.status_code, answer.headers["location"]) == (307, "/map/")


def test_a_map_of_its_own_leads_from_its_root_to_its_path() -> None:
    alone = TestClient(Below("/map", MAP), follow_redirects=False)
    assert alone.get("/").headers["location"] == "/map/"
    assert alone.get("/map/api/area").status_code == 200
    assert alone.get("/elsewhere").status_code == 404
    assert TestClient(Below("", MAP)).get("/api/area").json()["root"] == ""


def test_a_map_that_cannot_be_opened_says_why_and_leaves_dagster_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    faults: list[Exception] = [RuntimeError("<secret>"), NotFoundError("data: is <no> store")]

    def make() -> Starlette:
        if faults:
            raise faults.pop()
        return MAP

    both = TestClient(Below("/map", Opened(make), beside=OTHER))
    first = both.get("/map/api/area")
    assert first.status_code == 503
    assert "data: is &lt;no&gt; store" in first.text
    assert both.get("/map/api/area").text == first.text  # not tried again at once
    assert both.get("/graphql").text == "Dagster's"
    monkeypatch.setattr(server, "TRY_AGAIN", 0.0)
    second = both.get("/map/api/area")
    assert (second.status_code, "secret" in second.text) == (503, False)
    assert "RuntimeError" in second.text
    assert both.get("/map/api/area").status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200), ("localhost:3002", 200), ("127.0.0.1:3002", 200), ("[::1]:3002", 200),
        ("Hub.example.org", 200), ("hub.example.org:443", 200),
        ("evil.example", 421), ("localhost.evil.example", 421), ("127.0.0.1.evil.example", 421),
        ("evil.example:3002", 421), ("localhost@evil.example", 421), ("[", 421), ("", 421),
        ("10.0.0.1", 421), ("127.0.0.1#x", 421), ("localhost:999999", 421),
    ],
)  # fmt: skip
def test_a_name_that_another_site_has_lead_here_is_refused(host: str, status: int) -> None:
    guarded = TestClient(ExpectedHosts(Below("/map", MAP), ["hub.example.org"]))
    assert guarded.get("/map/api/area", headers={"Host": host}).status_code == status


@pytest.mark.parametrize(
    ("host", "status"),
    [("any.example", 200), ("[2001:db8::1]:80", 200), ('a"><b>', 421), ("a b", 421), ("a/b", 421)],
)
def test_behind_a_proxy_any_name_is_a_name(host: str, status: int) -> None:
    guarded = TestClient(ExpectedHosts(Below("/map", MAP), None))
    assert guarded.get("/map/api/area", headers={"Host": host}).status_code == status


@contextmanager
def running(*, proxied: bool = False) -> Iterator[int]:
    """The port of a server of the map."""
    with ports.listening("127.0.0.1", 0) as listening:
        serving = server.server_of(MAP, path="/map", proxied=proxied)
        thread = threading.Thread(target=server.serve, args=(serving, listening))
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            serving.should_exit = True
            thread.join(20)
            assert not thread.is_alive()


def answer(port: int, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/map/api/area", headers=headers)
    return connection.getresponse()


def test_the_proxy_says_how_it_was_asked_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    told = {"X-Forwarded-Proto": "https", "Host": "maps.example.org"}
    with running(proxied=True) as port:
        assert b'"https://maps.example.org/map/api/area"' in answer(port, **told).read()
    with running() as port:
        response = answer(port, **told)
        assert b'"http://maps.example.org/map/api/area"' in response.read()
        assert response.getheader("Server") is None


def wait_for_the_end(connection: socket.socket) -> None:
    """Read what comes until the other side ends the connection. Raises TimeoutError."""
    with suppress(ConnectionError):
        while connection.recv(4096):
            pass


def test_a_client_that_does_not_finish_its_request_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "REQUEST_SECONDS", 0.3)
    head = b"POST /map/api/area HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
    with running() as port:
        for begun in (b"", b"GET /map", head, head + b"\r\n1234"):
            with socket.create_connection(("127.0.0.1", port), timeout=10) as slow:
                slow.sendall(begun)
                wait_for_the_end(slow)
        # A connection that is used again is in time.
        kept = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        for _ in range(3):
            kept.request("GET", "/map/api/area")
            assert kept.getresponse().read()
            time.sleep(0.2)


def test_a_head_without_end_is_cut() -> None:
    with running() as port, socket.create_connection(("127.0.0.1", port), timeout=10) as long:
        long.sendall(b"GET /map/api/area HTTP/1.1\r\nHost: localhost\r\n")
        with pytest.raises(ConnectionError):
            long.sendall((b"X-More: " + b"x" * 4000 + b"\r\n") * 5000)
