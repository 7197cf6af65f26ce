"""The options of each product: the computing function takes them, and versions are made of them.

The names under which options count are those of keys of the configuration, as they were when
versions were first made of them: another name makes every artefact stale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lc_platform.area.mask import Area, ConfiguredArea
from lc_platform.area.options import SplitOptions
from lc_platform.catalogue import data_type_of
from lc_platform.config import (
    LIGHTGBM_DEFAULTS,
    MODEL_METHOD,
    Change,
    Clouds,
    Config,
    Imagery,
    Map,
    Processing,
    Sampling,
    SimulatedChanges,
    Simulation,
    Validation,
)
from lc_platform.config.input_files import InputFile, digest_of
from lc_platform.config.map import COVERAGES
from lc_platform.config.options import (
    ABSENT,
    SPEED,
    NotCounted,
    Options,
    appearance,
    data,
    if_any,
    option,
)
from lc_platform.cube import Legend
from lc_platform.eo import csmask
from lc_platform.eo.clouds import DETECTOR_BANDS
from lc_platform.eo.csmask import NetworkName
from lc_platform.eo.indices import KNOWN, Index
from lc_platform.eo.season import CALENDAR_YEAR, Season
from lc_platform.products.detector_options import (
    DetectorGrid,
    detector_bands,
    detector_grid,
    network_bands,
)
from lc_platform.products.postprocessing_options import Postprocessing, map_margin
from lc_platform.products.region_options import RegionOptions
from lc_platform.products.region_options import counted as counted_regions
from lc_platform.sources.point_options import counted
from lc_platform.sources.reference_options import ReferenceOptions

COVERAGE = 0.9
"""Of sets of classes, where none is asked for."""
_CLOUDS, _SAMPLING, _PROCESSING = Clouds(), Sampling(), Processing()
_VALIDATION, _MAP = Validation(), Map()
_CHANGE = Change()


def _names(classes: Legend) -> list[str]:
    return [name for name, _ in classes.values()]


def _colors(classes: Legend) -> list[str]:
    return [color for _, color in classes.values()]


def _clip(area: Area | ConfiguredArea | None) -> Any:
    return ABSENT if area is None else area.described


def _if_given(value: Any) -> Any:
    return ABSENT if value is None else value


def _content_if_given(file: InputFile | None) -> Any:
    return ABSENT if file is None else digest_of(file)


def _network_if_given(name: NetworkName | None) -> Any:
    return ABSENT if name is None else csmask.digest(name)


def _if_others(bands: tuple[str, ...]) -> Any:
    return ABSENT if bands in ((), DETECTOR_BANDS) else bands


def _if_so(wanted: bool) -> Any:
    return wanted or ABSENT


def _unless(usual: Any) -> Callable[[Any], Any]:
    return lambda value: ABSENT if value == usual else value


def _of_season(season: Season) -> Any:
    return ABSENT if season == CALENDAR_YEAR else season.described


def _if_left_out(judged: bool) -> Any:
    return ABSENT if judged else judged


_NAMES_AND_COLORS = (
    appearance("reference.classes.name", value=_names),
    appearance("reference.classes.color", value=_colors),
)
CLIPPED = data("clipped_area", value=_clip)
"""How the area that the map ends at counts."""


def _of_each_class(name: str) -> Callable[[ReferenceOptions], Any]:
    return lambda reference: [getattr(one, name) for one in reference.classes]


@dataclass(frozen=True, kw_only=True)
class GridOptions(Options):
    """The options of `patch_grid`."""

    area: SplitOptions = option(data("split_area", value=lambda area: area.counted("data")))
    reference: ReferenceOptions = option(
        data("reference.path", value=lambda reference: digest_of(reference.file)),
        data("simulated_reference", value=lambda reference: reference.simulated),
        data("sampling.points", value=lambda reference: counted(reference.points)),
        data("reference.attribute", value=lambda reference: reference.attribute),
        data("reference.classes.values", value=_of_each_class("values")),
        data("reference.classes.attribute", value=_of_each_class("attribute")),
    )
    """The reference, which covers some of the patches."""


@dataclass(frozen=True)
class AuxiliaryCollection:
    """An auxiliary collection, and the bands of it that are acquired."""

    name: str
    source: str
    collection: str
    """Its id in the archive."""
    catalog: str | None
    """Its own; None where it is in that of the main collection."""
    bands: tuple[str, ...]
    quantity: str = "reflectance"
    """The quantity of calibrated values; it follows from the source and the collection."""
    data_type: str = "uint16"
    """The type of its numbers; it follows from the collection."""
    backscatter: str | None = None
    """Of `catalogue.BACKSCATTER`; None for the archive's usual one, and where it is no radar."""

    @property
    def counted(self) -> dict[str, Any]:
        """What versions are made of."""
        names = ("name", "source", "collection", "catalog", "bands")
        found = {name: getattr(self, name) for name in names}
        return found if self.backscatter is None else found | {"backscatter": self.backscatter}


