"""The sites of an ablation, each a configuration with the platform's defaults."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import yaml
from pyproj import Transformer

from benchmarks.ablation.variants import FLANDERS, SCENES, SERIES, SIMULATED
from lc_platform.config import template

SIDE, COLUMNS, ROWS = 320, 6, 4
"""Metres along the side of a simulated patch, and how many there are."""
_CORNER = 499_200, 5_171_200
"""East and north of the south-western one, a multiple of its side; EPSG:32633."""
_CLASSES = {2: "forest", 3: "grassland", 4: "shrubland", 8: "artificial"}
"""Of Slovenia's reference; 11 pixels are of another."""
_CLEAR, _CLOUD = 4, 9
"""Values of a scene classification."""


@dataclass(frozen=True)
class Site:
    """Where an ablation is made."""

    title: str
    settings: Mapping[str, Any]
    """Of the configuration with the defaults, without its storage."""
    seeds: tuple[int, ...]
    """Of draws and folds, each an evaluation."""
    judged_by: str
    """What predictions are compared with."""
    by_truth: bool = False
    families: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What a family of features is given here, where a variant has it."""


def sites(data: Path, folder: Path) -> dict[str, Callable[[], Site]]:
    """By name, what makes the site's files and returns it.

    data    the folder of real imagery
    folder  where what the sites read is written
    """
    os.environ["LC_SHARED_DATA"] = str(data)
    return {
        FLANDERS: _flanders,
        SIMULATED: lambda: _simulated(folder / "reference.gpkg"),
        SCENES: lambda: _scenes(data / "slovenia"),
        SERIES: lambda: _series(data / "slovenia", folder / "ndvi"),
    }


def _simulated(reference: Path) -> Site:
    told = yaml.safe_load(template("simulated"))
    to_degrees = Transformer.from_crs(32633, 4326, always_xy=True).transform
    east, north = _CORNER
    inside = SIDE // 4
    low = to_degrees(east + inside, north + inside)
    high = to_degrees(east + SIDE * COLUMNS - inside, north + SIDE * ROWS - inside)
    told["aoi"] |= {"bbox": [*low, *high], "patch_size": SIDE}
    told["reference"]["path"] = str(reference)
    told["sampling"]["pixels_per_patch"] = 300
    return Site(
        f"Simulated archive, {COLUMNS * ROWS} patches of {SIDE} m with mistakes in their reference",
        told,
        (42,),
        "the truth, wherever the reference has a label",
        by_truth=True,
    )


def _flanders() -> Site:
    path = Path("lc_platform_tests/configurations/flanders.yaml")
    told = yaml.safe_load(path.read_text(encoding="utf-8"))
    told["aoi"]["split"] = [1, 1]
    # As by default, where the site's own test has settings of its own.
    told["features"] = {"interval": 16}
    told["sampling"] = {"seed": 42}
    told["validation"] = {"folds": 4, "block_size": 160}
    return Site("Flanders 2018, 640 m, Sentinel-2 L2A", told, (42,), "the labels of 22 parcels")


def _slovenia(data: Path, name: str, year: int, **sections: Any) -> dict[str, Any]:
    item = next((data / "l1c").glob("*/S2A*.json"))
    west, south, east, north = json.loads(item.read_text(encoding="utf-8"))["bbox"]
    return {
        "name": name,
        "years": [year],
        "aoi": {"bbox": [west, south, east, north], "crs": "EPSG:32633", "split": [1, 1]},
        "reference": {
            "path": str(data / "reference" / "lulc.gpkg"),
            "attribute": "LULC_ID",
            "ignore": [0, 1],
            "classes": [{"id": i, "name": n, "values": [i]} for i, n in _CLASSES.items()],
        },
        "sampling": {"seed": 42},
        "validation": {"folds": 4, "block_size": 100},
        **sections,
    }


def _scenes(data: Path) -> Site:
    imagery = {
        "source": "stac",
        "catalog": str(data / "l1c" / "catalog.json"),
        "max_cloud_cover": 100,
    }
    return Site(
        "Slovenia 2015, 1 km, five scenes of Sentinel-2 L1C",
        _slovenia(data, "slovenia", 2015, imagery=imagery),
        (42,),
        "the polygons of the land-use map",
    )


def _series(data: Path, folder: Path) -> Site:
    imagery = {
        "source": "stac",
        "collection": "sentinel-2-l2a",
        "catalog": str(_ndvi_catalog(data, folder)),
        "bands": ["ndvi"],
        "max_cloud_cover": 100,
    }
    told = _slovenia(
        data,
        "slovenia-series",
        2016,
        imagery=imagery,
        clouds={"method": "scl"},
        features={"indices": []},
        statistics={"index": "none"},
    )
    return Site(
        "Slovenia 2016, 1 km, a series of NDVI",
        told,
        (42,),
        "the polygons of the land-use map",
        families={"phenology": {"of": ["ndvi"]}, "texture": {"of": ["ndvi"]}},
    )


def _ndvi_catalog(data: Path, folder: Path) -> Path:
    """Write the series of NDVI of Slovenia as a STAC catalog, where it is not there; its masks as a
    scene classification. Returns its file."""
    catalog = folder / "catalog.json"
    if catalog.exists():
        return catalog
    item = json.loads(next((data / "l1c").glob("*/S2A*.json")).read_text(encoding="utf-8"))
    band = next(iter(item["assets"].values()))
    found = np.load(data / "expected" / "timeseries_2015_2017.npz")
    series, valid = found["ndvi"], found["is_valid"]
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for number, stamp in enumerate(found["timestamps"]):
        when: datetime = stamp.astype("datetime64[s]").item()
        name = f"ndvi_{when:%Y%m%dT%H%M%S}"
        known = np.isfinite(series[number])
        numbers = np.where(known, np.rint((np.nan_to_num(series[number]) + 1) * 1e4), 0)
        numbers = np.where(known, np.clip(numbers, 1, 20_000), 0).astype(np.uint16)
        classes = np.where(valid[number], _CLEAR, _CLOUD) * known
        assets = {}
        for key, values in (("ndvi", numbers), ("scl", classes.astype(np.uint8))):
            _write(folder / f"{name}_{key}.tif", values, band["proj:transform"])
            assets[key] = {
                "href": f"./{name}_{key}.tif",
                "type": "image/tiff; application=geotiff",
                "proj:shape": band["proj:shape"],
                "proj:transform": band["proj:transform"],
            }
        assets["ndvi"]["raster:bands"] = [
            {"data_type": "uint16", "nodata": 0, "scale": 1e-4, "offset": -1}
        ]
        properties = {
            "datetime": f"{when:%Y-%m-%dT%H:%M:%SZ}",
            "proj:epsg": item["properties"]["proj:epsg"],
            "eo:cloud_cover": 0.0,
        }
        told = {
            **{key: item[key] for key in ("type", "stac_version", "stac_extensions", "bbox")},
            "geometry": item["geometry"],
            "id": name,
            "collection": "sentinel-2-l2a",
            "properties": properties,
            "assets": assets,
            "links": [],
        }
        (folder / f"{name}.json").write_text(json.dumps(told), encoding="utf-8")
        names.append(name)
    _link(folder / "collection.json", "Collection", "sentinel-2-l2a", "item", names)
    _link(catalog, "Catalog", "ndvi", "child", ["collection"])
    return catalog


def _write(path: Path, values: Any, transform: Any) -> None:
    rows, columns = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", width=columns, height=rows, count=1, dtype=values.dtype,
        crs="EPSG:32633", transform=rasterio.Affine(*transform[:6]), nodata=0,
        compress="deflate",
    ) as file:  # fmt: skip
        file.write(values, 1)


def _link(path: Path, kind: str, name: str, to: str, names: list[str]) -> None:
    told: dict[str, Any] = {
        "type": kind,
        "stac_version": "1.0.0",
        "id": name,
        "description": "A series of NDVI.",
        "links": [{"rel": to, "href": f"./{one}.json"} for one in names],
    }
    if kind == "Collection":
        told |= {
            "license": "MIT",
            "extent": {
                "spatial": {"bbox": [[-180, -90, 180, 90]]},
                "temporal": {"interval": [[None, None]]},
            },
        }
    path.write_text(json.dumps(told), encoding="utf-8")
