"""The assets that are published: the report of a year's map, and the catalog of all there is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lc_platform import report as pages
from lc_platform import stac
from lc_platform.area.grid import PatchGrid
from lc_platform.assets.declaration import asset
from lc_platform.platform import Platform

if TYPE_CHECKING:
    from lc_platform.products.alignment import Alignment
    from lc_platform.products.area_statistics import AreaStatistics
    from lc_platform.products.catalog import Catalog, Listed
    from lc_platform.products.catalog_options import CatalogOptions
    from lc_platform.products.evaluation import Evaluation
    from lc_platform.products.model import LandCoverModel
    from lc_platform.products.objects import ClassifiedObjects
    from lc_platform.products.options import ReportOptions
    from lc_platform.products.report import Report, StoredChange
    from lc_platform.storage.raster_cube import RasterCube


def changed(platform: Platform, year: int) -> StoredChange | None:
    """The change of the year, where there is one."""
    return platform.stored_change(year)


@asset(
    group="maps",
    kinds={"html"},
    code_version="2",
    options=Platform.report_options,
    given=changed,
)
def report(
    platform: Platform,
    year: int,
    patch_grid: PatchGrid,
    model: LandCoverModel,
    evaluation: Evaluation,
    mosaic: Mapping[str, str],
    area_statistics: AreaStatistics,
    objects: ClassifiedObjects,
    observation_stats: Mapping[str, RasterCube],
    alignment: Mapping[str, Alignment],
    options: ReportOptions,
    given: StoredChange | None = None,
) -> Report:
    """All there is to say of a year's map in one HTML file, to be mailed and printed."""
    contents = pages.Contents(
        year,
        platform.store,
        patch_grid,
        model.card,
        evaluation.metrics,
        mosaic,
        area_statistics.content,
        objects.about,
        sorted(observation_stats),
        alignment,
        pages.versions(platform.versions.look(), year),
        None if given is None else given.content,
    )
    return pages.write_report(contents, options)


def listed(platform: Platform, year: int) -> Listed:
    """What there is of the year."""
    return platform.listed(year)


@asset(
    group="maps",
    kinds={"stac"},
    code_version="1",
    options=Platform.catalog_options,
    given=listed,
    follows=("evaluation", "mosaic", "area_statistics", "objects", "report"),
)
def catalog(
    platform: Platform, year: int, patch_grid: PatchGrid, options: CatalogOptions
) -> Catalog:
    """What there is of a year as a STAC catalog, which leads from the map to each acquisition."""
    return stac.of_year(platform.store, patch_grid, year, options)
