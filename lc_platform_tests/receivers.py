"""Servers that take what the platform sends to people."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from lc_platform.monitoring.notify import (
    Mail,
)


@dataclass
class Webhook:
    url: str
    received: list[str] = field(default_factory=list)
    """The texts, in order."""
    status: int = 200
    """That is answered."""
    delay: float = 0.0
    """Seconds after which it is."""


@contextmanager
def webhook() -> Iterator[Webhook]:
    """A server that takes Slack's webhook."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            time.sleep(hook.delay)
            if hook.status == 200:
                hook.received.append(body["text"])
            self.send_response(hook.status)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Not to the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook = Webhook(f"http://127.0.0.1:{server.server_port}/services/T0/B0/secret")
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hook
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@dataclass
class MailServer:
    host: str
    port: int
    received: list[EmailMessage]
    senders: list[str]
    """Who had logged in when each came."""


@contextmanager
def mail_server(
    user: str | None = None, password: str = "", port: int | None = None
) -> Iterator[MailServer]:
    """A mail server; with a user, one that takes nothing from anybody else."""

    class Inbox:
        async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
            parsed = message_from_bytes(envelope.content, policy=policy.default)
            assert isinstance(parsed, EmailMessage)
            mail.received.append(parsed)
            mail.senders.append(session.auth_data.login.decode() if session.auth_data else "")
            return "250 OK"

    def known(*asked: Any) -> AuthResult:
        data = asked[-1]
        right = isinstance(data, LoginPassword) and data == LoginPassword(
            (user or "").encode(), password.encode()
        )
        return AuthResult(success=right, handled=False, auth_data=data if right else None)

    if port is None:
        with socket.socket() as free:  # the controller asks itself at its port, and 0 is none
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
    controller = Controller(
        Inbox(),
        hostname="127.0.0.1",
        port=port,
        authenticator=known if user else None,
        auth_required=user is not None,
        auth_require_tls=False,
    )
    mail = MailServer("127.0.0.1", port, [], [])
    controller.start()
    try:
        yield mail
    finally:
        controller.stop()


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def mail(port: int, **changed: object) -> Mail:
    known = {"user": None, "password": None, "security": "none", "timeout": 5, **changed}
    return Mail("127.0.0.1", port, sender="lc@a.org", to=["b@a.org", "c@a.org"], **known)  # type: ignore[arg-type]