def _drawn(simulation: tuple[int, float] | None) -> Any:
    return None if simulation is None else {"seed": simulation[0], "cloudiness": simulation[1]}


@dataclass(frozen=True, kw_only=True)
class AcquisitionOptions(Options):
    """The options of `raw_bands`."""

    source: str = option(data("imagery.source"))
    collection: str = option(data("imagery.collection"))
    """Its id in the archive."""
    data_type: str = option(data("imagery.data_type", value=_unless("uint16")), default="uint16")
    """The type of its numbers, of ``catalogue.FILL_VALUES``."""
    resampling: str = option(
        data("imagery.resampling", value=_unless("nearest")), default="nearest"
    )
    """How bands that are coarser than the patch's grid are brought to it: nearest, bilinear or
    cubic."""
    catalog: str | None = option(data("imagery.catalog"), default=None)
    max_cloud_cover: float = option(data("imagery.max_cloud_cover"), default=80.0)
    """Percent of a granule."""
    simulation: tuple[int, float] | None = option(
        data("simulated_imagery", value=_drawn), default=None
    )
    """Seed and cloudiness of the simulated archive; None of another."""
    simulated_changes: SimulatedChanges | None = option(
        data("simulated_changes", value=_if_given), default=None
    )
    """What changes in the simulated archive; None where nothing does, and of another."""
    bright_surfaces: float = option(
        data("simulated_bright_surfaces", value=lambda share: share or ABSENT), default=0.0
    )
    """Share of the simulated archive's places that are bright roofs and quarries."""
    bands: tuple[str, ...] = option(data("acquired_bands"), default=())
    """At the patch's resolution, without the bands that only the cloud detector reads."""
    auxiliary: tuple[AuxiliaryCollection, ...] = option(
        data("further_imagery", value=lambda several: [one.counted for one in several]), default=()
    )
    cloud_method: str = option(data("clouds.method"), default=_CLOUDS.method)
    detector: DetectorGrid | None = option(
        data("detector_grid", value=lambda grid: grid and grid.counted), default=None
    )
    """None where the detector needs no imagery of its own."""
    detector_bands: tuple[str, ...] = option(
        data("detector_bands", value=_if_others), default=DETECTOR_BANDS
    )
    """Bands that are acquired on the detector's grid; none where there is no such grid."""
    resolution: float = option(NotCounted("the grid of a patch counts by itself"), default=10.0)
    """Metres of the patches' grid."""
    map_margin: int = option(data("map_margin", value=lambda margin: margin or ABSENT), default=0)
    """Pixels beyond the patch on each side that the map is made from."""
    exclude: tuple[str, ...] = option(
        NotCounted("what is left out is not among the search result, which counts by itself"),
        default=(),
    )
    """Keys of acquisitions that are left out."""
    connections: int = option(SPEED, default=Imagery.model_fields["connections"].default)
    """Requests that are under way at the same time."""
    season: Season = option(data("season", value=_of_season), default=CALENDAR_YEAR)
    """The days of a year of which acquisitions are searched."""
    padding: int = option(data("features.padding", value=_unless(0)), default=0)
    """Days before and after the season of which acquisitions are searched too."""
    needed_for: Mapping[str, Sequence[str]] = option(
        NotCounted("only messages of errors use it"), default_factory=dict
    )
    """Of each band, the keys of the configuration that it is acquired for."""

    @classmethod
    def of(cls, config: Config) -> AcquisitionOptions:
        """Return the options of a configuration."""
        imagery, clouds = config.imagery, config.clouds
        drawn = imagery.simulation or Simulation()
        return cls(
            source=imagery.source,
            collection=imagery.collection,
            data_type=imagery.stored_type,
            resampling=imagery.resampling,
            catalog=imagery.catalog,
            max_cloud_cover=imagery.max_cloud_cover,
            simulation=(drawn.seed, drawn.cloudiness) if imagery.source == "simulated" else None,
            simulated_changes=drawn.changes if imagery.source == "simulated" else None,
            bright_surfaces=drawn.bright_surfaces if imagery.source == "simulated" else 0.0,
            bands=config.acquired_bands,
            auxiliary=tuple(
                AuxiliaryCollection(
                    one.name,
                    imagery.auxiliary_source(one),
                    one.collection,
                    one.catalog,
                    one.acquired_bands,
                    imagery.auxiliary_quantity(one),
                    data_type_of(one.collection),
                    imagery.auxiliary_backscatter(one),
                )
                for one in imagery.also
            ),
            cloud_method=clouds.method,
            detector=detector_grid(clouds),
            detector_bands=detector_bands(config),
            resolution=config.aoi.resolution,
            map_margin=map_margin(config),
            exclude=imagery.exclude,
            connections=imagery.connections,
            season=config.season.span,
            padding=config.features.padding,
            needed_for={band: config.needing(band) for band in config.acquired_bands},
        )


