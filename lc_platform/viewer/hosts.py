"""The names by which the web map may be asked."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send


def is_this_machine(host: str) -> bool:
    """Whether a host's name or address, with or without a port, is of this machine alone."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


class ExpectedHosts:
    """Middleware that refuses requests for other hosts than this machine and some names.

    Another site may have its own name lead to this machine, and its page would read the map then
    as if it were its own.
    """

    def __init__(self, app: ASGIApp, names: Sequence[str]) -> None:
        self._app = app
        self._names = {name.lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_expected(Headers(scope=scope).get("host", "")):
            answer = PlainTextResponse(
                "The map is asked by another name than this machine's. Open it at localhost, or "
                "name the host that leads to it: lc-platform map --allow-host NAME",
                421,
            )
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_expected(self, host: str) -> bool:
        if is_this_machine(host):
            return True
        try:
            return (urlsplit(f"//{host}").hostname or "") in self._names
        except ValueError:
            return False
