"""Assets of the area and its imagery: patches, acquisitions, cloud masks, statistics."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import dagster as dg

from lc_platform import products, report
from lc_platform.area.grid import PatchGrid
from lc_platform.assets import partitions
from lc_platform.assets.declaration import asset
from lc_platform.cube import LazyCube
from lc_platform.platform import Platform

if TYPE_CHECKING:
    from lc_platform.acquisition.search import SearchResult
    from lc_platform.products.alignment import Alignment
    from lc_platform.products.cloud_masks import CloudMasks
    from lc_platform.products.options import (
        AlignmentOptions,
        DetectionOptions,
        GridOptions,
        StatisticsOptions,
    )
    from lc_platform.products.raw_bands import AcquisitionStack
    from lc_platform.products.reference_rasters import ReferenceMap


def registered(platform: Platform, context: dg.AssetExecutionContext) -> None:
    """Add the patches that are in the store to Dagster's partitions."""
    partitions.fill(context.instance, [patch.key for patch in platform.grid().patches])


@asset(
    group="area",
    kinds={"geoparquet"},
    code_version="2",
    options=Platform.grid_options,
    unchanged=registered,
)
def patch_grid(
    context: dg.AssetExecutionContext, platform: Platform, options: GridOptions
) -> PatchGrid:
    """The patches: key, box, CRS, UTM zone, and whether the reference covers them."""
    grid = products.patch_grid.lay(options, platform.reference)
    partitions.fill(context.instance, [patch.key for patch in grid.patches])
    return grid


def acquisitions_found(
    platform: Platform, patch: str, year: int, patch_grid: PatchGrid
) -> SearchResult:
    """Search the archive for a patch in a year."""
    platform.may_acquire(patch, year)
    return platform.search(patch_grid[patch], year)


@asset(
    group="imagery",
    kinds={"sentinel2", "zarr"},
    code_version="1",
    options=Platform.acquisition_options,
    given=acquisitions_found,
    pool="acquisition",
)
def raw_bands(platform: Platform, given: SearchResult) -> LazyCube:
    """Every acquisition of a patch in a year: digital numbers, metadata, data mask."""
    from lc_platform.acquisition.acquire import acquire

    where = given.patch.key, given.year
    beside = partial(platform.reusable_beside, *where)
    return acquire(platform.source, given, platform.reusable(*where), platform.auxiliary, beside)


@asset(
    group="imagery",
    kinds={"sentinel2", "zarr"},
    code_version="1",
    options=Platform.detection_options,
)
def cloud_masks(raw_bands: AcquisitionStack, options: DetectionOptions) -> LazyCube:
    """Cloud probability, cloud mask and validity of every acquisition of a patch in a year."""
    return products.cloud_masks.detect(raw_bands, options)


@asset(
    group="imagery",
    kinds={"geotiff", "parquet"},
    code_version="2",
    options=Platform.statistics_options,
)
def observation_stats(
    raw_bands: AcquisitionStack, cloud_masks: CloudMasks, options: StatisticsOptions
) -> LazyCube:
    """Valid observations, mean cloud probability and mean index: of each pixel, of each date."""
    return report.with_figure(products.observation_stats.observe(raw_bands, cloud_masks, options))


@asset(
    group="imagery",
    kinds={"parquet"},
    code_version="1",
    options=Platform.alignment_options,
)
def alignment(
    raw_bands: AcquisitionStack,
    cloud_masks: CloudMasks,
    reference_rasters: ReferenceMap,
    options: AlignmentOptions,
) -> Alignment:
    """How far bands, acquisitions and the reference lie from one another, in pixels and metres."""
    return products.alignment.compare(raw_bands, cloud_masks, reference_rasters, options)