@dataclass(frozen=True, kw_only=True)
class DetectionOptions(Options):
    """The options of `cloud_masks`."""

    method: Literal["s2cloudless", "unet", "scl", "fmask", "provider"] = option(
        data("clouds", "method"), default=_CLOUDS.method
    )
    """``s2cloudless`` (Skakun et al. 2022) on the ten L1C bands; ``unet``, a network of
    ukis-csmask; ``scl``, the scene classification of L2A products; ``fmask``, that of HLS;
    ``provider``, Sentinel Hub's own masks."""
    network: NetworkName | None = option(
        data("clouds", "network", value=_network_if_given), default=None
    )
    """The one of ``unet``, whose file counts."""
    threshold: float = option(data("clouds", "threshold"), default=_CLOUDS.threshold)
    """Of the mean probability, 0 to 1."""
    average_over: int = option(data("clouds", "average_over"), default=_CLOUDS.average_over)
    """Pixels of the detector's grid."""
    dilation: int = option(data("clouds", "dilation"), default=_CLOUDS.dilation)
    """Pixels of the detector's grid."""
    resolution: float = option(data("clouds", "resolution"), default=_CLOUDS.resolution)
    """Metres of the detector's grid, on which its imagery was acquired."""
    shadows: bool = option(data("clouds", "shadows", value=_if_so), default=_CLOUDS.shadows)
    """Whether clouds are projected along the sun's rays."""
    shadow_reach: float = option(
        NotCounted("the imagery's margin follows from it, and counts by itself"),
        default=_CLOUDS.shadow_reach,
    )
    """Metres beyond the patch."""
    snow: bool = option(data("clouds", "snow", value=_if_so), default=_CLOUDS.snow)
    """Whether snow is found and not used."""
    temporal: bool = option(data("clouds", "temporal", value=_if_so), default=_CLOUDS.temporal)
    """Whether an observation is compared with the pixel's season."""
    threads: int = option(SPEED, default=_PROCESSING.threads)

    @classmethod
    def of(cls, config: Config) -> DetectionOptions:
        """Return the options of a configuration."""
        network = None
        if config.clouds.method == "unet":
            level: csmask.Level = "l2a" if config.imagery.level_2a else "l1c"
            network = NetworkName(level, len(network_bands(config)))
        return cls(**dict(config.clouds), network=network, threads=config.processing.threads)

    @property
    def refined(self) -> bool:
        """Whether there is more to find than the method itself does."""
        return self.shadows or self.snow or self.temporal


