"""Headers that tell a browser what the page may do."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lc_platform.config import BaseMap


def headers(base_map: BaseMap | None) -> Mapping[str, str]:
    """Return the headers of every answer: nothing but the map's own files and the base map's tiles
    is loaded, and no other page shows the map in a frame."""
    other = f" {base_map.origin}" if base_map else ""
    policy = {
        "default-src": "'self'",
        "img-src": f"'self' data: blob:{other}",
        "connect-src": f"'self'{other}",
        "worker-src": "'self' blob:",
        "style-src": "'self'",
        "script-src": "'self'",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'self'",
    }
    return {
        "Content-Security-Policy": "; ".join(f"{name} {of}" for name, of in policy.items()),
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "SAMEORIGIN",
        "Referrer-Policy": "same-origin",
        "Permissions-Policy": "camera=(), microphone=(), geolocation=(self)",
        "Cross-Origin-Resource-Policy": "same-origin",
    }


class SecurityHeaders:
    """Middleware that adds headers to every answer."""

    def __init__(self, app: ASGIApp, headers: Mapping[str, str]) -> None:
        self._app = app
        self._headers = headers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                to = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    to.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, sent)
