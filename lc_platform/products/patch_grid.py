"""The patches of the area, and which of them the reference covers."""

from __future__ import annotations

from lc_platform.area.grid import PatchGrid
from lc_platform.area.patches import patches, summary
from lc_platform.products.options import GridOptions
from lc_platform.sources.reference_map import Reference


def lay(options: GridOptions, reference: Reference) -> PatchGrid:
    """Split the area into patches and ask of each whether the reference covers it.

    Raises ValueError naming the key of the configuration that must change.
    """
    found, notes = patches(options.area)
    covered = {patch.key: reference.covers(patch.geobox) for patch in found}
    return PatchGrid(found, covered, summary(found, covered, [*notes, *reference.notes]))
