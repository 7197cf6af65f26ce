"""The section `aoi`."""

from __future__ import annotations

from typing import Self

from pydantic import Field, field_validator, model_validator

from lc_platform.config.fields import (
    Metres,
    Number,
    PositiveWhole,
    ProjectedCrs,
    Section,
    Text,
    check_multiple,
)


class Aoi(Section):
    """The area of interest and how it is split into patches."""

    boundary: Text | None = None
    """Any vector file or URL that GDAL reads."""
    layer: Text | None = None
    """The layer of a boundary file that has several layers of polygons."""
    bbox: tuple[Number, Number, Number, Number] | None = None
    """West, south, east, north in degrees (EPSG:4326), in place of a boundary; across 180 degrees
    west is above east."""
    country: Text | None = None
    """A country by its name in Natural Earth, in place of a boundary."""
    natural_earth: Text | None = None
    """A local copy of Natural Earth's countries; by default its public download, cached."""
    buffer: Number = Field(0.0, ge=0)
    """Metres around it."""
    crs: ProjectedCrs = "utm"
    """Of the patches and the map: one projected CRS in metres by its code, such as
    ``EPSG:3763``, or ``utm``: every patch in its own UTM zone."""
    split: tuple[PositiveWhole, PositiveWhole] | None = None
    """Columns and rows of the bounding box, in place of patch_size; it needs one CRS."""
    patch_size: Metres | None = None
    """Metres, a multiple of the resolution."""
    resolution: Metres = 10.0
    """Metres."""
    clip: bool | None = None
    """Whether the map ends at the boundary widened by the buffer, and not with its patches; by
    default for a boundary or a country, not for a box."""

    @property
    def clipped(self) -> bool:
        """Whether the map ends at the area."""
        return self.bbox is None if self.clip is None else self.clip

    @field_validator("crs")
    @classmethod
    def _has_a_code(cls, value: str) -> str:
        from pyproj import CRS

        if value != "utm" and CRS.from_user_input(value).to_authority() is None:
            raise ValueError(f"{value} has no authority's code. Write for example EPSG:32633")
        return value

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        places = [k for k in ("boundary", "bbox", "country") if getattr(self, k) is not None]
        if len(places) != 1:
            given = "none of them is given" if not places else f"{' and '.join(places)} are given"
            raise ValueError(f"exactly one of boundary, bbox and country says where; {given}")
        if (self.split is None) == (self.patch_size is None):
            raise ValueError(
                "exactly one of split (columns x rows) and patch_size (metres) says how the area "
                "is split; " + ("neither is given" if self.split is None else "both are given")
            )
        if self.split is not None and self.crs == "utm":
            raise ValueError(
                "split cuts one bounding box and needs one CRS; with crs: utm give patch_size"
            )
        if self.patch_size is not None:
            check_multiple("patch_size", self.patch_size, "resolution", self.resolution)
        return self
