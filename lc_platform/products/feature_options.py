"""The options of `features`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lc_platform.area.mask import Area, ConfiguredArea
from lc_platform.config import Features, Imagery, Processing
from lc_platform.config.options import ABSENT, SPEED, Options, appearance, data, option
from lc_platform.eo.indices import Index
from lc_platform.eo.season import Season
from lc_platform.products.feature_families import (
    FAMILIES,
    Families,
    Series,
    described,
    names_without_date,
    series_of,
)
from lc_platform.products.options import CLIPPED
from lc_platform.sources.layers.options import LayerOptions, counted

if TYPE_CHECKING:
    from lc_platform.products.auxiliary_features import AuxiliaryBands

_FEATURES, _PROCESSING = Features(), Processing()


def families_of(features: Features) -> Families:
    """Return the families that a configuration chooses, in the order of ``FAMILIES``."""
    return tuple(
        kind(**dict(getattr(features, name)))
        for name, kind in FAMILIES.items()
        if name in features.families
    )


def _families(families: Families) -> Any:
    """Return families, but for the one that there was before there were others."""
    return ABSENT if families == (Series(),) else described(families)


def _layers(layers: Sequence[LayerOptions]) -> Any:
    return counted(layers) or ABSENT


def _counted(indices: Sequence[Index]) -> Any:
    return [index.counted for index in indices]


@dataclass(frozen=True, kw_only=True)
class FeatureOptions(Options):
    """The options of `features`."""

    bands: tuple[str, ...] = option(
        data("imagery.bands"), default=Imagery.model_fields["bands"].default
    )
    indices: tuple[Index, ...] = option(data("indices", value=_counted), default=())
    auxiliary: tuple[AuxiliaryBands, ...] = option(
        data("further_features", value=lambda several: [one.described for one in several]),
        default=(),
    )
    """Bands of auxiliary collections, each interpolated between its own valid observations,
    however few of them an acquisition has."""
    families: Families = option(data("features.families", value=_families), default=(Series(),))
    """What is made of the bands and indices."""
    layers: tuple[LayerOptions, ...] = option(data("features.layers", value=_layers), default=())
    """Rasters that have no season."""
    interval: int = option(data("features.interval"), default=_FEATURES.interval)
    """Days between the dates, from the season's first."""
    min_valid_fraction: float = option(
        data("features.min_valid_fraction"), default=_FEATURES.min_valid_fraction
    )
    """0 to 1; an acquisition is left out where less is valid of what the area covers of the patch
    and any acquisition of the year has data of."""
    area: Area | ConfiguredArea | None = option(CLIPPED, default=None)
    """The area that the map ends at; None where the map is of the whole patch."""
    stored: bool = option(appearance("features.stored"), default=_FEATURES.stored)
    """False where only the description is stored and features are computed when they are read."""
    window: int = option(SPEED, default=_PROCESSING.window)
    """Pixels along the side of the windows that are computed at a time."""
    threads: int = option(SPEED, default=_PROCESSING.threads)
    """Threads that may be used, 0 for all."""

    def of_year(self, year: int) -> FeatureOptions:
        return replace(self, layers=tuple(one.of_year(year) for one in self.layers))


def season_names(options: FeatureOptions, season: Season, year: int) -> tuple[str, ...]:
    """Return the names of the features that a year will have, in order, but for those of layers,
    which their rasters name."""
    main = (*options.bands, *(index.name for index in options.indices))
    collections = (main, *(one.features for one in options.auxiliary))
    series = series_of(options.families)
    days = [] if series is None else (series.targets(season, year, options.interval) + 1).tolist()
    dated = (f"{name}_{day:03d}" for day in days for of in collections for name in of)
    return (*dated, *names_without_date(options.families, collections))
