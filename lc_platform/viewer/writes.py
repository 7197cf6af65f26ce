"""What a request must bring that writes something."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any
from urllib.parse import urlsplit

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

from lc_platform.viewer.hosts import is_this_machine, name_of
from lc_platform.viewer.view import View

HEADER = "X-LC-Platform"
"""A header that other sites' pages cannot send without being asked first whether they may."""
MOST_BYTES = 16_384
"""Of a request's body."""
_LONGEST_NAME = 200


class Writing(APIRoute):
    """An address that writes: it refuses who is not logged in, pages of other sites, and what is
    too large, before anything of the request's body is read."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def guarded(request: Request) -> Response:
            _expect_same_site(request)
            view: View = request.app.state.view
            person(view, request)
            _expect_small(request)
            return await handler(request)

        return guarded


def person(view: View, request: Request) -> str:
    """Return who is logged in. Raises HTTPException where nobody is."""
    name = (view.user(request) or "").strip()
    if not name:
        raise HTTPException(
            401, "Nobody is logged in, and a judgement is somebody's. Log in, and send it again"
        )
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise HTTPException(
            401,
            f"The name of who is logged in has {len(name)} characters, or some that cannot be "
            f"shown; at most {_LONGEST_NAME} are taken. Change it where people log in",
        )
    return name


def _expect_same_site(request: Request) -> None:
    headers = request.headers
    asked = headers.get("host", "")
    source = headers.get("origin") or headers.get("referer") or ""
    # A browser that says so knows better than two names that are alike.
    other = headers.get("sec-fetch-site", "same-origin") != "same-origin"
    if other or not asked or urlsplit(source).netloc != asked:
        raise HTTPException(
            403,
            f"This comes from {source[:200] or 'no page'}, and only the map's own page ({asked}) "
            "may judge. Where that is the map's, have the proxy pass on the header Host",
        )
    if headers.get(HEADER) != "1":
        raise HTTPException(403, f"Only the map's own page may judge, which sends {HEADER}: 1")
    view: View = request.app.state.view
    if (
        view.user_header is None
        and request.client is not None
        and is_this_machine(request.client.host)
        and not is_this_machine(asked)
        and name_of(asked) not in view.hosts
    ):
        # Another site's name may be made to lead to this machine.
        raise HTTPException(
            403,
            f"{asked} is not this machine's own name, and nobody logs in here. Open the map at "
            "localhost, allow the name (lc-platform map --allow-host NAME), or open it behind a "
            "proxy that says who is logged in",
        )


def _expect_small(request: Request) -> None:
    length = request.headers.get("content-length", "")
    if not length.isdecimal():
        raise HTTPException(411, "The request does not say its Content-Length. Send it")
    if int(length) > MOST_BYTES:
        raise HTTPException(
            413, f"The request has {length} bytes; at most {MOST_BYTES} are taken. Shorten it"
        )
