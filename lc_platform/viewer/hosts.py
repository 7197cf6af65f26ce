"""The names by which the web map may be asked."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_HOST = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
"""A name, or an address, with or without a port."""


def name_of(host: str) -> str | None:
    """Return the name or the address in a header Host, in lower case and without the port; None
    where the header is no such thing."""
    found = _HOST.fullmatch(host)
    return found[1].strip("[]").lower() if found else None


def is_this_machine(host: str) -> bool:
    """Whether a host's name or address, with or without a port, is of this machine alone."""
    name = name_of(host)
    try:
        return name == "localhost" or ipaddress.ip_address(name or "").is_loopback
    except ValueError:
        return False


class ExpectedHosts:
    """Middleware that refuses requests for other hosts than this machine and some names.

    Another site may have its own name lead to this machine, and its page would read the map then
    as if it were its own.

    names  beside this machine's own; any where None
    """

    def __init__(self, app: ASGIApp, names: Sequence[str] | None) -> None:
        self._app = app
        self._names = None if names is None else {name.lower() for name in names}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_expected(Headers(scope=scope).get("host", "")):
            answer = PlainTextResponse(
                "The map is asked by another name than this machine's. Open it at localhost, or "
                "name the host that leads to it: lc-platform map --allow-host NAME",
                421,
                {"X-Content-Type-Options": "nosniff"},
            )
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_expected(self, host: str) -> bool:
        name = name_of(host)
        return name is not None and (
            self._names is None or name in self._names or is_this_machine(host)
        )
