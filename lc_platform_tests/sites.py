"""A small archive of surface reflectance, a reference and a configuration in a folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely
import yaml
from numpy.typing import NDArray

from lc_platform import config
from lc_platform.artefacts.layout import RECORDS
from lc_platform.commands import run as running
from lc_platform.commands.run import Report, Worker
from lc_platform_tests.sources.stac.catalogs import (
    COLLECTION,
    ORIGIN,
    band,
    footprint,
    item,
    write_catalog,
    write_tiff,
)

SIDE = 16
"""Pixels of a patch's side; the area is 3 columns x 2 rows of patches."""
SHAPE = (2 * SIDE, 3 * SIDE)
DATES = ("2021-02-01", "2021-05-01", "2021-08-01", "2021-11-01")
CLEAR = 4
CLOUD = 9


def metres(column: float, row: float, columns: float = 1, rows: float = 1) -> tuple[float, ...]:
    """(west, south, east, north) of patches, by the upper left one's column and row."""
    size = 10 * SIDE
    west, north = ORIGIN[0] + column * size, ORIGIN[1] - row * size
    return west, north - rows * size, west + columns * size, north


EVERYWHERE = footprint(*metres(0, 0, 3, 2))


@dataclass
class Site:
    """A small archive of surface reflectance, a reference and a configuration in a folder."""

    folder: Path
    items: list[dict[str, Any]]

    def acquire(self, day: str, geometry: Any = EVERYWHERE, scl: Any = CLEAR) -> dict[str, Any]:
        """An acquisition over the whole site; the western half of a patch is bare ground."""
        bare = (np.arange(SHAPE[1]) % SIDE < SIDE // 2) & np.ones(SHAPE, np.bool_)
        noise = np.random.default_rng(len(self.items)).integers(0, 90, SHAPE)
        numbers: dict[str, NDArray[Any]] = {
            "B03": 900 + noise,
            "B04": np.where(bare, 2000, 400) + noise,
            "B08": np.where(bare, 2300, 3500) + noise,
        }
        name = f"S2A_{day}"
        assets = {}
        for key, values in numbers.items():
            write_tiff(self.folder / "archive" / name / f"{key}.tif", values.astype(np.uint16))
            assets[key] = band(f"./{name}/{key}.tif", key)
        scene = np.broadcast_to(np.asarray(scl, np.uint8), SHAPE)
        write_tiff(self.folder / "archive" / name / "SCL.tif", scene)
        assets["SCL"] = {"href": f"./{name}/SCL.tif", "type": "image/tiff"}
        self.items.append(item(name, f"{day}T10:00:00Z", assets, geometry))
        self.configure()
        return self.items[-1]

    def file(self, day: str, key: str) -> Path:
        return self.folder / "archive" / f"S2A_{day}" / f"{key}.tif"

    def label(self, shapes: list[shapely.Polygon], kinds: list[Any]) -> None:
        table = geopandas.GeoDataFrame({"kind": kinds}, geometry=shapes, crs="EPSG:32633")
        table.to_file(self.folder / "reference.gpkg")

    def configure(self, **changes: Any) -> Path:
        write_catalog(self.folder / "archive", self.items)
        settings: dict[str, Any] = {
            "name": "site",
            "storage": "./store",
            "years": [2021],
            "aoi": {"boundary": "area.gpkg", "crs": "EPSG:32633", "patch_size": 10 * SIDE},
            "imagery": {
                "source": "stac",
                "catalog": "archive/catalog.json",
                "collection": COLLECTION,
                "bands": ["B03", "B04", "B08"],
            },
            "clouds": {"method": "scl"},
            "reference": {
                "path": "reference.gpkg",
                "attribute": "kind",
                "classes": [
                    {"id": 1, "name": "bare", "color": "#aa8844", "values": [10]},
                    {"id": 2, "name": "green", "color": "#22aa44", "values": [20]},
                ],
            },
            "features": {"indices": ["NDVI"], "interval": 90},
            "sampling": {"erosion": 0, "test_fraction": 0.4},
            "model": {"num_iterations": 3, "min_data_in_leaf": 5},
        }
        for section, change in changes.items():
            both = isinstance(change, dict) and section in settings
            settings[section] = {**settings[section], **change} if both else change
        file = self.folder / "lc.yaml"
        file.write_text(yaml.safe_dump(settings, sort_keys=False))
        return file

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def run(self, **asked: Any) -> Report:
        def unseen(_: str, __: int, outcomes: Iterable[Any]) -> Iterator[Any]:
            return iter(outcomes)

        return running.run(config.load(self.folder / "lc.yaml"), unseen, **asked)


def site(folder: Path, days: tuple[str, ...] = DATES, patches: int = 1) -> Site:
    """A site whose area is the first of its patches, or all six."""
    made = Site(folder, [])
    parts = metres(0, 0, 3, 2) if patches == 6 else metres(0, 0, patches)
    area = geopandas.GeoDataFrame(geometry=[shapely.box(*parts)], crs="EPSG:32633")
    area.to_file(folder / "area.gpkg")
    halves = [(column / 2, row) for column in range(6) for row in range(2)]
    made.label(
        [shapely.box(*metres(column, row, 0.5)) for column, row in halves],
        [10 if column % 1 == 0 else 20 for column, _ in halves],
    )
    for day in days:
        made.acquire(day)
    return made


def first_never_seen(folder: Path) -> Site:
    """Three patches in a row, of which the first was never seen."""
    made = site(folder, (), patches=3)
    for day in DATES:
        made.acquire(day, footprint(*metres(1.1, 0, 1.9, 1)))
    return made


def worker_of(made: Site) -> Worker:
    """Who makes what is asked for, with Dagster's records in the site's folder."""
    settings = config.load(made.folder / "lc.yaml")
    return Worker(settings, running.dagster_home(settings))


def half_written(store: Path) -> list[str]:
    """What is in a store and is neither a visible artefact, nor what a visible one points to, nor
    acquisitions that came before one that failed, which the next run takes over."""
    found = []
    pointed = {link.resolve() for link in store.rglob("*") if link.is_symlink()}
    pointed |= {marks.parent for marks in store.glob("raw_bands/*/.*/.marks")}
    for path in store.rglob("*"):
        if path.is_symlink() and not path.exists():
            found.append(f"{path} points to nothing")
        within = [p for p in (path, *path.parents) if store in p.parents]
        if path.name.startswith(".") and not path.is_symlink() and path.name != RECORDS:
            inside = any(path == p or path in p.parents or p in path.parents for p in pointed)
            if not inside:
                found.append(f"{path} is hidden and nothing points to it")
        elif not any(p.name.startswith(".") for p in within) and ".tmp" in path.name:
            found.append(f"{path} is a temporary file")
    return found


def names(store: Path, asset: str, year: int | None = 2021) -> set[str]:
    """Patches that an asset is there for."""
    folder = store / asset / str(year) if year else store / asset
    return {p.name.partition(".")[0] for p in folder.glob("[!.]*")} if folder.is_dir() else set()