def _unless_ndvi(index: Index | None) -> Any:
    """Return the index was NDVI before it was an option."""
    return ABSENT if index == KNOWN["NDVI"] else None if index is None else index.counted


@dataclass(frozen=True, kw_only=True)
class StatisticsOptions(Options):
    """The options of `observation_stats`."""

    index: Index | None = option(
        data("statistics_index", value=_unless_ndvi), default=KNOWN["NDVI"]
    )
    """The index whose mean is kept; None for none."""
    window: int = option(SPEED, default=_PROCESSING.window)
    """Pixels along the side of the windows that are computed at a time."""


@dataclass(frozen=True, kw_only=True)
class AlignmentOptions(Options):
    """The options of `alignment`."""

    bands: tuple[str, ...] = option(
        data("imagery.bands"), default=Imagery.model_fields["bands"].default
    )
    """Those that show the ground; the ones coarser than 20 m are not compared."""
    against_reference: bool = option(NotCounted("its inputs count"), default=True)
    """False where the reference is of other ground than the imagery, which is invented then."""


@dataclass(frozen=True, kw_only=True)
class TrainingOptions(Options):
    """The options of `model`."""

    classes: Mapping[int, str] = option(
        data("reference.classes.id", value=list),
        appearance("reference.classes.name", value=lambda classes: [*classes.values()]),
    )
    """id -> name"""
    method: str = option(data("model.method", value=_unless("lightgbm")), default=MODEL_METHOD)
    """One of `classification_methods.METHODS`."""
    parameters: Mapping[str, Any] = option(
        data("model_parameters"), default_factory=LIGHTGBM_DEFAULTS.copy
    )
    """Of the method; of LightGBM where it is combined with a discriminant and no members say
    otherwise."""
    members: Mapping[str, Mapping[str, Any]] = option(
        data("model.of", value=_unless({})), default_factory=dict
    )
    """``weight`` and parameters of each method that is combined; where there is none, LightGBM and
    a discriminant weigh the same."""
    trained: InputFile | None = option(data("model.path", value=_content_if_given), default=None)
    """A model that was trained elsewhere, which is taken as it is."""
    card: InputFile | None = option(data("model.card", value=_content_if_given), default=None)
    """Of that model: its classes, features and preprocessing."""
    regions: RegionOptions | None = option(
        data("model.regions", value=counted_regions), default=None
    )
    """Polygons each of which has a classifier of its own; None where there is one for all."""
    test_fraction: float | None = option(
        data("sampling.test_fraction", value=_if_given), default=None
    )
    """Share of the patches that have samples, chosen by the seed; None where there are folds."""
    folds: int = option(data("validation.folds", value=if_any), default=_VALIDATION.folds)
    """0 where one set of patches is held out."""
    block_size: float | None = option(data("validation.block_size", value=_if_given), default=None)
    """Metres along the side of the squares of ground that stay in one fold; None where that is a
    patch."""
    calibration: Literal["curve", "temperature", "isotonic", "none"] = option(
        data("validation.calibration", value=_unless("none")), default=_VALIDATION.calibration
    )
    """The method; folds are needed for it."""
    coverages: tuple[float, ...] = option(
        NotCounted("thresholds of all that may be asked for are kept, whatever is asked for"),
        default=COVERAGES,
    )
    """Shares of the pixels of a class, of which sets of classes may be asked to hold it."""
    applicability_samples: int = option(
        data("map.applicability_samples", value=_unless(_MAP.applicability_samples)),
        default=_MAP.applicability_samples,
    )
    """Samples, at most, that pixels are compared with to know whether the model applies."""
    wrong_labels: Literal["keep", "leave_out"] = option(
        data("validation.wrong_labels", value=_unless("keep")), default=_VALIDATION.wrong_labels
    )
    """What is done with polygons whose label is probably wrong; folds find them."""
    seed: int = option(data("sampling.seed"), default=_SAMPLING.seed)
    class_weights: str | Mapping[int, float] = option(
        data("sampling.class_weights"), default=_SAMPLING.class_weights
    )
    """balanced: every class weighs the same; none: every sample does; or class id -> how many times
    as much as those that are not named."""
    sample_weights: Literal["equal", "by_polygon"] = option(
        data("sampling.sample_weights", value=_unless("equal")), default=_SAMPLING.sample_weights
    )
    """by_polygon: all polygons of a class weigh the same."""
    layers: tuple[str, ...] = option(
        NotCounted("they are features, which count by themselves"), default=()
    )
    """The names of rasters that have no season, of which the card says what each class lacks."""
    threads: int = option(SPEED, default=_PROCESSING.threads)

    @property
    def stops_early(self) -> bool:
        """Whether LightGBM's number of rounds is found by ground that is held out."""
        of = self.members.get("lightgbm", {}) if self.members else self.parameters
        return bool(of.get("early_stopping_round", 0) > 0)


