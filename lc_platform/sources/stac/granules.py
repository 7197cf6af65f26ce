"""Which of a pass's granules go before the others."""

from __future__ import annotations

from collections.abc import Sequence

import shapely
from odc.geo.geobox import GeoBox

from lc_platform.eo import polygons
from lc_platform.sources.passes import in_degrees
from lc_platform.sources.stac.items import Granule

_REPLACED_SHARE = 0.99


def by_preference(granules: Sequence[Granule]) -> list[Granule]:
    """Return tile by tile, the newest processing first, without what it replaces.

    Two items of a tile may be two processings of one granule, or the two halves of a tile that a
    datastrip's end cuts: an older one goes only where newer ones cover it.
    """

    def age(granule: Granule) -> tuple[tuple[int, ...], str, str]:
        properties = granule.item.properties
        return (
            granule.baseline,
            str(properties.get("updated") or properties.get("created") or ""),
            granule.id,
        )

    kept: list[Granule] = []
    for granule in sorted(granules, key=age, reverse=True):
        newer = shapely.union_all(
            [
                other.footprint
                for other in kept
                if granule.tile == other.tile != "" and other.baseline > granule.baseline
            ]
        )
        replaced = granule.footprint.intersection(newer).area
        if newer.is_empty or replaced < _REPLACED_SHARE * granule.footprint.area:
            kept.append(granule)
    return sorted(kept, key=lambda granule: granule.tile)


def granules_on(geobox: GeoBox, granules: Sequence[Granule]) -> list[int]:
    """Return which granules to read, in order: those near the grid, those in its CRS first."""
    if len(granules) == 1:
        return [0]
    # Footprints are drawn roughly (straight lines between far corners), hence the margin.
    footprint = polygons.normalized(in_degrees(geobox.extent).buffer(0.02))
    near = [i for i, granule in enumerate(granules) if granule.footprint.intersects(footprint)]
    return sorted(near, key=lambda i: granules[i].crs != str(geobox.crs))
