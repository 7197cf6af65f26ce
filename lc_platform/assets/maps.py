"""Assets of the map: predictions of each patch, and the mosaic."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lc_platform import products, report
from lc_platform.area.grid import PatchGrid
from lc_platform.assets.declaration import asset
from lc_platform.cube import LazyCube
from lc_platform.platform import Platform

if TYPE_CHECKING:
    from lc_platform.products.area_statistics import AreaStatistics
    from lc_platform.products.change import Change
    from lc_platform.products.features import FeatureStack
    from lc_platform.products.model import LandCoverModel
    from lc_platform.products.mosaic import Mosaic
    from lc_platform.products.objects import ClassifiedObjects
    from lc_platform.products.options import (
        AreaStatisticsOptions,
        ChangeOptions,
        MosaicOptions,
        ObjectOptions,
        PredictionOptions,
    )
    from lc_platform.products.reference_sample import SampleFile
    from lc_platform.storage.raster_cube import RasterCube


@asset(
    group="maps",
    kinds={"geotiff"},
    code_version="3",
    options=Platform.prediction_options,
)
def predictions(
    features: FeatureStack, model: LandCoverModel, options: PredictionOptions
) -> LazyCube:
    """Class, confidence, entropy and margin of every pixel of a patch."""
    return products.predictions.predict(features, model, options)


@asset(
    group="maps",
    kinds={"geotiff"},
    code_version="2",
    options=Platform.mosaic_options,
)
def mosaic(
    year: int,
    patch_grid: PatchGrid,
    model: LandCoverModel,
    predictions: Mapping[str, RasterCube],
    observation_stats: Mapping[str, RasterCube],
    options: MosaicOptions,
) -> Mosaic:
    """The country's class map, its confidence, applicability and valid-observation count."""
    joined = products.mosaic.Mosaic(
        year, patch_grid.patches, predictions, observation_stats, options, model.version
    )
    return report.with_map_picture(joined)


@asset(
    group="maps",
    kinds={"parquet"},
    code_version="1",
    options=Platform.object_options,
)
def objects(
    year: int,
    patch_grid: PatchGrid,
    predictions: Mapping[str, RasterCube],
    options: ObjectOptions,
) -> ClassifiedObjects:
    """One class for each object, such as a parcel, where `map.objects` names a file of them."""
    return products.objects.assign(year, patch_grid.patches, predictions, options)


def judged(platform: Platform, year: int) -> SampleFile | None:
    """What people have judged of the year's map, which its file holds then."""
    return platform.filled_sample(year)


@asset(
    group="maps",
    kinds={"parquet"},
    code_version="1",
    options=Platform.area_statistics_options,
    given=judged,
)
def area_statistics(
    platform: Platform,
    year: int,
    mosaic: Mapping[str, str],
    options: AreaStatisticsOptions,
    given: SampleFile | None = None,
) -> AreaStatistics:
    """The area of each class, by unit too; with intervals where a sample of points is judged."""
    land_cover = platform.land_cover(year, mosaic)
    return products.area_statistics.measure(year, land_cover, options, given)


def judged_before(platform: Platform, year: int) -> SampleFile | None:
    """What people have judged of the year's map and of the year before at the same points."""
    return platform.change_sample(year)


@asset(
    group="maps",
    kinds={"geotiff", "parquet"},
    code_version="1",
    options=Platform.change_options,
    given=judged_before,
    evidence=Platform.change_years,
)
def change(
    year: int,
    patch_grid: PatchGrid,
    predictions: Mapping[int, Mapping[str, RasterCube]],
    options: ChangeOptions,
    given: SampleFile | None = None,
) -> Change:
    """What has changed since the year before, from the probabilities of both years and of those
    around them. The first year has none."""
    return products.change.Change(year, patch_grid.patches, predictions, options, given)
