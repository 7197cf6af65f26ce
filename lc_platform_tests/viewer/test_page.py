"""The page of the web map."""

from __future__ import annotations

import gzip
import re

from fastapi.testclient import TestClient


def test_the_page_is_small(client: TestClient) -> None:
    page = client.get("/").text
    names = re.findall(r'(?:src|href)="((?:static|vendor)/[^"]+)"', page)
    assert {"static/main.js", "vendor/maplibre-gl.js", "static/style.css"} <= set(names)
    files = [client.get(f"/{name}").content for name in names]
    size = sum(len(gzip.compress(content)) for content in [page.encode(), *files])
    assert size < 600_000


def test_every_module_that_is_imported_is_asked_for_at_once(client: TestClient) -> None:
    known = set(re.findall(r'"static/([a-z]+\.js)"', client.get("/").text))
    for name in known:
        imported = set(re.findall(r'from "\./([a-z]+\.js)"', client.get(f"/static/{name}").text))
        assert imported <= known
