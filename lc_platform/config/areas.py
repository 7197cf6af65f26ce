"""The section `areas`."""

from __future__ import annotations

from typing import Self

from pydantic import model_validator

from lc_platform.config.fields import Section, Text


class Areas(Section):
    """Which areas `area_statistics` adds up beside those of the whole map."""

    units: Text | None = None
    """A vector file of polygons, such as municipalities, whose areas are added up too."""
    unit_name: Text | None = None
    """The attribute of the units that holds their names."""

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if self.units is not None and self.unit_name is None:
            raise ValueError(
                "unit_name: this key is missing. Name the attribute of areas.units that holds the "
                "units' names"
            )
        if self.unit_name is not None and self.units is None:
            raise ValueError(
                "units: this key is missing. Give the vector file whose attribute "
                f"{self.unit_name} is, or remove areas.unit_name"
            )
        return self
