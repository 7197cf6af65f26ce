"""What every asset is given: the configuration, the archive, the reference, the store."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from lc_platform.clock import Clock
from lc_platform.config import Config
from lc_platform.eo.grid import PatchGrid
from lc_platform.sources import area, open_source
from lc_platform.sources.protocol import Source
from lc_platform.sources.reference import Reference, open_reference
from lc_platform.storage.store import Store


class Platform:
    """A configuration and what it stands for, opened when first needed."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.clock = Clock()

    @cached_property
    def store(self) -> Store:
        return Store(self.config.storage_url)

    @cached_property
    def source(self) -> Source:
        """Raises SourceError where the archive cannot be read."""
        return open_source(self.config)

    @cached_property
    def reference(self) -> Reference:
        """Raises SourceError where the reference map cannot be used."""
        return open_reference(self.config, self.source)

    @cached_property
    def classes(self) -> dict[int, tuple[str, str]]:
        """id -> (name, colour)"""
        return {one.id: (one.name, one.color) for one in self.config.reference.classes}

    def lay_grid(self) -> PatchGrid:
        """The area's patches. Raises ValueError naming the key that must change."""
        found, notes = area.patches(self.config)
        covered = {patch.key: self.reference.covers(patch.geobox) for patch in found}
        return PatchGrid(found, covered, area.summary(found, covered, notes))

    # What the science asks for, under the names of its parameters.

    @property
    def windows(self) -> dict[str, Any]:
        return {"window": self.config.processing.window}

    @property
    def _threads(self) -> dict[str, Any]:
        return {"threads": self.config.processing.threads}

    @property
    def detection(self) -> dict[str, Any]:
        return self.config.clouds.model_dump() | self._threads

    @property
    def class_list(self) -> dict[str, Any]:
        return {"class_ids": tuple(self.classes), "colors": self.config.class_colors}

    @property
    def feature_list(self) -> dict[str, Any]:
        features = self.config.features
        return {
            "bands": self.config.imagery.bands,
            "indices": self.config.indices,
            "interval": features.interval,
            "min_valid_fraction": features.min_valid_fraction,
            "stored": features.stored,
        } | self._threads

    @property
    def sampling(self) -> dict[str, Any]:
        sampling = self.config.sampling
        return {
            "pixels_per_patch": sampling.pixels_per_patch,
            "erosion": sampling.erosion,
            "seed": sampling.seed,
        }

    @property
    def learning(self) -> dict[str, Any]:
        sampling = self.config.sampling
        return {
            "classes": self.config.class_names,
            "parameters": self.config.model_parameters,
            "test_fraction": sampling.test_fraction,
            "seed": sampling.seed,
            "balanced": sampling.class_weights == "balanced",
        } | self._threads

    @property
    def assessing(self) -> dict[str, Any]:
        return {"classes": self.config.class_names} | self.windows | self._threads

    @property
    def predicting(self) -> dict[str, Any]:
        return (
            {
                "colors": self.config.class_colors,
                "probabilities": self.config.processing.probabilities,
            }
            | self.windows
            | self._threads
        )
