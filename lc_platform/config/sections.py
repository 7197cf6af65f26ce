"""A configuration file as a whole, and its small sections."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from lc_platform.catalogue import CATALOGS, SENTINEL2_BANDS, SIMULATED_CLASSES, first_year
from lc_platform.config.aoi import Aoi
from lc_platform.config.areas import Areas
from lc_platform.config.change import Change
from lc_platform.config.clouds import Clouds
from lc_platform.config.colors import alike
from lc_platform.config.environment import expand
from lc_platform.config.features import Features
from lc_platform.config.fields import (
    ProjectedCrs,
    Section,
    Text,
    Truth,
    Whole,
)
from lc_platform.config.imagery import Imagery
from lc_platform.config.input_files import is_elsewhere
from lc_platform.config.map import Map
from lc_platform.config.model import (
    PATH,
    checked_model,
    model_members,
    model_method,
    model_parameters,
    networks,
)
from lc_platform.config.object_store import ObjectStore
from lc_platform.config.operations import Operations
from lc_platform.config.problems import ConfigError, problems
from lc_platform.config.reference import Reference, is_raster
from lc_platform.config.sampling import Sampling
from lc_platform.config.season import Season
from lc_platform.config.statistics import NO_INDEX, Statistics
from lc_platform.config.validation import Validation
from lc_platform.config.viewer import Viewer
from lc_platform.eo import indices as indices_of
from lc_platform.eo.indices import Index
from lc_platform.eo.season import CALENDAR_YEAR

RUN_PIXELS = 12 * 2**20
"""Of a launched run: some three minutes of work on one core, where its process starts in ten
seconds."""
RUN_PATCHES = 64
"""Of a launched run at most; what is recorded of each takes time too."""
SPLIT_PATCH_SIZE = 10_000.0
"""Metres that a patch is taken for where the area is split into columns and rows."""


class Processing(Section):
    """The size of the work's pieces; the results do not depend on it."""

    window: Whole = Field(256, ge=16)
    """Pixels along the side of the windows that patches are streamed by."""
    threads: Whole = Field(0, ge=0)
    """Threads of training and inference in one worker; 0 takes all cores."""
    chunk: Whole = Field(0, ge=0)
    """Patches that one run takes together; 0 chooses by their size."""
    probabilities: Truth = False
    """Whether `predictions` keeps the probability of every class."""

    @field_validator("window")
    @classmethod
    def _fits_storage(cls, value: int) -> int:
        if value > 256 and value % 256:
            raise ValueError(f"{value} is above 256 and no multiple of it. Take 256 or 512")
        return value


def _begun(year: int, info: ValidationInfo) -> int:
    season = info.data.get("season", Season()).span
    today = datetime.now(UTC).date()
    begun = season.year_of(today)
    if season.first(begun) > today:
        begun -= 1
    if year > begun:
        what = f"{year}" if season == CALENDAR_YEAR else f"the season of {year}"
        raise ValueError(
            f"{what} has not begun, and no archive has imagery of it. Give years up to {begun}"
        )
    return year


