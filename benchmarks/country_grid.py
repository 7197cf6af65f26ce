"""``python -m benchmarks.country_grid``: what grows with the patches of a country.

Lays the patches of areas of more and more patches of real size (1000 x 1000 pixels of 10 m) over a
reference of real size (a million polygons; a raster of 20 m), of each kind; then times the commands
that a person waits for on the largest. Seconds of the clock, and of processors: on a machine that
does other work the second ones are the figure.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import geopandas
import numpy as np
import pyogrio
import rasterio
import shapely
import yaml
from affine import Affine
from numpy.typing import NDArray

from benchmarks import report
from benchmarks.report import Table
from lc_platform.config import Config, load
from lc_platform.platform import Platform
from lc_platform.products import patch_grid

CRS = "EPSG:3035"
WEST, NORTH = 4_000_000.0, 3_000_000.0
PATCH = 10_000.0
"""Metres along the side of a patch."""
PIXEL = 20.0
"""Metres, of the raster reference."""
CLASSES = 8
KINDS = ("simulated", "gpkg", "parquet", "tif")
LIMIT = 10.0
"""Seconds of processors in which 3,000 patches are laid."""


class Area(NamedTuple):
    """An area of columns x rows patches."""

    columns: int
    rows: int

    @classmethod
    def of(cls, patches: int) -> Area:
        columns = math.isqrt(patches)
        return cls(columns, -(-patches // columns))

    @property
    def box(self) -> shapely.Polygon:
        east, south = WEST + self.columns * PATCH, NORTH - self.rows * PATCH
        # Not to touch the patches beyond its edge.
        return shapely.box(WEST + 1, south + 1, east - 1, NORTH - 1)


def main() -> int:
    arguments = _arguments()
    failed = False
    with _folder(arguments.folder) as folder:
        os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
        largest = Area.of(max(arguments.patches))
        rows: list[tuple[str, ...]] = []
        for kind in arguments.kinds:
            reference = _reference(folder, kind, largest, arguments.polygons)
            for patches in sorted(arguments.patches):
                config = _configure(folder, kind, reference, Area.of(patches))
                first, again = _timed(config), _timed(config)
                rows.append((kind, f"{patches:,}", *first, *again))
                print("  ".join(rows[-1]), flush=True)
                failed |= patches <= 3000 and float(again[1].split()[0]) > LIMIT
            rows.append((kind, "one burnt", "", "", *_one_patch(config)))
        tables = [
            Table(
                "country_grid",
                "The grid of a country",
                ("reference", "patches", "first", "processors", "again", "processors"),
                rows,
                (
                    f"A reference of {arguments.polygons:,} polygons, or a raster of {PIXEL:g} m; "
                    "`first` copies the polygons into their index.",
                ),
            )
        ]
        if arguments.commands:
            tables.append(_commands(folder, config))
        for table in tables:
            print(f"\n{table.title}\n\n{report.markdown(table)}")
    return int(failed)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.country_grid", description=__doc__)
    parser.add_argument("--patches", type=int, nargs="+", default=[293, 1000, 3000])
    parser.add_argument("--polygons", type=int, default=1_000_000)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--commands", action="store_true", help="also time the CLI's commands")
    parser.add_argument("--folder", type=Path, help="is kept; by default a temporary one")
    return parser.parse_args()


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(parents=True, exist_ok=True)
        yield given.resolve()
        return
    with TemporaryDirectory() as folder:
        yield Path(folder)


def _timed(config: Config) -> tuple[str, str]:
    def lay() -> None:
        platform = Platform(config)
        patch_grid.lay(platform.grid_options(), platform.reference)

    return _seconds(lay)


def _one_patch(config: Config) -> tuple[str, str]:
    platform = Platform(config)
    grid = patch_grid.lay(platform.grid_options(), platform.reference)
    patch = grid.patches[len(grid.patches) // 2]
    return _seconds(lambda: platform.reference.burnt(patch.geobox))


def _seconds(done: Callable[[], Any]) -> tuple[str, str]:
    started, busy = time.perf_counter(), time.process_time()
    done()
    busy = time.process_time() - busy
    return report.seconds([time.perf_counter() - started]), report.seconds([busy])


# The commands


def _commands(folder: Path, config: Config) -> Table:
    path = str(folder / "config.yaml")
    rows = []
    for words in (
        ["check"],
        ["run", "--select", "patch_grid"],
        ["status"],
        ["plan", "--offline"],
        ["run", "--select", "patch_grid"],
    ):
        started, before = time.perf_counter(), os.times()
        done = subprocess.run(
            [sys.executable, "-m", "lc_platform", *words, "-c", path],
            cwd=folder, check=False, capture_output=True, text=True,
            env={**os.environ, "DAGSTER_HOME": str(folder)},
        )  # fmt: skip
        seconds, after = time.perf_counter() - started, os.times()
        busy = sum(after[2:4]) - sum(before[2:4])
        last = (done.stdout.strip().splitlines() or [""])[-1]
        note = "" if done.returncode == 0 else f"{done.returncode}: {last}"
        rows.append((" ".join(words), report.seconds([seconds]), report.seconds([busy]), note))
        print("  ".join(rows[-1]), flush=True)
    patches = len(Platform(config).grid().patches)
    return Table(
        "country_commands",
        f"Commands with {patches:,} patches",
        ("command", "seconds", "processors", ""),
        rows,
    )


# What is asked


def _configure(folder: Path, kind: str, reference: Path | None, area: Area) -> Config:
    geopandas.GeoDataFrame(geometry=[area.box], crs=CRS).to_file(folder / "area.gpkg")
    classes = [
        {"id": i, "name": f"class {i}", "color": f"#0000{i:02d}", "values": [10 * i]}
        for i in range(1, CLASSES + 1)
    ]
    content: dict[str, Any] = {
        "name": "country",
        "storage": f"store-{kind}-{area.columns}x{area.rows}",
        "years": [2023],
        "aoi": {"boundary": "area.gpkg", "crs": CRS, "patch_size": PATCH},
        "imagery": {"source": "simulated", "collection": "sentinel-2-l1c"},
    }
    if reference is not None:
        content["reference"] = {"path": reference.name, "attribute": "kind", "classes": classes}
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return load(folder / "config.yaml")


def _reference(folder: Path, kind: str, area: Area, polygons: int) -> Path | None:
    """A reference of a kind, which covers an area and is the same every time."""
    if kind == "simulated":
        return None
    path = folder / f"reference.{kind}"
    if path.exists():
        return path
    if kind == "tif":
        _raster(path, area)
    elif kind == "gpkg":
        pyogrio.write_dataframe(_polygons(area, polygons), path)
    else:  # as an export from elsewhere: in degrees
        _polygons(area, polygons).to_crs("EPSG:4326").to_parquet(path)
    return path


def _polygons(area: Area, polygons: int) -> geopandas.GeoDataFrame:
    """Eight-cornered parcels that fill an area, each of a class by lot."""
    generator = np.random.default_rng(11)
    width, height = area.columns * PATCH, area.rows * PATCH
    side = math.sqrt(width * height / polygons)
    columns, rows = round(width / side), round(height / side)

    def moved(values: NDArray[np.float64], by: float) -> NDArray[np.float64]:
        return values + generator.uniform(-by, by, values.shape)

    x, y = np.meshgrid(WEST + side * np.arange(columns + 1), NORTH - side * np.arange(rows + 1))
    corners = np.stack([moved(x, 0.3 * side), moved(y, 0.3 * side)], axis=-1)
    across = moved((corners[:, 1:] + corners[:, :-1]) / 2, 0.1 * side)
    down = moved((corners[1:] + corners[:-1]) / 2, 0.1 * side)
    rings = np.stack(
        [
            corners[:-1, :-1], across[:-1], corners[:-1, 1:], down[:, 1:],
            corners[1:, 1:], across[1:], corners[1:, :-1], down[:, :-1], corners[:-1, :-1],
        ],
        axis=2,
    ).reshape(-1, 9, 2)  # fmt: skip
    kinds = 10 * generator.integers(1, CLASSES + 1, len(rings))
    return geopandas.GeoDataFrame({"kind": kinds}, geometry=shapely.polygons(rings), crs=CRS)


def _raster(path: Path, area: Area) -> None:
    generator = np.random.default_rng(11)
    width, height = (round(n * PATCH / PIXEL) for n in area)
    with rasterio.open(
        path, "w", driver="GTiff", width=width, height=height, count=1, dtype="uint8", crs=CRS,
        transform=Affine(PIXEL, 0, WEST, 0, -PIXEL, NORTH), nodata=0, tiled=True, blockxsize=512,
        blockysize=512, compress="deflate",
    ) as file:  # fmt: skip
        for top in range(0, height, 512):
            rows = min(512, height - top)
            coarse = 10 * generator.integers(1, CLASSES + 1, (-(-rows // 8), -(-width // 8)))
            values = np.kron(coarse, np.ones((8, 8))).astype(np.uint8)[:rows, :width]
            file.write(values, 1, window=rasterio.windows.Window(0, top, width, rows))


if __name__ == "__main__":
    sys.exit(main())
