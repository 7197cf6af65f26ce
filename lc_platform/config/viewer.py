"""The section `viewer`."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from pydantic import field_validator

from lc_platform.config.environment import expand
from lc_platform.config.fields import Section, Text
from lc_platform.config.problems import shown

MAP_PATH = "/map"
"""Where the web map lies at an address that it shares with Dagster's UI."""
_ORIGIN = r"https?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?"
"""Nothing that would end the content security policy that names it."""
_VARIABLES = ("{z}", "{x}", "{y}")


def origin_of(url: str) -> str:
    """Return the server of a URL, as a content security policy names it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"


class BaseMap(Section):
    """A map of somebody else's below the platform's own layers. None is needed."""

    tiles: Text
    """URL of its tiles, with {z}, {x} and {y}. Each viewer's browser asks that server for them."""
    attribution: Text
    """Whose map it is, as its licence asks it to be said; shown in the corner."""

    @field_validator("tiles")
    @classmethod
    def _is_a_url_of_tiles(cls, value: str) -> str:
        if "@" in urlsplit(value).netloc:
            raise ValueError(
                "a URL with a password in it is refused, since every viewer's browser gets it. "
                "Give tiles that need none, or a key of the viewers' own in the query"
            )
        if not re.match(rf"{_ORIGIN}/", value) or re.search(r"\s", value):
            raise ValueError(
                f"{shown(value)} is no URL of tiles: http:// or https://, one server's name, and "
                "a path. Write for example https://tiles.example.org/{z}/{x}/{y}.png"
            )
        if lacking := [one for one in _VARIABLES if one not in value]:
            raise ValueError(
                f"{shown(value)} has no {' and no '.join(lacking)}, which stand for a tile's zoom, "
                "column and row. Write for example https://tiles.example.org/{z}/{x}/{y}.png"
            )
        return value

    @property
    def origin(self) -> str:
        """The server that browsers ask for the tiles, as a content security policy names it."""
        return origin_of(self.tiles)

    @property
    def url(self) -> str:
        """The URL with the environment's values in it. Raises ConfigError where one is not set."""
        return expand(self.tiles, "viewer.base_map.tiles")


class Viewer(Section):
    """The web map of `lc-platform map`, and links to it."""

    address: Text | None = f"{MAP_PATH}/"
    """Where Dagster's pages link to: a path of their own address, or a URL. null: no links."""
    base_map: BaseMap | None = None

    @field_validator("address")
    @classmethod
    def _is_an_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        if not re.fullmatch(rf"({_ORIGIN})?(/[A-Za-z0-9._~/-]*)?", value) or value.startswith("//"):
            raise ValueError(
                f"{shown(value)} is neither a path such as {MAP_PATH}/ nor a URL such as "
                "https://maps.example.org/map/. Write one of these, without a query"
            )
        return value if value.endswith("/") else f"{value}/"
