"""What every asset is given: the configuration, the archive, the reference, the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lc_platform.acquisition.budget import StoreLedger
from lc_platform.area.grid import Patch, PatchGrid
from lc_platform.artefacts.grid_format import GridFormat
from lc_platform.artefacts.layout import Partition, key
from lc_platform.artefacts.records import Records
from lc_platform.artefacts.versions import ABSENT, Versions, VersionSpec, digest
from lc_platform.config import Config, Simulation
from lc_platform.eo.indices import KNOWN
from lc_platform.errors.transient import PermanentFailures
from lc_platform.runtime.stopwatch import Clock
from lc_platform.sources import open_auxiliary, open_source
from lc_platform.sources.protocol import QuotaError, Source
from lc_platform.storage import content
from lc_platform.storage.errors import StorageError
from lc_platform.storage.store import Store

if TYPE_CHECKING:
    from lc_platform.acquisition.acquire import SearchResult
    from lc_platform.acquisition.reuse import ReusableAcquisition
    from lc_platform.area.mask import Area
    from lc_platform.products.auxiliary_features import AuxiliaryBands
    from lc_platform.sources.reference_map import Reference


class Platform:
    """A configuration and what it stands for, opened when first needed."""

    def __init__(self, config: Config, recipes: Sequence[VersionSpec] = ()) -> None:
        self.config = config
        self.clock = Clock()
        self.failed_before = PermanentFailures()
        self._recipes = recipes

    @cached_property
    def store(self) -> Store:
        return Store.of(self.config)

    @cached_property
    def source(self) -> Source:
        """Raises SourceError where the archive cannot be read."""
        return open_source(self.config, self.ledger)

    @cached_property
    def auxiliary(self) -> Mapping[str, Source]:
        """The archives of further collections, by the collections' names."""
        return open_auxiliary(self.config, self.ledger)

    @cached_property
    def ledger(self) -> StoreLedger:
        """What all workers spend in the archive."""
        return StoreLedger(self.store, self.config.imagery.budget)

    def account(self) -> dict[str, Any]:
        """What all workers have spent in the archive this month, and what the budget has left."""
        self.ledger.flush()
        try:
            now = self.ledger.spending()
        except StorageError:
            return {}  # what was acquired is whole, and its page tells less
        return {
            "requests_this_month": now.spent.requests,
            "processing_units_this_month": now.spent.processing_units,
            **{f"{limit}_left": left for limit, left in now.left.items()},
        }

    def may_acquire(self, patch: str, year: int) -> None:
        """Raises QuotaError where nothing of a patch's year is there and this month nothing more
        can be acquired, so that the archive need not be searched."""
        refused = self.ledger.refused
        if refused and not self.store.exists(key("raw_bands", patch, year)):
            raise QuotaError(str(refused))

    def offer(
        self,
        patch: Patch,
        year: int,
        source: Source | None = None,
        auxiliary: Mapping[str, Source] | None = None,
    ) -> SearchResult:
        """What the archive, or another that is opened already, has of a patch in a year.

        Raw bands of a time when the state of an archive's files was not looked at keep their
        version while nothing tells that they have changed. Raises what `acquire.offer` does.
        """
        from lc_platform.acquisition.acquire import offer

        found = offer(
            source or self.source,
            patch,
            year,
            self.config,
            self.auxiliary if auxiliary is None else auxiliary,
        )
        if found.named == found.named_alone:
            return found
        recorded = self.versions.records.of("raw_bands", Partition(patch.key, year))
        if recorded is None or recorded.given != digest(found.named_alone):
            return found
        return replace(found, as_before=found.is_as(self.held(patch.key, year)))

    def held(self, patch: str, year: int) -> list[ReusableAcquisition]:
        """What there is of a patch's raw bands from before."""
        from lc_platform.acquisition.reuse import marked, stored
        from lc_platform.storage.zarr_cube import remaining

        recorded = self.versions.records.of("raw_bands", Partition(patch, year)) is not None
        found: list[ReusableAcquisition] = []
        for remains in remaining(self.store, key("raw_bands", patch, year)):
            if remains.cube is None:
                found += marked(remains.marks, remains)
            else:
                found += stored(remains.cube, remains, sure=recorded)
        return found

    @cached_property
    def reference(self) -> Reference:
        """Raises SourceError where the reference map cannot be used."""
        from lc_platform.sources.reference_map import open_reference

        return open_reference(self.config, self.source)

    @cached_property
    def classes(self) -> dict[int, tuple[str, str]]:
        """id -> (name, colour)"""
        return {one.id: (one.name, one.color) for one in self.config.reference.classes}

    def lay_grid(self) -> PatchGrid:
        """The area's patches. Raises ValueError naming the key that must change."""
        from lc_platform.area import patches

        found, notes = patches.patches(self.config)
        notes = [*notes, *self.reference.notes]
        covered = {patch.key: self.reference.covers(patch.geobox) for patch in found}
        return PatchGrid(found, covered, patches.summary(found, covered, notes))

    @cached_property
    def versions(self) -> Versions:
        return Versions(Records(self.store), self._recipes, self.setting, self.grid)

    def grid(self) -> PatchGrid:
        """The patches as they are stored. Raises MissingArtefactError where they are not."""
        return GridFormat().open(self.store, key("patch_grid"))

    # What versions are made of.

    def setting(self, name: str) -> Any:
        """A setting by its name: a key of the configuration, where the content of a file stands
        for its path, or what several keys come to."""
        if name in _TOGETHER:
            return getattr(self, name)
        value: Any = self.config
        for part in name.split("."):
            value = (
                [getattr(v, part) for v in value]
                if isinstance(value, tuple)
                else (value and getattr(value, part))
            )
        if name not in _FILES:
            return value
        found = self._content(name, value)
        layer = self.config.reference.layer
        return f"{found}, layer {layer}" if name == "reference.path" and layer else found

    def _content(self, name: str, path: str | None) -> str | None:
        if not path:
            return None
        # As it is written: a variable's value is no part of what artefacts are made of.
        return content.digest(self.config.located(path, name)) or path

    @property
    def split_area(self) -> dict[str, Any]:
        """What the patches are laid by."""
        names = [*type(self.config.aoi).model_fields]
        values = {name: self.setting(f"aoi.{name}") for name in names if name != "clip"}
        # A key that came later counts where it is given: areas laid before it stay as they are.
        return {k: v for k, v in values.items() if k not in _ADDED or v is not None}

    @property
    def clipped_area(self) -> Any:
        """What the map ends at; absent where that is not the area."""
        if not self.config.aoi.clipped:
            return ABSENT
        return {name: v for name, v in self.split_area.items() if name not in _OF_THE_SPLIT}

    @property
    def detector_grid(self) -> dict[str, Any] | None:
        """What the cloud detector's imagery is acquired by; None where it needs none of its own."""
        clouds = self.config.clouds
        if clouds.method != "s2cloudless":
            return None
        from lc_platform.eo.clouds import detector_margin

        margin = detector_margin(clouds.average_over, clouds.dilation)
        return {"resolution": clouds.resolution, "margin": margin}

    @property
    def simulated_reference(self) -> Any:
        """What the simulated archive's reference is drawn by; None where there is a file."""
        if self.config.reference.path:
            return None
        simulation = self.config.imagery.simulation or Simulation()
        return {"seed": simulation.seed, "mistakes": simulation.mistakes}

    @property
    def simulated_imagery(self) -> Any:
        """What the simulated archive's imagery is drawn by; None of another archive."""
        if self.config.imagery.source != "simulated":
            return None
        simulation = self.config.imagery.simulation or Simulation()
        return {"seed": simulation.seed, "cloudiness": simulation.cloudiness}

    @property
    def further_imagery(self) -> Any:
        """What is acquired of further collections."""
        return [
            {
                "name": one.name,
                "source": self.config.imagery.auxiliary_source(one),
                "collection": one.collection,
                "catalog": one.catalog,
                "bands": one.acquired_bands,
            }
            for one in self.config.imagery.also
        ]

    @property
    def further_features(self) -> tuple[AuxiliaryBands, ...]:
        """What becomes of it."""
        imagery = self.config.imagery
        if not imagery.also:
            return ()
        from lc_platform.products.auxiliary_features import AuxiliaryBands

        return tuple(
            AuxiliaryBands(one.name, one.bands, imagery.auxiliary_quantity(one), one.quality_band)
            for one in imagery.also
        )

    # What the science asks for, under the names of its parameters.

    @cached_property
    def area(self) -> Area | None:
        """What the map ends at; None where it ends with its patches. Raises BoundaryError."""
        if not self.config.aoi.clipped:
            return None
        from lc_platform.area import patches
        from lc_platform.area.mask import Area

        found = patches.boundary(self.config)
        return Area(found.geometry, found.crs, self.config.aoi.buffer)

    @property
    def statistics_index(self) -> Any:
        """The index that statistics are of; it was NDVI before it was a setting."""
        index = self.config.statistics_index
        return ABSENT if index == KNOWN["NDVI"] else index

    @property
    def statistics(self) -> dict[str, Any]:
        return {"index": self.config.statistics_index} | self.windows

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
            "also": self.further_features,
            "area": self.area,
            "stored": features.stored,
        } | self._threads

    @property
    def sampling(self) -> dict[str, Any]:
        sampling = self.config.sampling
        return {
            "pixels_per_patch": sampling.pixels_per_patch,
            "erosion": sampling.erosion,
            "seed": sampling.seed,
            "area": self.area,
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
            "patches": self.grid().keys,
        } | self._threads

    @property
    def assessing(self) -> dict[str, Any]:
        asked = {
            "classes": self.config.class_names,
            "area": self.area,
            "patches": self.grid().keys,
        }
        return asked | self.windows | self._threads

    @property
    def predicting(self) -> dict[str, Any]:
        return (
            {
                "colors": self.config.class_colors,
                "probabilities": self.config.processing.probabilities,
                "area": self.area,
            }
            | self.windows
            | self._threads
        )


_ADDED = ("layer",)
_FILES = ("aoi.boundary", "aoi.natural_earth", "reference.path")
_OF_THE_SPLIT = ("crs", "split", "patch_size", "resolution")
"""Keys of the area that say how it is split, not where it is."""
_TOGETHER = (
    "split_area",
    "clipped_area",
    "detector_grid",
    "simulated_imagery",
    "simulated_reference",
    "further_imagery",
    "further_features",
    "statistics_index",
)