def _year(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    ends = re.fullmatch(r"\s*([0-9]{4})\s*(?:-|\u2013|\.\.|to)\s*([0-9]{4})\s*", value)
    if ends:
        raise ValueError(
            f"{value!r} is text, and every year is listed. Write [{ends[1]}, ..., {ends[2]}], with "
            "all between them"
        )
    return value


Year = Annotated[Whole, BeforeValidator(_year), Field(ge=1972), AfterValidator(_begun)]


class Config(Section):
    """A configuration file, validated."""

    name: Text = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    """Letters, digits, _ and -."""
    storage: Text
    """A folder, or the URL of an object store: s3://, gs:// or az://bucket/prefix."""
    season: Season = Season()
    years: tuple[Year, ...] = Field(min_length=1)
    """Years; the season of each is mapped by itself."""
    aoi: Aoi
    imagery: Imagery
    clouds: Clouds = Clouds()
    reference: Reference
    features: Features = Features()
    statistics: Statistics = Statistics()
    sampling: Sampling = Sampling()
    validation: Validation = Validation()
    model: dict[str, Any] = Field(default_factory=dict)
    """method: lightgbm, random_forest, extra_trees, discriminant (linear, shrunk covariance),
    logistic, tempcnn or ltae (networks of series; the extra networks), or combined, a weighted mean
    of several: of: {lightgbm: 1, discriminant: 1}. Its parameters stand beside it under LightGBM's
    or scikit-learn's names (n_estimators: 300), or within of; those of LightGBM where neither is
    given. With early_stopping_round: 20 boosting ends, of at most num_iterations rounds, when
    blocks of ground that are held out for it are not told better any more. Or path and card: a
    model that was trained elsewhere, LightGBM's text or ONNX, and a YAML or JSON file with its
    classes, its features and its preprocessing. With regions: {path: regions.gpkg, attribute: name,
    blend: 1000} each region of a vector file has a model of its own; on either side of a border
    they blend over so many metres."""
    map: Map = Map()
    mosaic_crs: ProjectedCrs | None = None
    """CRS of the country's map; by default that of most patches."""
    areas: Areas = Areas()
    change: Change = Change()
    processing: Processing = Processing()
    operations: Operations = Operations()
    viewer: Viewer = Viewer()
    object_store: ObjectStore = ObjectStore()

    _folder: Path = PrivateAttr(default_factory=Path.cwd)

    @field_validator("storage")
    @classmethod
    def _without_credentials(cls, storage: str) -> str:
        # abfs://container@account names no password, s3://key:secret@bucket does.
        if ":" in urlsplit(storage).netloc.rpartition("@")[0]:
            raise ValueError(
                "a URL with a password in it is refused. Give the credentials by the environment, "
                "or by object_store.profile"
            )
        return storage

    @field_validator("years")
    @classmethod
    def _each_once_in_order(cls, years: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(years)))

    @field_validator("mosaic_crs")
    @classmethod
    def _one_crs(cls, value: str | None) -> str | None:
        if value == "utm":
            raise ValueError("utm is many CRSs, and one map has one. Write for example EPSG:32633")
        return value

    @field_validator("model", mode="before")
    @classmethod
    def _known_parameters(cls, model: Any) -> Any:
        return checked_model(model) if isinstance(model, Mapping) and model else model

    @model_validator(mode="before")
    @classmethod
    def _nothing_said_is_the_default(cls, data: Any) -> Any:
        # A section whose keys are all commented out is null in YAML.
        if isinstance(data, Mapping):
            return {key: value for key, value in data.items() if value is not None}
        return data

    @model_validator(mode="before")
    @classmethod
    def _simulated_reference(cls, data: Any) -> Any:
        if (
            isinstance(data, Mapping)
            and isinstance(data.get("imagery"), Mapping)
            and data["imagery"].get("source") == "simulated"
        ):
            reference = data.get("reference") or {}
            if isinstance(reference, Mapping) and "classes" not in reference:
                classes = [{"id": i, "name": n, "color": c} for i, n, c in SIMULATED_CLASSES]
                reference = {"attribute": "class_id", **reference, "classes": classes}
                return {**data, "reference": reference}
        return data

    @model_validator(mode="after")
    def _sections_fit(self) -> Self:
        self.object_store.check_fits(self.storage)
        self.map.check_fits(self.class_names, self.aoi.resolution)
        self.change.check_fits(self.class_names)
        self.sampling.check_fits(self.class_names)
        imagery, clouds = self.imagery, self.clouds
        for i, year in enumerate(self.years):
            first = first_year(imagery.collection)
            if first is not None and year < first:
                raise ValueError(
                    f"years[{i}]: {year} is before the first acquisition of {imagery.collection}, "
                    f"which is of {first}. Give years from {first} on, or another collection"
                )
        clouds.check_fits(imagery, self.aoi.resolution)
        for index in self.indices:
            if index.name in imagery.bands:
                raise ValueError(
                    f"features.indices: {index.name} is also a band of imagery.bands. Take another "
                    "name"
                )
            beyond = [band for band in index.bands if band not in SENTINEL2_BANDS]
            if beyond and imagery.source == "simulated":
                raise ValueError(
                    f"features.indices: {index.name} needs {', '.join(beyond)}, and the simulated "
                    f"archive has {', '.join(SENTINEL2_BANDS)}"
                )
        if self.trained_elsewhere:
            self._check_not_trained()
        if (found := networks(self.model)) and "series" not in self.features.families:
            raise ValueError(
                f"model.method: {found[0]} reads bands and indices on dates, and features.families "
                f"([{', '.join(self.features.families)}]) has no series. Add it there, or take "
                "another method"
            )
        if self.map.prediction_sets is not None and not self.validation.folds:
            raise ValueError(
                "map.prediction_sets: what a set needs is learnt from the pixels of other folds, "
                "and there are none (validation.folds: 0). Remove it, or give folds"
            )
        if self.map.prediction_sets is not None and self.map.mixing is not None:
            raise ValueError(
                f"map.prediction_sets: sets are of what a pixel itself shows, and {self.map.mixing}"
                " mixes it with what is around. Remove one of them"
            )
        taken = {*imagery.bands, *(index.name for index in self.indices)}
        for i, auxiliary in enumerate(imagery.also):
            for name in (auxiliary.name, *(f"{auxiliary.name}_{band}" for band in auxiliary.bands)):
                if name in taken:
                    raise ValueError(
                        f"imagery.also[{i}].name: {name} is also a band or an index of the "
                        "features. Take another name"
                    )
                taken.add(name)
        main = [*imagery.bands, *(index.name for index in self.indices)]
        auxiliary_names = [f"{one.name}_{band}" for one in imagery.also for band in one.bands]
        self.features.check_fits(
            [*main, *auxiliary_names], main, [one.name for one in imagery.also]
        )
        self.features.series.check_season(self.season.span)
        for i, layer in enumerate(self.features.layers):
            if layer.is_simulated and imagery.source != "simulated":
                raise ValueError(
                    f"features.layers[{i}].path: this key is missing. Give the raster, its "
                    "tile_index or its collection; only the simulated archive brings its own "
                    "terrain"
                )
            if layer.collection and not (layer.catalog or imagery.catalog):
                raise ValueError(
                    f"features.layers[{i}].catalog: this key is missing. Give the STAC catalog "
                    f"that has {layer.collection}"
                )
        polygons = self.sampling.needs_polygons
        if polygons and self.points_are_the_reference:
            raise ValueError(
                f"{polygons}: asks for the polygon that each pixel lies in, and there are points "
                "alone. Remove it, or give a reference of polygons (reference.path)"
            )
        if polygons and self.reference.path is not None and is_raster(self.reference.path):
            raise ValueError(
                f"{polygons}: asks for the polygon that each pixel lies in, and "
                f"{self.reference.path} is a raster, which has none. Remove it, or give a "
                "reference of polygons"
            )
        if self.points_are_the_reference and self.sampling.points is None:
            raise ValueError(
                "reference.path: this key is missing. Give the reference map's file, or points "
                "(sampling.points); only the simulated archive brings its own"
            )
        if self.reference.path is not None and self.reference.attribute is None:
            for i, one in enumerate(self.reference.classes):
                if one.attribute is None and not is_raster(self.reference.path):
                    raise ValueError(
                        "reference.attribute: this key is missing. Name the attribute of the "
                        "vector file that holds the class (or give each class its own; "
                        f"classes[{i}] has none)"
                    )
        return self

    def _check_not_trained(self) -> None:
        """Raises ValueError for what needs classifiers that are trained on parts of the ground."""
        validation = self.validation
        asked = {
            "map.prediction_sets": self.map.prediction_sets is not None,
            "validation.wrong_labels: leave_out": validation.wrong_labels == "leave_out",
            f"validation.calibration: {validation.calibration}": (
                "calibration" in validation.model_fields_set and validation.calibration != "none"
            ),
        }
        for key, so in asked.items():
            if so:
                raise ValueError(
                    f"{key.partition(':')[0]}: needs classifiers that are trained on a part of the "
                    "ground each, and the model of model.path is trained already. Remove one of "
                    "them"
                )

    @property
    def folder(self) -> Path:
        """The folder that relative paths are relative to."""
        return self._folder

    def located(self, path: str, key: str = "") -> str:
        """`path` with environment variables read; relative paths made absolute, URLs as they are.

        Raises ConfigError naming ``key`` where a variable is not set.
        """
        expanded = expand(path, key)
        if is_elsewhere(expanded):
            return expanded
        if key.endswith("catalog") and expanded in CATALOGS:
            return expanded
        return _located(self._folder, expanded, key)

    @property
    def storage_url(self) -> str:
        return self.located(self.storage, "storage")

    @property
    def store_settings(self) -> ObjectStore:
        """`object_store` with environment variables read, and the authorities' file located.

        Raises ConfigError naming the key where a variable is not set, or no such value.
        """
        given = self.object_store
        read: dict[str, Any] = {
            name: expand(value, f"object_store.{name}")
            for name in ("endpoint", "region", "profile")
            if (value := getattr(given, name)) is not None
        }
        if isinstance(given.verify, str):
            read["verify"] = self.located(given.verify, "object_store.verify")
        try:
            settings = ObjectStore.model_validate(given.model_dump() | read)
        except ValidationError as error:
            lines = problems(error, ObjectStore)
            raise ConfigError("\n".join(f"object_store.{line}" for line in lines)) from None
        try:
            settings.check_fits(self.storage_url)
        except ValueError as error:
            raise ConfigError(str(error)) from None
        return settings

    @property
    def indices(self) -> tuple[Index, ...]:
        """The spectral indices among the features, in order."""
        return tuple(indices_of.parse(i, self.imagery.bands) for i in self.features.indices)

    @property
    def reference_file(self) -> str:
        """Where classes are learnt from, as the file names it: the reference map, or else points.
        Empty of the simulated archive's own reference."""
        points = self.sampling.points
        return self.reference.path or (points.path if points is not None else "")

    @property
    def points_are_the_reference(self) -> bool:
        """Whether there is no reference map, so that all that is known of the ground are points
        that users bring."""
        return self.reference.path is None and self.imagery.source != "simulated"

    @property
    def acquired_bands(self) -> tuple[str, ...]:
        """Bands at the grid's resolution: the features', those of indices, those of the
        statistics' index."""
        own = self.statistics_index
        wanted = [*self.indices, *self._composing, *(() if own is None else (own,))]
        return indices_of.required_bands(wanted, self.imagery.bands)

    @property
    def _composing(self) -> tuple[Index, ...]:
        """The index by which composites are made."""
        features = self.features
        by_ndvi = "series" in features.families and features.series.method == "maximum_ndvi"
        return (indices_of.KNOWN["NDVI"],) if by_ndvi else ()

    @property
    def statistics_index(self) -> Index | None:
        """The index of `observation_stats`, None where there is to be none."""
        entry = self.statistics.index
        return None if entry == NO_INDEX else indices_of.parse(entry, self.imagery.bands)

    def needing(self, band: str) -> list[str]:
        """Return keys of the configuration, with their values, that a band of the main collection
        is acquired for."""
        own, clouds = self.statistics_index, self.clouds.method
        found = ["imagery.bands"] if band in self.imagery.bands else []
        found += [f"features.indices: {one.name}" for one in self.indices if band in one.bands]
        if any(band in one.bands for one in self._composing):
            found.append(f"features.series.method: {self.features.series.method}")
        if own is not None and band in own.bands:
            found.append(f"statistics.index: {own.name}")
        return found or [f"clouds.method: {clouds}"]

    @property
    def model_parameters(self) -> dict[str, Any]:
        """Of what classifies; see `config.model.model_parameters`."""
        return model_parameters(self.model)

    @property
    def model_members(self) -> dict[str, dict[str, Any]]:
        """What is combined; see `config.model.model_members`."""
        return model_members(self.model)

    @property
    def model_method(self) -> str:
        """What classifies."""
        return model_method(self.model)

    @property
    def trained_elsewhere(self) -> bool:
        """Whether the model is a file, and nothing is trained."""
        return PATH in self.model

    @property
    def patches_per_run(self) -> int:
        """Patches that a launched run takes together, where ``processing.chunk`` does not say:
        so many that the start of its process is a twentieth of its work."""
        if self.processing.chunk:
            return self.processing.chunk
        size = self.aoi.patch_size or SPLIT_PATCH_SIZE
        return max(1, min(int(RUN_PIXELS // (size / self.aoi.resolution) ** 2), RUN_PATCHES))

    @property
    def change_years(self) -> tuple[int, ...]:
        """The years that `change` is made of: all but the first; none where it is not made."""
        return self.years[1:] if self.change.enabled else ()

    def change_evidence(self, year: int) -> tuple[int, ...]:
        """Return the years whose predictions the change of a year is made of, in order; none where
        there is no change of it. The year before is among them, of the configured ones."""
        if year not in self.change_years:
            return ()
        if self.change.series == "markov":
            return self.years
        at = self.years.index(year)
        return self.years[max(0, at - 2) : at + 2] if self.change.confirm else (
            self.years[at - 1 : at + 1]
        )  # fmt: skip

    @property
    def keeps_probabilities(self) -> bool:
        """Whether `predictions` keeps the probability of every class: where it is asked to, and
        where change, or the classes of objects, are made of them."""
        return (
            self.processing.probabilities or bool(self.change_years) or self.map.objects is not None
        )

    @property
    def class_names(self) -> dict[int, str]:
        return {one.id: one.name for one in self.reference.classes}

    @property
    def doubts(self) -> list[str]:
        """What is allowed and is seldom meant, a sentence each."""
        classes = self.reference.classes
        return [
            f"reference.classes[{i}].color: {classes[i].name} has the colour of "
            f"{classes[first].name} ({classes[i].color}), so that the map shows them as one. Give "
            "it another, or none: one is chosen for it"
            for i, first in alike([one.color for one in classes])
        ] + (
            [f"change.enabled: there is no change in one year ({self.years[0]}). Give a second one"]
            if self.change.enabled and not self.change_years
            else []
        )


_READ_BY_GDAL = re.compile(
    r"aoi\.(boundary|natural_earth)|reference\.path|sampling\.points\.path|features\.layers.*"
)


def _located(folder: Path, path: str, key: str) -> str:
    """Return a path made absolute. ``~`` at its beginning is a home, if there is such a
    user.

    Raises ConfigError where GDAL would take a file's name apart.
    """
    named = Path(path)
    if path.startswith("~"):
        with suppress(RuntimeError):  # there is no such user, and there may be such a folder
            named = named.expanduser()
    found = (folder / named).resolve()
    apart = [c for c in ("!", "\n") if c in str(found)] + [c for c in ";" if c in found.name]
    if _READ_BY_GDAL.fullmatch(key) and apart and found.exists():
        raise ConfigError(
            f"{key}: {str(found)!r} has {' and '.join(map(repr, apart))} in its name, at which "
            "GDAL takes it apart. Rename it"
        )
    return str(found)
