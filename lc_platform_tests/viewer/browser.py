"""The web map in a real browser: a server of it, and a Chromium that is watched."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

import numpy as np
import pytest

from lc_platform_tests.left_out import REQUIRED
from lc_platform_tests.servers import free_ports

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
_ARGUMENTS = (
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    # MapLibre draws with WebGL, here without a graphics card.
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)
_PATIENCE = 30.0
"""Seconds in which a thing must come true; a loaded machine draws slowly."""
_Result = TypeVar("_Result")


def require_chromium() -> None:
    """Skip a test where it is not asked for real servers."""
    if not os.environ.get(REQUIRED):
        pytest.skip(f"drives Chromium: only where {REQUIRED} is set")


@contextmanager
def served(app: Any, root: str = "/map") -> Iterator[str]:
    """Serve an application below a path of a free port; yields its first page's address."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import Mount

    [port] = free_ports(1)
    whole = Starlette(routes=[Mount(root, app)])
    server = uvicorn.Server(
        uvicorn.Config(whole, host="127.0.0.1", port=port, log_level="warning", lifespan="off")
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        eventually(lambda: server.started)
        yield f"http://127.0.0.1:{port}{root}/"
    finally:
        server.should_exit = True
        thread.join()


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_ARGUMENTS))
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watched:
    """A page, and what it did that it must not do."""

    page: Page
    address: str
    errors: list[str] = field(default_factory=list)
    """What it wrote to the console as errors and warnings, and exceptions."""
    elsewhere: list[str] = field(default_factory=list)
    """Requests to another origin."""
    may_fail: bool = False
    """Whether it is shown what goes wrong, so that errors are to be expected."""

    def __post_init__(self) -> None:
        origin = urlsplit(self.address).netloc

        def asked(request: Any) -> None:
            parts = urlsplit(request.url)
            if parts.scheme in ("http", "https") and parts.netloc != origin:
                self.elsewhere.append(request.url)

        def wrote(message: Any) -> None:
            if message.type in ("error", "warning") and "GPU stall" not in message.text:
                self.errors.append(f"{message.text} ({message.location.get('url')})")

        self.page.on("request", asked)
        self.page.on("console", wrote)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))

    def open(self, fragment: str = "") -> None:
        """Open the map at a link, and wait until it is drawn."""
        self.page.goto(f"{self.address}{fragment}")
        self.settle()

    def settle(self) -> None:
        """Wait until every map is drawn and nothing is asked of the server."""
        self.page.wait_for_selector(".map[aria-busy='false']")
        self.page.wait_for_function(
            "() => !document.querySelector('.map:not([hidden])[aria-busy=true]')"
            " && !document.querySelector('#story[aria-busy=true]')"
        )

    def close(self) -> None:
        """Close the page, before its server goes."""
        self.page.context.close()

    def rest(self) -> None:
        """Wait until the page has nothing more to say that passes by itself."""
        self.page.wait_for_function(
            "() => !['busy', 'done'].includes(document.querySelector('#status').dataset.kind)"
        )

    @property
    def fragment(self) -> str:
        """The part of the address that says what is on the screen."""
        return str(self.page.evaluate("() => location.hash.slice(1)"))

    def go(self, fragment: str) -> None:
        """Follow a link to another view, without loading the page again."""
        self.page.evaluate("fragment => { location.hash = fragment; }", fragment)

    def pixels(self) -> np.ndarray[Any, Any]:
        """Return what is on the screen, (row, column, red green blue)."""
        from PIL import Image

        with Image.open(BytesIO(self.page.screenshot())) as image:
            return np.asarray(image.convert("RGB"))

    def color_at(self, x: float, y: float) -> str:
        """Return the colour of a place on the screen, ``#rrggbb``."""
        red, green, blue = self.pixels()[int(y), int(x)]
        return f"#{red:02x}{green:02x}{blue:02x}"

    def color_in_the_middle(self, of: str = "#left") -> str:
        """Return the colour at the centre of an element."""
        box = self.page.locator(of).bounding_box()
        assert box is not None
        return self.color_at(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def eventually(value: Callable[[], _Result], expected: Any = True) -> None:
    """Wait until a value is what is expected."""
    deadline = time.monotonic() + _PATIENCE
    while (found := value()) != expected:
        assert time.monotonic() < deadline, f"{found!r} is not {expected!r}"
        time.sleep(0.05)
