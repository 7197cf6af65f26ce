"""How much of a map lies within the area of applicability, by class and by patch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.eo.applicability import OUTSIDE

APPLICABILITY = "applicability"
"""The layer: percent of the threshold, 1 to 100 inside, 101 to 255 outside, 0 where no data."""


@dataclass
class ApplicableArea:
    """Counts of pixels, filled window by window."""

    classes: dict[int, NDArray[np.int64]] = field(
        default_factory=lambda: defaultdict(lambda: np.zeros(2, np.int64))
    )
    """By class id, (inside or outside,)."""
    patches: dict[str, NDArray[np.int64]] = field(
        default_factory=lambda: defaultdict(lambda: np.zeros(2, np.int64))
    )
    """By patch, likewise."""

    def add(self, classes: NDArray[np.uint8], percent: NDArray[np.uint8]) -> None:
        """Count a window of the map.

        classes  (y, x), class ids, 0 where no data
        percent  (y, x), of the layer
        """
        known = percent > 0
        pairs = classes[known].astype(np.int64) * 2 + (percent[known] > OUTSIDE)
        counts = np.bincount(pairs, minlength=512).reshape(256, 2)
        for class_id in np.flatnonzero(counts[1:].any(axis=1)) + 1:
            self.classes[int(class_id)] += counts[class_id]

    def add_patch(self, patch: str, percent: NDArray[Any]) -> None:
        """Count a part of a patch, of any shape."""
        outside = int((percent > OUTSIDE).sum())
        self.patches[patch] += np.array([int((percent > 0).sum()) - outside, outside])

    @property
    def share_outside(self) -> float | None:
        """Of all pixels with a class; None where there is none."""
        return _share(sum(self.classes.values(), np.zeros(2, np.int64)))

    def by_class(self, names: Mapping[int, str]) -> dict[str, float]:
        """Return the share of each class's pixels that is outside, by its name."""
        found = {name: _share(self.classes[i]) for i, name in names.items() if i in self.classes}
        return {name: share for name, share in found.items() if share is not None}

    def to_dict(self, names: Mapping[int, str]) -> dict[str, Any]:
        """Return all counts and shares, as JSON has them.

        names  of the classes by id
        """
        return {
            "share_outside": self.share_outside,
            "classes": {
                name: _told(self.classes[i]) for i, name in names.items() if i in self.classes
            },
            "patches": {patch: _told(counts) for patch, counts in sorted(self.patches.items())},
        }


def _share(counts: NDArray[np.int64]) -> float | None:
    pixels = int(counts.sum())
    return int(counts[1]) / pixels if pixels else None


def _told(counts: NDArray[np.int64]) -> dict[str, Any]:
    return {
        "pixels": int(counts.sum()),
        "pixels_outside": int(counts[1]),
        "share_outside": _share(counts),
    }
