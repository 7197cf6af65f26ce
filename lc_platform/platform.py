"""The resource of every asset: the configuration, the archives, the reference, the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lc_platform.acquisition.budget import StoreLedger
from lc_platform.area.grid import Patch, PatchGrid
from lc_platform.area.mask import ConfiguredArea
from lc_platform.area.options import AreaOptions, SplitOptions
from lc_platform.artefacts.grid_format import GridFormat
from lc_platform.artefacts.layout import JUDGEMENTS, REFERENCE_SAMPLE, Partition, key
from lc_platform.artefacts.records import Records
from lc_platform.artefacts.versions import NOTHING, Snapshot, Versions, VersionSpec, digest
from lc_platform.config import Config
from lc_platform.config.differing import differing
from lc_platform.config.input_files import InputFile
from lc_platform.config.options import Options
from lc_platform.config.template import is_of_other_ground
from lc_platform.cube import Legend
from lc_platform.eo.season import CALENDAR_YEAR
from lc_platform.errors.transient import PermanentFailures
from lc_platform.products.feature_options import FeatureOptions, families_of
from lc_platform.products.options import (
    COVERAGE,
    AcquisitionOptions,
    AlignmentOptions,
    AreaStatisticsOptions,
    ChangeOptions,
    DetectionOptions,
    EvaluationOptions,
    GridOptions,
    HeldOutOptions,
    MosaicOptions,
    ObjectOptions,
    PredictionOptions,
    ReportOptions,
    StatisticsOptions,
    TrainingOptions,
)
from lc_platform.products.postprocessing_options import Postprocessing
from lc_platform.products.region_options import RegionOptions
from lc_platform.products.sampling_options import SamplingOptions
from lc_platform.runtime.stopwatch import Clock
from lc_platform.sources import open_auxiliary, open_source
from lc_platform.sources.layers.options import LayerOptions
from lc_platform.sources.point_options import PointOptions
from lc_platform.sources.protocol import QuotaError, Source
from lc_platform.sources.reference_options import ReferenceOptions
from lc_platform.storage.errors import StorageError
from lc_platform.storage.store import Store

if TYPE_CHECKING:
    from lc_platform.acquisition.reuse import ReusableAcquisition
    from lc_platform.acquisition.search import SearchResult
    from lc_platform.products.auxiliary_features import AuxiliaryBands
    from lc_platform.products.catalog import Listed
    from lc_platform.products.catalog_options import CatalogOptions
    from lc_platform.products.land_cover import LandCover
    from lc_platform.products.reference_sample import SampleFile
    from lc_platform.products.report import StoredChange
    from lc_platform.sources.reference_map import Reference
    from lc_platform.sources.sample_points import SamplePoints


class Platform:
    """A configuration and what it names, which is opened when it is first needed."""

    def __init__(self, config: Config, specs: Sequence[VersionSpec] = ()) -> None:
        self.config = config
        self.clock = Clock()
        self.failed_before = PermanentFailures()
        self._specs = specs

    @cached_property
    def store(self) -> Store:
        return Store.of(self.config)

    @cached_property
    def source(self) -> Source:
        """The archive of the main collection. Raises SourceError where it cannot be read."""
        return open_source(self.config, self.ledger)

    @cached_property
    def auxiliary(self) -> Mapping[str, Source]:
        """The archives of the auxiliary collections, by the collections' names."""
        return open_auxiliary(self.config, self.ledger)

    @cached_property
    def ledger(self) -> StoreLedger:
        """The account of what all workers spend in the archive."""
        return StoreLedger(self.store, self.config.imagery.budget)

    def account(self) -> dict[str, Any]:
        """Return what all workers have spent in the archive this month, and what is left."""
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

    def search(
        self,
        patch: Patch,
        year: int,
        source: Source | None = None,
        auxiliary: Mapping[str, Source] | None = None,
    ) -> SearchResult:
        """Search the archive, or another open one, for a patch in a year.

        Raw bands from a time when the state of an archive's files was not recorded keep their
        version until something shows that they have changed. Raises what
        `search_acquisitions` does.
        """
        from lc_platform.acquisition.search import search_acquisitions

        found = search_acquisitions(
            source or self.source,
            patch,
            year,
            self.acquisition_options(),
            self.auxiliary if auxiliary is None else auxiliary,
        )
        if found.identity == found.identity_without_files:
            return found
        recorded = self.versions.records.of("raw_bands", Partition(patch.key, year))
        if recorded is None or recorded.given != digest(found.identity_without_files):
            return found
        return replace(found, ignores_files=found.matches(self.reusable(patch.key, year)))

    def reusable(self, patch: str, year: int) -> list[ReusableAcquisition]:
        """Return the stored acquisitions of a patch in a year, those of unfinished writes too."""
        from lc_platform.acquisition.reuse import from_checkpoints, stored
        from lc_platform.storage.zarr_cube import remaining

        recorded = self.versions.records.of("raw_bands", Partition(patch, year)) is not None
        found: list[ReusableAcquisition] = []
        for partial in remaining(self.store, key("raw_bands", patch, year)):
            if partial.cube is None:
                found += from_checkpoints(partial.marks, partial)
            else:
                found += stored(partial.cube, partial, verified=recorded)
        return found

    def reusable_beside(self, patch: str, year: int) -> list[ReusableAcquisition]:
        """Return the stored acquisitions of a patch in the years before and after, which a year's
        season may share; none where it is the calendar year without padding."""
        options = self.acquisition_options()
        if options.season == CALENDAR_YEAR and not options.padding:
            return []
        return [one for beside in (year - 1, year + 1) for one in self.reusable(patch, beside)]

    @cached_property
    def reference(self) -> Reference:
        """The reference map. Raises SourceError where it cannot be used."""
        from lc_platform.sources.reference_map import open_reference

        return open_reference(self.reference_options(), self.source)

    @cached_property
    def points(self) -> SamplePoints | None:
        """The samples that users bring; None where there are none. Raises SourceError where they
        cannot be used."""
        from lc_platform.sources.sample_points import open_points

        options = PointOptions.of(self.config)
        return None if options is None else open_points(options)

    @cached_property
    def classes(self) -> Legend:
        return {one.id: (one.name, one.color) for one in self.config.reference.classes}

    @cached_property
    def versions(self) -> Versions:
        return Versions(Records(self.store), self._specs, self.options, self.grid, self.evidence)

    def evidence(self, spec: VersionSpec, year: int) -> Sequence[int]:
        """Return the years whose patches an artefact of a year is made of; none where there is no
        artefact of that year."""
        return (year,) if spec.evidence is None else spec.evidence(self, year)

    @property
    def partition_years(self) -> Mapping[str, Sequence[int]]:
        """The years that the partitions of each asset are of, where they are of any; assets that
        the configuration does not make are not among them."""
        found = {
            spec.asset: [year for year in self.config.years if self.evidence(spec, year)]
            for spec in self._specs
        }
        return {asset: years for asset, years in found.items() if years}

    def grid(self) -> PatchGrid:
        """Open the patches as they are stored. Raises MissingArtefactError where they are not."""
        return GridFormat().open(self.store, key("patch_grid"))

    def land_cover(self, year: int, files: Mapping[str, str]) -> LandCover:
        """Return a year's map.

        files  the mosaic's, their paths by name
        """
        from lc_platform.products.land_cover import LandCover

        recorded = self.versions.records.of("mosaic", Partition(year=year))
        return LandCover(
            self.store, key("mosaic", year=year), files, recorded.data if recorded else ""
        )

    def reference_sample(self, year: int) -> SampleFile | None:
        """Return the points of a year's map that people judge, with what they judged in the web
        map; None where none were drawn."""
        from lc_platform.products.filled_sample import judged_in
        from lc_platform.products.judgements import JudgementRecords
        from lc_platform.products.reference_sample import sample_file

        file = sample_file(self.store, REFERENCE_SAMPLE.format(year=year))
        if file is None:
            return None
        records = JudgementRecords(self.store, JUDGEMENTS.format(year=year)).read()
        return replace(file, judged=judged_in(records, self.classes))

    def filled_sample(self, year: int) -> SampleFile | None:
        """Return the same, and have its file hold what was judged in the web map, where no program
        has it open."""
        from lc_platform.products.reference_sample import write_judged

        file = self.reference_sample(year)
        if file is not None and file.judged is not None:
            write_judged(self.store, REFERENCE_SAMPLE.format(year=year), file)
        return file

    def change_sample(self, year: int) -> SampleFile | None:
        """Return the points of a year's map whose class of the year before people have judged too;
        None where there are none."""
        from lc_platform.products.filled_sample import BEFORE

        file = self.reference_sample(year)
        return file if file is not None and file.is_filled(BEFORE) else None

    def judged_since(self, look: Snapshot, asset: str, year: int) -> Mapping[Partition, str]:
        """Return which area statistics, or change, of a year are not of its reference sample as it
        is now, with the reason."""
        recorded = look.recorded(asset, year)
        if not recorded:
            return {}
        file = self.change_sample(year) if asset == "change" else self.reference_sample(year)
        now = NOTHING if file is None else digest(file.identity)
        why = "the reference sample has changed"
        return {where: why for where, version in recorded.items() if version.given != now}

    def stored_change(self, year: int) -> StoredChange | None:
        """Return the change of a year as it is stored; None where there is none."""
        recorded = self.versions.records.of("change", Partition(year=year))
        if recorded is None or not self.config.change_evidence(year):
            return None
        from lc_platform.artefacts.formats import ChangeFormat
        from lc_platform.products.report import StoredChange

        content = ChangeFormat().open(self.store, key("change", year=year)).content
        return StoredChange(recorded.data, content)

    def changed_since(self, look: Snapshot, year: int) -> Mapping[Partition, str]:
        """Return which report of a year does not tell its change as it is now, with the reason."""
        now = [digest(one.data) for one in look.recorded("change", year).values()] or [NOTHING]
        return {
            where: "the change of the year was made since"
            for where, version in look.recorded("report", year).items()
            if version.given not in now
        }

    def listed(self, year: int, look: Snapshot | None = None) -> Listed:
        """Return what there is of a year, which its catalog lists."""
        from lc_platform.products.catalog import Listed
        from lc_platform.stac.inventory import identity

        return Listed(identity(look or self.versions.look(), year))

    def listed_since(self, look: Snapshot, year: int) -> Mapping[Partition, str]:
        """Return which catalog of a year does not list what there is now, with the reason."""
        recorded = look.recorded("catalog", year)
        if not recorded:
            return {}
        now = digest(self.listed(year, look).identity)
        why = "what it lists was made since"
        return {where: why for where, version in recorded.items() if version.given != now}

    # The options of products, of which versions are made.

    def options(self, spec: VersionSpec) -> Options | None:
        """Return what an asset depends on beside its inputs."""
        return spec.options(self) if spec.options else None

    def grid_options(self) -> GridOptions:
        return GridOptions(area=SplitOptions.of(self.config), reference=self.reference_options())

    def acquisition_options(self) -> AcquisitionOptions:
        return AcquisitionOptions.of(self.config)

    def detection_options(self) -> DetectionOptions:
        return DetectionOptions.of(self.config)

    def statistics_options(self) -> StatisticsOptions:
        config = self.config
        return StatisticsOptions(index=config.statistics_index, window=config.processing.window)

    def alignment_options(self) -> AlignmentOptions:
        imagery, reference = self.config.imagery, self.config.reference.path or ""
        return AlignmentOptions(
            bands=imagery.bands,
            against_reference=not is_of_other_ground(imagery.source, reference),
        )

    def reference_options(self) -> ReferenceOptions:
        return ReferenceOptions.of(self.config)

    def feature_options(self) -> FeatureOptions:
        config, features = self.config, self.config.features
        return FeatureOptions(
            bands=config.imagery.bands,
            indices=config.indices,
            auxiliary=self._auxiliary_bands,
            families=families_of(features),
            layers=LayerOptions.of(config),
            interval=features.interval,
            min_valid_fraction=features.min_valid_fraction,
            area=self.area,
            stored=features.stored,
            window=config.processing.window,
            threads=config.processing.threads,
        )

    def sampling_options(self) -> SamplingOptions:
        sampling = self.config.sampling
        points = PointOptions.of(self.config)
        # Eroded samples are easier than the map's pixels: what is calibrated on them is too sure.
        alike = sampling.represents_all and points is None
        mapped = not self.config.points_are_the_reference
        beside = self.config.validation.folds and mapped and not alike
        ids = {name: one for one, name in self.config.class_names.items()}
        return SamplingOptions(
            strategy=sampling.strategy,
            pixels_per_patch=sampling.pixels_per_patch,
            pixels_per_class=sampling.pixels_per_class or None,
            pixels_per_polygon=(
                sampling.pixels_per_polygon if sampling.strategy == "by_polygon" else None
            ),
            erosion=sampling.erosion,
            class_erosion={
                ids[name]: pixels
                for name, pixels in sampling.class_erosion.items()
                if pixels != sampling.erosion
            },
            core_fraction=sampling.core_fraction,
            points=points,
            validation_pixels=-(-sampling.pixels_per_patch // 4) if beside else 0,
            seed=sampling.seed,
            area=self.area,
            classes=self.classes,
            window=self.config.processing.window,
        )

    def training_options(self) -> TrainingOptions:
        config, sampling, validation = self.config, self.config.sampling, self.config.validation
        return TrainingOptions(
            classes=config.class_names,
            method=config.model_method,
            parameters=config.model_parameters,
            members=config.model_members,
            trained=InputFile.of(config, config.model.get("path"), "model.path"),
            card=InputFile.of(config, config.model.get("card"), "model.card"),
            regions=RegionOptions.of(config),
            test_fraction=(
                None if validation.folds or config.trained_elsewhere else sampling.test_fraction
            ),
            folds=0 if config.trained_elsewhere else validation.folds,
            block_size=None if config.trained_elsewhere else validation.block_size,
            calibration="none" if config.trained_elsewhere else validation.calibrated_by,
            applicability_samples=config.map.applicability_samples,
            wrong_labels=validation.wrong_labels,
            seed=sampling.seed,
            class_weights=self._class_weights,
            sample_weights=sampling.sample_weights,
            layers=tuple(layer.name for layer in config.features.layers),
            threads=config.processing.threads,
        )

    @property
    def _class_weights(self) -> str | dict[int, float]:
        given = self.config.sampling.class_weights
        if isinstance(given, str):
            return given
        ids = {name: one for one, name in self.config.class_names.items()}
        return {ids[name]: weight for name, weight in given.items()}

    def held_out_options(self) -> HeldOutOptions:
        processing = self.config.processing
        return HeldOutOptions(
            classes=self.classes,
            coverage=self.config.map.prediction_sets or COVERAGE,
            postprocessing=Postprocessing.of(self.config),
            area=self.area,
            window=processing.window,
            threads=processing.threads,
        )

    def evaluation_options(self) -> EvaluationOptions:
        processing = self.config.processing
        return EvaluationOptions(
            at_points=self.config.points_are_the_reference,
            coverage=self.config.map.prediction_sets or COVERAGE,
            classes=self.classes,
            objects=InputFile.of(self.config, self.config.map.objects, "map.objects"),
            area=self.area,
            window=processing.window,
            threads=processing.threads,
        )

    def prediction_options(self) -> PredictionOptions:
        processing = self.config.processing
        return PredictionOptions(
            classes=self.classes,
            probabilities=self.config.keeps_probabilities,
            coverage=self.config.map.prediction_sets,
            postprocessing=Postprocessing.of(self.config),
            applicability=self.config.map.applicability,
            area=self.area,
            window=processing.window,
            threads=processing.threads,
        )

    def mosaic_options(self) -> MosaicOptions:
        return MosaicOptions(
            classes=self.classes,
            crs=self.config.mosaic_crs,
            area=self.area,
            polygons=self.config.map.polygons,
        )

    def object_options(self) -> ObjectOptions:
        given = self.config.map
        return ObjectOptions(
            classes=self.classes,
            polygons=InputFile.of(self.config, given.objects, "map.objects"),
            attribute=given.object_id,
        )

    def area_statistics_options(self) -> AreaStatisticsOptions:
        areas = self.config.areas
        return AreaStatisticsOptions(
            classes=self.classes,
            units=InputFile.of(self.config, areas.units, "areas.units"),
            unit_name=areas.unit_name,
        )

    def report_options(self) -> ReportOptions:
        config = self.config
        return ReportOptions(
            name=config.name,
            settings=differing(config),
            classes=self.classes,
            source=config.imagery.source,
            collections=(
                config.imagery.collection,
                *(one.collection for one in config.imagery.also),
            ),
            reference=config.reference_file,
            excluded=config.imagery.exclude,
            cloud_method=config.clouds.method,
            season=config.season.span,
        )

    def catalog_options(self) -> CatalogOptions:
        from lc_platform.stac.options import options_of

        return options_of(self.config, self.classes, self.config.season.span)

    def change_years(self, year: int) -> Sequence[int]:
        """Return the years whose predictions the change of a year is made of; none where there is
        no change of it."""
        return self.config.change_evidence(year)

    def change_options(self) -> ChangeOptions | None:
        """Return the options of `change`; None where there is none."""
        config, change = self.config, self.config.change
        if not config.change_years:
            return None
        ids = {name: one for one, name in config.class_names.items()}
        return ChangeOptions(
            classes=self.classes,
            forbidden=tuple(
                (ids[one], ids[other])
                for one, others in change.forbidden.items()
                for other in others
            ),
            rotations=tuple(tuple(ids[one] for one in group) for group in change.rotations),
            rate=change.rate,
            probability=change.probability,
            confirm=change.confirm,
            series=change.series,
            crs=config.mosaic_crs,
            area=self.area,
            threads=config.processing.threads,
        )

    @cached_property
    def area(self) -> ConfiguredArea | None:
        """The area that the map ends at; None where it ends with its patches."""
        if not self.config.aoi.clipped:
            return None
        return ConfiguredArea(AreaOptions.of(self.config))

    @property
    def _auxiliary_bands(self) -> tuple[AuxiliaryBands, ...]:
        imagery = self.config.imagery
        if not imagery.also:
            return ()
        from lc_platform.products.auxiliary_features import AuxiliaryBands

        return tuple(
            AuxiliaryBands(
                one.name, one.bands, imagery.auxiliary_quantity(one), one.quality_band, orbit
            )
            for one in imagery.also
            for orbit in one.kept_apart
        )