@dataclass(frozen=True, kw_only=True)
class HeldOutOptions(Options):
    """The options of `held_out_predictions`."""

    classes: Legend = option(*_NAMES_AND_COLORS, default_factory=dict)
    coverage: float = option(data("coverage"), default=COVERAGE)
    """Share of each class's pixels whose sets of classes are to hold it, 0 to 1."""
    postprocessing: Postprocessing = option(
        data("postprocessing", value=lambda done: done.described), default=Postprocessing()
    )
    """As of `predictions`: what is evaluated is the map."""
    area: Area | ConfiguredArea | None = option(CLIPPED, default=None)
    """The area that the map ends at: pixels beyond are not predicted."""
    window: int = option(SPEED, default=_PROCESSING.window)
    threads: int = option(SPEED, default=_PROCESSING.threads)


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions(Options):
    """The options of `evaluation`."""

    classes: Legend = option(*_NAMES_AND_COLORS, default_factory=dict)
    """Also those without samples."""
    coverage: float = option(data("coverage"), default=COVERAGE)
    """That the sets of `held_out_predictions` are made for."""
    at_points: bool = option(
        NotCounted("the reference, and the samples, are other ones then"), default=False
    )
    """Whether points that users brought are all that is known of the ground: those of the year are
    what is judged by."""
    objects: InputFile | None = option(data("map.objects", value=_content_if_given), default=None)
    """Polygons, such as parcels, that are judged too; None where there are none."""
    area: Area | ConfiguredArea | None = option(CLIPPED, default=None)
    """The area that the map ends at: pixels beyond are not counted."""
    window: int = option(SPEED, default=_PROCESSING.window)
    threads: int = option(SPEED, default=_PROCESSING.threads)


@dataclass(frozen=True, kw_only=True)
class PredictionOptions(Options):
    """The options of `predictions`."""

    classes: Legend = option(*_NAMES_AND_COLORS, default_factory=dict)
    probabilities: bool = option(
        appearance("processing.probabilities"), default=_PROCESSING.probabilities
    )
    """Whether the probability of each class is kept."""
    coverage: float | None = option(
        appearance("map.prediction_sets", value=_if_given), default=None
    )
    """Share of each class's pixels whose sets of classes are to hold it; None for no sets."""
    postprocessing: Postprocessing = option(
        data("postprocessing", value=lambda done: done.described), default=Postprocessing()
    )
    """What is done with the probabilities until they are the map."""
    applicability: bool = option(
        data("map.applicability", value=_if_left_out), default=_MAP.applicability
    )
    """Whether the area of applicability is told of."""
    area: Area | ConfiguredArea | None = option(CLIPPED, default=None)
    """The area that the map ends at; None where it is of the whole patch."""
    window: int = option(SPEED, default=_PROCESSING.window)
    threads: int = option(SPEED, default=_PROCESSING.threads)


