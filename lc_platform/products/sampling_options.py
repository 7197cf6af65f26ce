"""The options of `training_samples`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lc_platform.area.mask import Area, ConfiguredArea
from lc_platform.config import Processing, Sampling
from lc_platform.config.options import ABSENT, SPEED, Options, appearance, data, if_any, option
from lc_platform.cube import Legend
from lc_platform.products.options import CLIPPED
from lc_platform.sources.point_options import PointOptions, counted

_SAMPLING = Sampling()


def _unless_uniform(strategy: str) -> Any:
    return ABSENT if strategy == "uniform" else strategy


def _names(classes: Legend) -> list[str]:
    return [name for name, _ in classes.values()]


@dataclass(frozen=True, kw_only=True)
class SamplingOptions(Options):
    """The options of `training_samples`."""

    strategy: Literal["uniform", "balanced", "by_polygon"] = option(
        data("sampling.strategy", value=_unless_uniform), default=_SAMPLING.strategy
    )
    """Whether every pixel has the same chance, or the same number is drawn of each class or
    polygon."""
    pixels_per_patch: int = option(
        data("sampling.pixels_per_patch"), default=_SAMPLING.pixels_per_patch
    )
    pixels_per_class: int | None = option(
        data("sampling.pixels_per_class", value=if_any), default=None
    )
    """The most of a class, where the strategy is balanced."""
    pixels_per_polygon: int | None = option(
        data("sampling.pixels_per_polygon", value=if_any), default=None
    )
    """The most of a polygon, where the strategy is by_polygon, which needs it."""
    erosion: int = option(data("sampling.erosion"), default=_SAMPLING.erosion)
    """Pixels; what is that near to another class is not drawn, nor what is ambiguous."""
    class_erosion: Mapping[int, int] = option(
        data("sampling.class_erosion", value=if_any), default_factory=dict
    )
    """Class id -> pixels, of the classes that are eroded by more or less."""
    core_fraction: float = option(
        data("sampling.core_fraction", value=if_any), default=_SAMPLING.core_fraction
    )
    """Least share of a polygon's labelled pixels, 0 to 1, that erosion leaves; others are not
    eroded."""
    points: PointOptions | None = option(data("sampling.points", value=counted), default=None)
    """Points that users bring, which are all samples; None where there are none."""
    validation_pixels: int = option(data("validation_pixels", value=if_any), default=0)
    """Pixels that are drawn beside, of all that have a label, to calibrate on."""
    seed: int = option(data("sampling.seed"), default=_SAMPLING.seed)
    area: Area | ConfiguredArea | None = option(CLIPPED, default=None)
    """The area that the map ends at: pixels beyond are not drawn."""
    classes: Legend = option(
        appearance("reference.classes.name", value=_names), default_factory=dict
    )
    """The stored table names its classes; their colours only show in a picture that is not part
    of it."""
    window: int = option(SPEED, default=Processing().window)
    """Pixels along the side of the windows that features are read by."""
