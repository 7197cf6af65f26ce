"""Make the pictures of the web map in the documentation, of a store that is made already:

python -m lc_platform_tests.viewer.screenshots lc-demo/lc-platform.yaml docs/pictures
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import lc_platform
from lc_platform.reading.reader import Reader
from lc_platform.viewer.app import create_app
from lc_platform_tests.viewer.browser import Watched, chromium, served

DESKTOP = {"width": 1280, "height": 880}
PHONE = {"width": 390, "height": 780}
_COLORS = 256
"""Of a picture: drawn areas need no more, and it stays small."""


class Picture(NamedTuple):
    """A picture of the page."""

    name: str
    fragment: str
    """The link to what it shows; ``{place}`` stands for zoom, latitude and longitude of the area's
    middle, ``{pixel}`` for a longitude and latitude, ``{year}`` for the latest year."""
    options: dict[str, Any]
    seen: str | None = None
    """What of the panel is scrolled to."""


PICTURES = (
    Picture("map", "#year={year}", {"viewport": DESKTOP}),
    Picture("pixel", "#{place}&layer=true_color&month=07&pixel={pixel}", {"viewport": DESKTOP}),
    Picture(
        "compare",
        "#{place}&compare=swipe&right_layer=true_color&right_month=07",
        {"viewport": DESKTOP},
    ),
    Picture(
        "patches",
        "#patches=features",
        {"viewport": DESKTOP, "color_scheme": "dark"},
        seen="#patches",
    ),
    Picture("phone", "#{place}&pixel={pixel}", {"viewport": PHONE}),
)


def links(reader: Reader) -> dict[str, str]:
    """Return what the fragments name: the middle of the area, and a pixel beside it."""
    west, south, east, north = reader.patches.total_bounds
    longitude, latitude = (west + east) / 2, (south + north) / 2
    return {
        "place": f"14/{latitude:.5f}/{longitude:.5f}",
        "pixel": f"{longitude + 0.0015:.6f},{latitude + 0.001:.6f}",
        "year": str(reader.years[-1]),
    }


def small(picture: bytes) -> bytes:
    """Return a PNG with a palette."""
    from PIL import Image

    out = BytesIO()
    with Image.open(BytesIO(picture)) as image:
        reduced = image.convert("RGB").quantize(_COLORS, method=Image.Quantize.MEDIANCUT, kmeans=4)
        reduced.save(out, "PNG", optimize=True)
    return out.getvalue()


def make(reader: Reader, folder: Path, pictures: Sequence[Picture] = PICTURES) -> list[Path]:
    """Write the pictures as ``web-map-{name}.png``; returns where."""
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    named = links(reader)
    with served(create_app(reader)) as address, chromium() as browser:
        for name, fragment, options, seen in pictures:
            context = browser.new_context(**options)
            page = Watched(context.new_page(), address)
            page.open(fragment.format(**named))
            page.rest()
            if seen:
                page.page.locator(seen).scroll_into_view_if_needed()
            path = folder / f"web-map-{name}.png"
            path.write_bytes(small(page.page.screenshot()))
            made.append(path)
            context.close()
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("configuration", help="the configuration, or the store")
    parser.add_argument("folder", type=Path, help="where the pictures go")
    asked = parser.parse_args()
    for path in make(lc_platform.open(asked.configuration), asked.folder):
        print(f"{path} ({path.stat().st_size / 1000:.0f} kB)")


if __name__ == "__main__":
    main()
