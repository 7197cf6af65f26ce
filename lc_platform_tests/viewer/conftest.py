"""A store with a few artefacts, and the web map of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from fastapi.testclient import TestClient

import lc_platform
from lc_platform.area.grid import PatchGrid
from lc_platform.config import FILE_NAME
from lc_platform.platform import Platform
from lc_platform.reading.reader import Reader
from lc_platform.storage.store import Store
from lc_platform.viewer.app import create_app
from lc_platform_tests.graphs import settings
from lc_platform_tests.reading import stores

ACROSS_ZONES = [17.9995, 46.700, 18.0005, 46.7005]
"""Degrees: it lies in the UTM zones 33 and 34."""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PatchGrid]:
    """The folder of a configuration of patches in two zones, of which every asset is made that
    needs no training."""
    folder = tmp_path_factory.mktemp("viewer")
    season = {"of": ["NDVI"], "percentiles": [50], "measures": ["day_of_maximum"]}
    families = {"families": ["series", "statistics"], "statistics": season}
    data = settings(aoi={"bbox": ACROSS_ZONES, "crs": "utm"}, features=families)
    (folder / FILE_NAME).write_text(yaml.safe_dump(data), encoding="utf-8")
    return folder, stores.make(Platform(lc_platform.config.load(folder / FILE_NAME)))


@pytest.fixture(scope="session")
def grid(made: tuple[Path, PatchGrid]) -> PatchGrid:
    return made[1]


@pytest.fixture(scope="session")
def reader(made: tuple[Path, PatchGrid]) -> Reader:
    return lc_platform.open(made[0])


@pytest.fixture(scope="session")
def client(reader: Reader) -> TestClient:
    """A client of the map, who is told of errors as a browser would be."""
    return TestClient(create_app(reader), raise_server_exceptions=False)


@pytest.fixture
def copied(reader: Reader, tmp_path: Path) -> Reader:
    """The store once more, to be changed."""
    shutil.copytree(str(reader.store), tmp_path / "store", symlinks=True)
    return Reader(Store(str(tmp_path / "store")), reader.config)


@pytest.fixture
def own(copied: Reader) -> TestClient:
    """The map of that store."""
    return TestClient(create_app(copied), raise_server_exceptions=False)
