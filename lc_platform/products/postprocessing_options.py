"""What is done with the probabilities of classes until they are the map."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from lc_platform.config import Config
from lc_platform.config.options import ABSENT


def map_margin(config: Config) -> int:
    """Return how many pixels beyond a patch its map depends on: by what is done with the
    probabilities of classes, and before that by the texture of features."""
    features, margin = config.features, Postprocessing.of(config).margin
    if "texture" not in features.families:
        return margin
    from lc_platform.eo import texture

    return margin + texture.margin(features.texture.window)


@dataclass(frozen=True, kw_only=True)
class Postprocessing:
    """What is done with the probabilities of classes until they are the map; by default nothing."""

    smoothing_window: int = 1
    """Pixels along the side of the neighbourhood of Bayesian smoothing; 1 for none."""
    variances: Mapping[int, float] = field(default_factory=dict)
    """Of the logits of each class, by its id."""
    segment_size: int = 0
    """Pixels along the side of the squares that segments begin as; 0 for none."""
    segment_compactness: float = 0.0
    """How much lying together counts beside being alike."""
    mode_window: int = 1
    """Pixels along the side of the square whose most frequent class a pixel takes; 1 for none."""
    unit: int = 1
    """Pixels that a piece of land has at least; 1 for any."""

    @classmethod
    def of(cls, config: Config) -> Postprocessing:
        """Return what a configuration says."""
        asked = config.map
        smoothed, unit = asked.smoothing == "bayes", 1
        if asked.minimum_unit:
            from lc_platform.eo.generalization import unit_in_pixels

            unit = unit_in_pixels(asked.minimum_unit, config.aoi.resolution)
        return cls(
            smoothing_window=asked.smoothing_window if smoothed else 1,
            variances=asked.variances(config.class_names) if smoothed else {},
            segment_size=asked.segment_size,
            segment_compactness=asked.segment_compactness if asked.segment_size else 0.0,
            mode_window=asked.mode_window,
            unit=unit,
        )

    @property
    def margin(self) -> int:
        """How many pixels beyond a window's border its map depends on."""
        if not self:
            return 0
        from lc_platform.eo import generalization, segments, smoothing

        return (
            smoothing.margin(self.smoothing_window)
            + (segments.margin(self.segment_size) if self.segment_size else 0)
            + generalization.mode_margin(self.mode_window)
            + generalization.sieve_margin(self.unit)
        )

    def __bool__(self) -> bool:
        return max(self.smoothing_window, self.segment_size, self.mode_window, self.unit) > 1

    @property
    def described(self) -> Any:
        """What versions are made of; ABSENT where nothing is done."""
        done: dict[str, Any] = {}
        if self.smoothing_window > 1:
            variances = {str(i): value for i, value in sorted(self.variances.items())}
            done["smoothing"] = {"window": self.smoothing_window, "variances": variances}
        if self.segment_size:
            done["segments"] = {"size": self.segment_size, "compactness": self.segment_compactness}
        if self.mode_window > 1:
            done["mode_window"] = self.mode_window
        if self.unit > 1:
            done["unit"] = self.unit
        return done or ABSENT
