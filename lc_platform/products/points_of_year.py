"""Points that users brought, as a reference of their year."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lc_platform.cube import Window, points_in, whole
from lc_platform.products.reference_rasters import ReferenceMap
from lc_platform.products.training_samples import Samples


@dataclass(frozen=True)
class PointsOfYear(ReferenceMap):
    """The classes of pixels in which points of one year lie: reference_rasters, which knows no
    years, has those of all."""

    samples: Samples | None = None
    """Of the patch and the year; None where there are none."""

    def classes(self, window: Window | None = None) -> NDArray[np.uint8]:
        """Return (y, x), class ids, 0 where there is no point."""
        here = whole(self.geobox) if window is None else window
        found = np.zeros([side.stop - side.start for side in here], np.uint8)
        if self.samples is not None:
            inside, at = points_in(here, self.samples.rows, self.samples.columns)
            found[at] = self.samples.classes[inside]
        return found

    def unambiguous(self, window: Window | None = None) -> NDArray[np.uint8]:
        """Return the same: what is ambiguous is no sample."""
        return self.classes(window)
