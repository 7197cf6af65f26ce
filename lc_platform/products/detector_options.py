"""The options of the cloud detector's imagery: its grid, and the bands that are acquired on it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lc_platform.catalogue import canonical_band
from lc_platform.config import Clouds, Config
from lc_platform.eo import csmask
from lc_platform.eo.clouds import DETECTOR_BANDS, detector_margin

if TYPE_CHECKING:
    from lc_platform.products.options import DetectionOptions

ARCHIVE_BANDS = {"scl": ("SCL",), "fmask": ("Fmask",), "provider": ("CLP", "CLM")}
"""Bands of the archive that a method takes its masks from."""


@dataclass(frozen=True)
class DetectorGrid:
    """The grid that the cloud detector's imagery is acquired on."""

    resolution: float
    """Metres."""
    margin: int
    """Pixels beyond the patch on each side."""
    tiled: bool = False
    """Whether there are whole tiles of a cloud network, and so more pixels beyond."""

    @property
    def counted(self) -> dict[str, Any]:
        """What versions are made of."""
        found = {"resolution": self.resolution, "margin": self.margin}
        return {**found, "tiled": True} if self.tiled else found


def shadow_pixels(options: Clouds | DetectionOptions) -> int:
    """Return how many of the detector's pixels a shadow may lie from its cloud; 0 where no shadows
    are looked for."""
    return math.ceil(options.shadow_reach / options.resolution) if options.shadows else 0


def detector_grid(clouds: Clouds) -> DetectorGrid | None:
    """Return the grid of a section `clouds`; None where its method needs no imagery of its own."""
    margin = shadow_pixels(clouds)
    if clouds.method == "s2cloudless":
        margin += detector_margin(clouds.average_over, clouds.dilation)
    elif clouds.method == "unet":
        margin += clouds.dilation
    elif not clouds.refined:
        return None
    return DetectorGrid(clouds.resolution, margin, tiled=clouds.method == "unet")


def network_bands(config: Config) -> tuple[str, ...]:
    """Return the bands that a cloud network reads: six where the two of shortwave infrared are
    acquired for the features too, else four."""
    names = [canonical_band(name) for name in csmask.BANDS]
    infrared = set(names[csmask.FEWEST :])
    return tuple(names if infrared <= {*config.acquired_bands} else names[: csmask.FEWEST])


def detector_bands(config: Config) -> tuple[str, ...]:
    """Return the bands that are acquired on that grid; none where there is no such grid."""
    clouds = config.clouds
    if clouds.method == "unet":
        own = network_bands(config)
    else:
        own = ARCHIVE_BANDS.get(clouds.method, DETECTOR_BANDS)
    if not clouds.refined:
        return own if clouds.method in ("s2cloudless", "unet") else ()
    from lc_platform.eo import snow, temporal_mask  # which load what compiles

    # Green is not among the detector's; where snow is only left aside red stands for it.
    visible = snow.GREEN if clouds.snow else snow.RED
    return tuple(dict.fromkeys([*own, *temporal_mask.BANDS, visible, *snow.INFRARED]))
