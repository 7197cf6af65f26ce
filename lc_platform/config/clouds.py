"""The section `clouds`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from lc_platform.catalogue import CATALOGS
from lc_platform.config.fields import (
    Fraction,
    Metres,
    Section,
    Truth,
    Whole,
    check_multiple,
    fraction,
)
from lc_platform.config.imagery import Imagery
from lc_platform.eo import csmask

NETWORK_RESOLUTION = 30.0
"""Metres, about which the networks of ukis-csmask are said to do best."""


class Clouds(Section):
    """The detection of clouds."""

    method: Literal["s2cloudless", "unet", "scl", "fmask", "provider"] = "s2cloudless"
    """s2cloudless needs L1C, scl L2A, fmask HLS; unet, a network of the extra `unet`, takes L1C or
    L2A; provider takes the masks CLM and CLP of source sentinel_hub, or of what was imported."""
    threshold: Fraction = 0.4
    """The cloud probability, between 0 and 1, above which a pixel is cloud."""
    average_over: Whole = Field(4, ge=0)
    """Pixels of the detector's grid that the probability is averaged over."""
    dilation: Whole = Field(2, ge=0)
    """Pixels of the detector's grid that clouds are widened by."""
    resolution: Metres = 80.0
    """Metres that the detector runs at, a multiple of aoi.resolution; 10 is full resolution. The
    default of unet is 30."""
    shadows: Truth = False
    """Whether clouds are projected along the sun's rays, and what is dark there is not used."""
    shadow_reach: Metres = 4000.0
    """Metres beyond the patch, to each side, in which clouds that cast shadows are looked for."""
    snow: Truth = False
    """Whether snow is found, and not used."""
    temporal: Truth = False
    """Whether each observation is compared with the pixel's own season: clouds and shadows that a
    single scene hides are not used, and ground that only looks like cloud is."""

    _threshold_unit = field_validator("threshold", mode="before")(fraction)

    @model_validator(mode="before")
    @classmethod
    def _resolution_of_networks(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("method") == "unet":
            return {"resolution": NETWORK_RESOLUTION, **data}
        return data

    @model_validator(mode="after")
    def _networks_decide(self) -> Self:
        given = [key for key in ("threshold", "average_over") if key in self.model_fields_set]
        if self.method == "unet" and given:
            raise ValueError(
                f"{given[0]}: the network of method: unet says which class is the most probable, "
                f"and no {given[0]} is asked for. Remove the key"
            )
        return self

    @property
    def refined(self) -> tuple[str, ...]:
        """The keys that are asked for of those that go beyond the method itself."""
        return tuple(key for key in ("shadows", "snow", "temporal") if getattr(self, key))

    def check_fits(self, imagery: Imagery, resolution: float) -> None:
        """Raises ValueError where the method does not fit the imagery, or the detector's grid the
        map's, whose pixels are of ``resolution`` metres."""
        if (self.method == "fmask") != imagery.hls:
            raise ValueError(
                f"clouds.method: {self.method} does not fit {imagery.collection}: fmask reads "
                "the band Fmask of HLS, where clouds are found already, and no other collection "
                "has it. Take "
                + ("clouds.method: fmask" if imagery.hls else "s2cloudless for L1C, scl for L2A")
            )
        if self.method == "s2cloudless" and imagery.level_2a:
            raise ValueError(
                f"clouds.method: s2cloudless needs ten L1C bands, B10 among them, and "
                f"{imagery.collection} is L2A, which has no B10. Take clouds.method: scl, or "
                "imagery.collection: sentinel-2-l1c"
            )
        if self.method == "unet":
            if not (imagery.level_2a or imagery.level_1c):
                raise ValueError(
                    "clouds.method: unet has networks for reflectance at the top of the atmosphere "
                    f"(L1C) and of the surface (L2A), and {imagery.collection} says neither in its "
                    "name. Take imagery.collection: sentinel-2-l1c or sentinel-2-l2a"
                )
            if lacking := csmask.lacking():
                raise ValueError(
                    f"clouds.method: unet takes {' and '.join(lacking)}, which is not installed: "
                    "`pip install 'lc-platform[unet]'`"
                )
        if self.method == "scl" and not imagery.level_2a:
            raise ValueError(
                f"clouds.method: scl reads the scene classification of L2A products, and "
                f"{imagery.collection} is not L2A. Take clouds.method: s2cloudless, or "
                "imagery.collection: sentinel-2-l2a"
            )
        if self.method == "provider" and (
            imagery.source == "simulated" or imagery.catalog in CATALOGS
        ):
            raise ValueError(
                "clouds.method: provider takes the masks of source sentinel_hub, or of a catalog "
                f"that has CLM and CLP, and {imagery.catalog or imagery.source} has none. Take "
                "s2cloudless for L1C, scl for L2A"
            )
        if self.method in ("s2cloudless", "unet") or self.refined:
            check_multiple("clouds.resolution", self.resolution, "aoi.resolution", resolution)
        if self.refined and self.method != "unet" and self.resolution == resolution:
            raise ValueError(
                f"clouds.{self.refined[0]}: true takes a grid coarser than the map's, and "
                f"clouds.resolution is that of the map ({self.resolution:g} m). Give a multiple, "
                f"such as clouds.resolution: {2 * self.resolution:g}"
            )