@dataclass(frozen=True, kw_only=True)
class MosaicOptions(Options):
    """The options of `mosaic`."""

    classes: Legend = option(*_NAMES_AND_COLORS, default_factory=dict)
    crs: str | None = option(data("mosaic_crs"), default=None)
    """By default that of most patches."""
    area: Area | ConfiguredArea | None = option(CLIPPED, default=None)
    """The area that the map ends at."""
    polygons: bool = option(
        appearance("map.polygons", value=lambda wanted: wanted or ABSENT), default=False
    )
    """Whether the map is there as polygons too."""


def _in_order(pairs: tuple[tuple[int, int], ...]) -> Any:
    return sorted(map(list, pairs))


@dataclass(frozen=True, kw_only=True)
class ChangeOptions(Options):
    """The options of `change`; its rules are of class ids."""

    classes: Legend = option(*_NAMES_AND_COLORS, default_factory=dict)
    forbidden: tuple[tuple[int, int], ...] = option(
        data("change.forbidden", value=_in_order), default=()
    )
    """Pairs (from, to) that never follow one another."""
    rotations: tuple[tuple[int, ...], ...] = option(data("change.rotations"), default=())
    """Classes that follow one another on the same ground and are no change."""
    rate: float = option(data("change.rate"), default=_CHANGE.rate)
    """Share of the ground that is expected to change in a year."""
    probability: float = option(data("change.probability"), default=_CHANGE.probability)
    """Of a change, from which on it counts."""
    confirm: bool = option(data("change.confirm"), default=_CHANGE.confirm)
    """Whether other years than the two have a say."""
    series: Literal["none", "markov"] = option(data("change.series"), default=_CHANGE.series)
    crs: str | None = option(data("mosaic_crs"), default=None)
    """By default that of most patches."""
    area: Area | ConfiguredArea | None = option(CLIPPED, default=None)
    """The area that the map ends at."""
    threads: int = option(SPEED, default=_PROCESSING.threads)


@dataclass(frozen=True, kw_only=True)
class ObjectOptions(Options):
    """The options of `objects`."""

    classes: Legend = option(
        appearance("reference.classes.name", value=_names), default_factory=dict
    )
    polygons: InputFile | None = option(data("map.objects", value=_content_if_given), default=None)
    """Each of which gets a class; None where there are none."""
    attribute: str | None = option(data("map.object_id", value=_if_given), default=None)
    """That names them."""
    window: int = option(SPEED, default=1024)
    """Pixels along the side of the windows that are read at a time."""


_TOLD = NotCounted("the settings that differ from the default count")


@dataclass(frozen=True, kw_only=True)
class ReportOptions(Options):
    """The options of `report`."""

    name: str = option(appearance("name"))
    """Of the map."""
    settings: Mapping[str, str] = option(appearance("settings"), default_factory=dict)
    """Those that differ from the default, by path."""
    classes: Legend = option(*_NAMES_AND_COLORS, default_factory=dict)
    source: str = option(_TOLD, default="")
    """The archive."""
    collections: tuple[str, ...] = option(_TOLD, default=())
    reference: str = option(_TOLD, default="")
    """Its file, as the configuration names it."""
    excluded: tuple[str, ...] = option(_TOLD, default=())
    """Keys of acquisitions that are left out."""
    cloud_method: str = option(_TOLD, default=_CLOUDS.method)
    season: Season = option(appearance("season", value=_of_season), default=CALENDAR_YEAR)

    @property
    def smoothed(self) -> bool:
        """Whether probabilities follow those around them."""
        return self.settings.get("map.smoothing") == "bayes"

    @property
    def segmented(self) -> bool:
        """Whether all pixels of a segment have one class."""
        return "map.segment_size" in self.settings


@dataclass(frozen=True, kw_only=True)
class AreaStatisticsOptions(Options):
    """What areas are added up by."""

    classes: Legend = option(
        appearance("reference.classes.name", value=_names), default_factory=dict
    )
    units: InputFile | None = option(data("areas.units", value=_content_if_given), default=None)
    """Polygons whose areas are added up too."""
    unit_name: str | None = option(data("areas.unit_name", value=_if_given), default=None)
    """Their attribute that holds their names."""
