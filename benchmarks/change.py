"""Change that is planted in three simulated years, found by `change` and by two maps laid over one
another: forest that is felled, fields that are built on, and crops that rotate, which is none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from benchmarks.report import Table
from benchmarks.settings import Settings
from lc_platform import config as configuration
from lc_platform.artefacts.layout import key
from lc_platform.commands import run as running
from lc_platform.config import Config
from lc_platform.products.mosaic import LAND_COVER
from lc_platform.sources import open_source
from lc_platform.sources.simulated import SimulatedArchive
from lc_platform.storage.store import Store

YEARS = (2021, 2022, 2023)
FOUND, FALSE = 0.80, 0.005
"""Of the changed area at least, and of the rest at most."""
_CROPS = (1, 2)


def settings(patches: int = 3, metres: int = 1280) -> dict[str, Any]:
    """A configuration of three years with patches along each side, in which a fifteenth of the
    ground changes a year and three tenths of the crops rotate. The reference leaves out the ground
    that changes, as of a reference of one date it should be."""
    west, south = 14.400, 46.000
    across, down = patches * metres / 77_300 - 0.004, patches * metres / 111_200 - 0.003
    return {
        "name": "change",
        "storage": "./data",
        "years": list(YEARS),
        "aoi": {
            "bbox": [west, south, west + across, south + down],
            "crs": "EPSG:32633",
            "patch_size": metres,
        },
        "imagery": {
            "source": "simulated",
            "max_cloud_cover": 30,
            "simulation": {
                "changes": {
                    "since": YEARS[0], "felled": 0.05, "built": 0.05, "rotated": 0.3,
                    "reference_until": YEARS[-1],
                },
            },
        },
        "clouds": {"resolution": 40},
        "features": {"interval": 30},
        "sampling": {"pixels_per_patch": 4000},
        "change": {
            "enabled": True,
            "forbidden": {"built-up": ["broadleaved forest", "coniferous forest"]},
            "rotations": [["winter cropland", "summer cropland"]],
        },
    }  # fmt: skip


@dataclass(frozen=True)
class Found:
    """How much of what has changed is found, and of the rest is called changed, as shares of their
    areas."""

    year: int
    method: str
    found: float
    false: float
    felled: float
    """Of the felled forest."""
    built: float
    """Of the fields that were built on."""
    rotated: float
    """Of the crops that have rotated: called changed."""


def measure(config: Config) -> list[Found]:
    """Judge the stored change and maps of a configuration by the truth."""
    store, archive = Store.of(config), open_source(config)
    assert isinstance(archive, SimulatedArchive)
    found = []
    for before, year in zip(config.years, config.years[1:], strict=False):
        with rasterio.open(store.path(key("change", year=year))) as raster:
            grid = GeoBox(raster.shape, raster.transform, raster.crs.to_wkt())
            layers = dict(zip(raster.descriptions, raster.read(), strict=True))
        truth = [archive.truth(grid, one) for one in (before, year)]
        maps = [_map(store, one) for one in (before, year)]
        for method, changed in (
            ("change", layers["change"] > 0),
            ("two maps laid over one another", _differ(*maps)),
        ):
            found.append(_judged(year, method, changed, truth, layers["class_before"] > 0))
    return found


def _map(store: Store, year: int) -> NDArray[np.uint8]:
    with rasterio.open(f"{store.path(key('mosaic', year=year))}/{LAND_COVER}") as raster:
        values: NDArray[np.uint8] = raster.read(1)
    return values


def _differ(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where two maps show a change, which a rotation of crops is not."""
    crops = np.isin(one, _CROPS) & np.isin(other, _CROPS)
    return (one != other) & ~crops & (one > 0) & (other > 0)


def _judged(
    year: int,
    method: str,
    changed: NDArray[np.bool_],
    truth: list[NDArray[np.uint8]],
    known: NDArray[np.bool_],
) -> Found:
    before, after = truth
    real = _differ(before, after) & known
    rest = ~real & known
    rotated = (before != after) & rest

    def share(of: NDArray[np.bool_]) -> float:
        return float(changed[of].mean()) if of.any() else float("nan")

    return Found(
        year, method, share(real), share(rest), share(real & (after != 9)),
        share(real & (after == 9)), share(rotated),
    )  # fmt: skip


def run(settings_: Settings) -> list[Table]:
    """The changed area that is found, and the rest that is called changed."""
    folder = settings_.folder / "change"
    folder.mkdir(parents=True, exist_ok=True)
    config = made(folder)
    rows = [
        (
            str(one.year),
            one.method,
            *(f"{100 * share:.1f} %" for share in (one.found, one.felled, one.built)),
            *(f"{100 * share:.2f} %" for share in (one.false, one.rotated)),
        )
        for one in measure(config)
    ]
    columns = (
        "year", "method", "changed area found", "felled forest", "new settlement",
        "rest called changed", "of rotated crops",
    )  # fmt: skip
    note = (
        f"Three simulated years; {FOUND:.0%} of the changed area are to be found, and {FALSE:.1%} "
        "of the rest may be called changed. The second change has no year after it to confirm it."
    )
    return [Table("change", "Change planted in three years", columns, rows, (note,))]


def made(folder: Path, **shape: int) -> Config:
    """Run the platform on the planted landscape; raises RuntimeError where it does not succeed."""
    config = configuration.parse(settings(**shape), folder)

    def unseen(stage: str, total: int, outcomes: Any) -> Iterator[Any]:  # noqa: ARG001
        yield from outcomes

    report = running.run(config, unseen)
    if not report.succeeded:
        raise RuntimeError(f"{report.failures} {report.stopped}")
    return config
