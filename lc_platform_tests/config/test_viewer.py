"""The section `viewer`: what is refused, and why."""

from __future__ import annotations

from typing import Any

import pytest

from lc_platform.config import Config, ConfigError, parse
from lc_platform_tests.graphs import settings

TILES = "https://tiles.example.org:8443/{z}/{x}/{y}.png"


def parsed(**keys: Any) -> Config:
    return parse({**settings(), "viewer": keys})


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            {"address": "maps.example.org"},
            "viewer.address: 'maps.example.org' is neither a path such as /map/ nor a URL",
        ),
        ({"address": "//evil.example/map"}, "viewer.address: '//evil.example/map' is neither"),
        ({"address": "javascript:alert(1)"}, "is neither a path"),
        ({"address": "https://maps.example.org/?q=1"}, "without a query"),
        (
            {"base_map": {"tiles": TILES}},
            "viewer.base_map.attribution: this key is missing",
        ),
        (
            {"base_map": {"tiles": "https://t.example/{z}/{x}.png", "attribution": "x"}},
            "viewer.base_map.tiles: 'https://t.example/{z}/{x}.png' has no {y}",
        ),
        (
            {"base_map": {"tiles": "file:///etc/{z}/{x}/{y}", "attribution": "x"}},
            "viewer.base_map.tiles: 'file:///etc/{z}/{x}/{y}' is no URL of tiles",
        ),
        # The server's name ends up in the content security policy.
        (
            {"base_map": {"tiles": "https://a;script-src/{z}/{x}/{y}", "attribution": "x"}},
            "is no URL of tiles",
        ),
        (
            {"base_map": {"tiles": "https://{s}.t.example/{z}/{x}/{y}", "attribution": "x"}},
            "one server's name",
        ),
        (
            {"base_map": {"tiles": "https://me:secret@t.example/{z}/{x}/{y}", "attribution": "x"}},
            "a URL with a password in it is refused",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(keys: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError) as error:
        parsed(**keys)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ("/map/", "/map/"),
        ("/maps", "/maps/"),
        ("https://maps.example.org/map", "https://maps.example.org/map/"),
        ("http://127.0.0.1:3001", "http://127.0.0.1:3001/"),
        (None, None),
    ],
)
def test_an_address_ends_with_a_slash(given: str | None, address: str | None) -> None:
    assert parsed(address=given).viewer.address == address


def test_without_the_section_pages_link_to_the_map_beside_them_and_there_is_no_base_map() -> None:
    assert parsed().viewer.address == "/map/"
    assert parsed().viewer.base_map is None


def test_a_base_map_names_one_server_and_takes_a_key_from_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TILES_KEY", "abc")
    base_map = parsed(base_map={"tiles": TILES + "?key=${TILES_KEY}", "attribution": "(c) Us"})
    found = base_map.viewer.base_map
    assert found is not None
    assert found.origin == "https://tiles.example.org:8443"
    assert found.url == "https://tiles.example.org:8443/{z}/{x}/{y}.png?key=abc"
