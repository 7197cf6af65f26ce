"""Harmonized Landsat and Sentinel-2 through the graph: signed numbers, Fmask, one beside the
other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr

from lc_platform import config
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import key
from lc_platform.platform import Platform
from lc_platform_tests.sites import DATES, EVERYWHERE, SHAPE, SIDE, Site, names, site
from lc_platform_tests.sources.stac.catalogs import COLLECTION, item, write_catalog, write_tiff

HIDDEN = np.zeros(SHAPE, np.uint8)
HIDDEN[:4, :4], HIDDEN[6, 6] = 2, 255


def harmonized(made: Site, collection: str, days: tuple[str, ...]) -> Path:
    """An archive of a collection: the site's ground in signed numbers, darkened below nothing."""
    folder, items = made.folder / collection, []
    bare = (np.arange(SHAPE[1]) % SIDE < SIDE // 2) & np.ones(SHAPE, np.bool_)
    for n, day in enumerate(days):
        noise = np.random.default_rng(n).integers(-90, 90, SHAPE)
        numbers = {"B04": np.where(bare, 2000, -20) + noise, "B8A": np.where(bare, 2300, 3500)}
        files = {name: values.astype(np.int16) for name, values in numbers.items()}
        files["B05"] = files["B8A"]
        for name, values in files.items():
            write_tiff(folder / day / f"{name}.tif", values, nodata=-9999)
        write_tiff(folder / day / "Fmask.tif", HIDDEN, nodata=255)
        assets = {name: {"href": f"./{day}/{name}.tif"} for name in (*files, "Fmask")}
        items.append(item(f"HLS_{day}", f"{day}T10:00:00Z", assets, EVERYWHERE))
    path = write_catalog(folder, items)
    for file in folder.glob("*.json"):
        file.write_text(file.read_text().replace(COLLECTION, collection))
    return path


@pytest.mark.slow
@pytest.mark.proof
def test_a_map_is_made_of_hls_with_clouds_as_fmask_has_them(tmp_path: Path) -> None:
    made = site(tmp_path, (), patches=3)
    main = harmonized(made, "HLSS30_2.0", DATES)
    beside = harmonized(made, "HLSL30_2.0", DATES[:3])
    other: dict[str, Any] = {"collection": "HLSL30_2.0", "bands": ["B05"], "catalog": str(beside)}
    made.configure(
        imagery={
            "catalog": str(main), "collection": "HLSS30_2.0", "bands": ["B04", "B8A"],
            "also": [other],
        },
        clouds={"method": "fmask"},
        features={"indices": [{"vegetation": ["B8A", "B04"]}]},
        statistics={"index": "none"},
    )  # fmt: skip
    report = made.run()
    assert report.succeeded, report.failures
    platform = Platform(config.load(tmp_path / "lc.yaml"))

    def opened(asset: str, patch: str | None = None) -> Any:
        return formats()[asset].open(platform.store, key(asset, patch, 2021))

    corner = next(p for p in names(made.store, "raw_bands") if not opened("cloud_masks", p)
                  .valid()[:, 0, 0].any())  # fmt: skip
    raw = opened("raw_bands", corner)
    numbers, data = raw.digital_numbers(bands=["B04"])[:, 0], raw.data_mask()
    assert numbers.dtype == np.int16
    assert (numbers[data] < 0).any()
    assert not data[:, 6, 6].any()
    assert (numbers[~data] == -9999).all()
    np.testing.assert_allclose(raw.reflectance(bands=["B04"])[:, 0][data], numbers[data] / 1e4)
    stored = xr.open_zarr(platform.store.path(key("raw_bands", corner, 2021)), chunks=None)
    assert stored["bands"].encoding["dtype"] == np.int16 or stored["bands"].dtype == np.int16
    masks = opened("cloud_masks", corner)
    assert masks.cloud()[:, :4, :4].all()
    assert masks.valid().sum() == len(DATES) * (SIDE**2 - 17)
    features = opened("features", corner)
    values = dict(zip(features.names, features.read(), strict=True))
    last = max(features.days[i] for i in range(len(features.days)) if features.days[i] < 300)
    clear = values[f"L30_B05_{features.days[1]:03d}"]
    assert np.isnan(clear[0, 0])
    np.testing.assert_allclose(clear[8, 3], 0.23, atol=0.001)
    assert values[f"B04_{last:03d}"][10, 12] < 0.01
    assert opened("evaluation").metrics["overall_accuracy"] > 0.9
