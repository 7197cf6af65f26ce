"""A year of imagery of the catalog by odc-stac: an item for each acquisition, and what reads it.

GDAL, by which odc-stac reads, knows no Zarr with shards; xarray does.
"""

from __future__ import annotations

from typing import Any

import pystac
import xarray as xr
from affine import Affine
from odc.geo.geobox import GeoBox
from odc.geo.xr import xr_coords
from odc.loader import reader_driver
from odc.loader.types import RasterBandMetadata, RasterGroupMetadata, norm_nodata

from lc_platform.stac.extensions import OWN


def acquisitions(item: pystac.Item) -> list[pystac.Item]:
    """Return an item for each acquisition of the main collection that an item of ``raw_bands``
    has, each with an asset for each band.

    Raises ValueError for an item of another collection.
    """
    data = item.assets.get("data")
    told = item.properties.get(f"{OWN}:acquisitions")
    if item.collection_id != "raw_bands" or data is None or told is None:
        raise ValueError(
            f"item {item.id}: is of {item.collection_id}, and has no acquisitions. Take the items "
            "of raw_bands"
        )
    href = data.get_absolute_href() or data.href
    grid = {name: value for name, value in item.properties.items() if name.startswith("proj:")}
    found = []
    main = [one for one in told if one["collection"] == told[0]["collection"]]
    for position, one in enumerate(main):
        made = pystac.Item(
            f"{item.id}-{one['key']}",
            item.geometry,
            item.bbox,
            pystac.utils.str_to_datetime(one["datetime"]),
            {**grid, f"{OWN}:acquisition": one["key"], f"{OWN}:position": position},
            stac_extensions=list(item.stac_extensions),
            collection="raw_bands",
        )
        for band in data.extra_fields["bands"]:
            # dask tells apart what it reads by its address.
            asset = pystac.Asset(f"{href}#{one['key']}", media_type=data.media_type, roles=["data"])
            asset.extra_fields["bands"] = [band]
            made.add_asset(band["name"], asset)
        found.append(made)
    return found


class ImageryDriver:
    """Reads items of `acquisitions`, for ``odc.stac.load(items, driver=ImageryDriver())``: digital
    numbers as the archive has them, as odc-stac gives those of GeoTIFFs."""

    def __init__(self) -> None:
        self._arrays = reader_driver("zarr")
        self.md_parser = _Bands()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._arrays, name)


class _Bands:
    """What odc-stac must know of the bands of an item of `acquisitions`."""

    def __init__(self) -> None:
        self._opened: dict[str, xr.Dataset] = {}

    def extract(self, item: pystac.Item) -> RasterGroupMetadata:
        bands, aliases = {}, {}
        for name, asset in item.assets.items():
            (band,) = asset.extra_fields["bands"]
            bands[name, 1] = RasterBandMetadata(band["data_type"], norm_nodata(band.get("nodata")))
            if common := band.get("eo:common_name"):
                aliases[common] = [(name, 1)]
        return RasterGroupMetadata(bands, aliases)

    def driver_data(self, item: pystac.Item, band: tuple[str, int]) -> xr.DataArray:
        name, _ = band
        href = item.assets[name].href.rpartition("#")[0]
        if href not in self._opened:
            self._opened[href] = xr.open_zarr(href, mask_and_scale=False, chunks={})
        imagery = self._opened[href].bands
        about = item.properties
        rows, columns = about["proj:shape"]
        geobox = GeoBox((rows, columns), Affine(*about["proj:transform"]), about["proj:code"])
        values = imagery.sel(band=name).isel(time=about[f"{OWN}:position"]).variable
        (described,) = item.assets[name].extra_fields["bands"]
        return xr.DataArray(
            values.data,
            xr_coords(geobox),
            geobox.dimensions,
            attrs={"nodata": norm_nodata(described.get("nodata"))},
        )
