"""The configuration file: its schema, its checks, and the one home of every default.

A file is YAML. `load` reads it, refuses what it does not know with the key's path, what the value
should be and the nearest valid name, and gives a frozen `Config`. Relative paths are relative to
the file. `${NAME}` stands for an environment variable and is read when the value is used, so that
no secret is ever part of the configuration.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Self, Union, get_args, get_origin

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from lc_platform.errors import PlatformError
from lc_platform.eo import indices as indices_of
from lc_platform.eo.indices import Index

ENVIRONMENT_VARIABLE = "LC_PLATFORM_CONFIG"
FILE_NAME = "lc-platform.yaml"
DEMO_FOLDER = "lc-demo"
SOURCES = ("simulated", "stac", "sentinel_hub")

SENTINEL2_BANDS = (
    "B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B10", "B11", "B12",
)  # fmt: skip
BAND_ALIASES = {
    "coastal": "B01", "blue": "B02", "green": "B03", "red": "B04", "rededge1": "B05",
    "rededge2": "B06", "rededge3": "B07", "nir": "B08", "nir08": "B8A", "nir09": "B09",
    "cirrus": "B10", "swir16": "B11", "swir22": "B12", "scl": "SCL",
}  # fmt: skip
"""Asset keys of the common STAC catalogs, and the Sentinel-2 bands that they are."""

LIGHTGBM_DEFAULTS: dict[str, Any] = {
    "num_iterations": 100,
    "learning_rate": 0.1,
    "num_leaves": 31,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.5,
    "lambda_l2": 1.0,
    "max_bin": 127,
}
LIGHTGBM_FIXED = ("objective", "num_class", "num_threads", "seed", "deterministic")
"""Parameters that the platform sets itself: the classes and the reproducibility hang on them."""

SIMULATED_CLASSES: tuple[tuple[int, str, str], ...] = (
    (1, "winter cropland", "#f2d04a"),
    (2, "summer cropland", "#e8902c"),
    (3, "grassland", "#a5d46a"),
    (4, "vineyard and orchard", "#b56bb0"),
    (5, "shrubland", "#8a9a3b"),
    (6, "broadleaved forest", "#3f9b45"),
    (7, "coniferous forest", "#1b5e35"),
    (8, "water", "#2f6fd0"),
    (9, "built-up", "#d93a3a"),
    (10, "bare rock and soil", "#b8a99a"),
)
"""Classes of the simulated archive's landscape: id, name, colour."""


class ConfigError(PlatformError, ValueError):
    """The configuration is not usable; the message names the keys, one a line."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Metres = Annotated[float, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]


def _fraction(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool) and 1 < value <= 100:
        raise ValueError(
            f"{value:g} is not a fraction between 0 and 1. For {value:g} %, write {value / 100:g}"
        )
    return value


class Aoi(_Section):
    """The area of interest and how it is split into patches."""

    boundary: str | None = None
    bbox: tuple[float, float, float, float] | None = None
    country: str | None = None
    natural_earth: str | None = None
    """A local copy of Natural Earth's countries; by default its public download, cached."""
    buffer: float = Field(0.0, ge=0)
    crs: str = "utm"
    split: tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]] | None = None
    patch_size: Metres | None = None
    resolution: Metres = 10.0

    @field_validator("crs")
    @classmethod
    def _projected(cls, value: str) -> str:
        if value == "utm":
            return value
        from pyproj import CRS
        from pyproj.exceptions import CRSError

        try:
            crs = CRS.from_user_input(value)
        except CRSError as error:
            raise ValueError(f"{value} is no CRS that is known. Write EPSG:32633, or utm") from error
        if not crs.is_projected or any(a.unit_name != "metre" for a in crs.axis_info):
            unit = crs.axis_info[0].unit_name if crs.axis_info else "no unit"
            raise ValueError(
                f"{value} ({crs.name}) is in {unit}s; patches need a projected CRS in metres. "
                "Write for example EPSG:32633, or utm for every patch in its own UTM zone"
            )
        return value

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        places = [k for k in ("boundary", "bbox", "country") if getattr(self, k) is not None]
        if len(places) != 1:
            given = "none of them is given" if not places else f"{' and '.join(places)} are given"
            raise ValueError(f"exactly one of boundary, bbox and country says where; {given}")
        if (self.split is None) == (self.patch_size is None):
            raise ValueError(
                "exactly one of split (columns x rows) and patch_size (metres) says how the area "
                "is split; " + ("neither is given" if self.split is None else "both are given")
            )
        if self.split is not None and self.crs == "utm":
            raise ValueError(
                "split cuts one bounding box and needs one CRS; with crs: utm give patch_size"
            )
        if self.patch_size is not None and self.patch_size % self.resolution:
            below = self.patch_size // self.resolution * self.resolution
            raise ValueError(
                f"patch_size: {self.patch_size:g} m is not a multiple of resolution "
                f"({self.resolution:g} m). Take {below:g} or {below + self.resolution:g}"
            )
        return self


class SimulatedMistakes(_Section):
    """Share of the simulated reference's polygons that carry each mistake of a real one."""

    shifted: Fraction = 0.05
    mislabelled: Fraction = 0.03
    overlapping: Fraction = 0.02
    missing: Fraction = 0.05


class Simulation(_Section):
    """The simulated archive's knobs."""

    seed: int = 42
    cloudiness: float = Field(1.0, ge=0)
    mistakes: SimulatedMistakes = SimulatedMistakes()


def _canonical(band: str) -> str:
    return BAND_ALIASES.get(band.lower(), band)


class Imagery(_Section):
    """The archive, and what is taken from it."""

    source: Literal["sentinel_hub", "stac", "simulated"]
    collection: str = "sentinel-2-l1c"
    catalog: str | None = None
    bands: tuple[str, ...] = ("B02", "B03", "B04", "B08", "B11", "B12")
    max_cloud_cover: float = Field(80.0, ge=0, le=100)
    also: tuple[str, ...] = ()
    simulation: Simulation | None = None

    @field_validator("bands")
    @classmethod
    def _named_once(cls, bands: tuple[str, ...]) -> tuple[str, ...]:
        bands = tuple(_canonical(band) for band in bands)
        if not bands:
            raise ValueError("at least one band is needed")
        twice = sorted({band for band in bands if bands.count(band) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is named more than once")
        return bands

    @field_validator("max_cloud_cover")
    @classmethod
    def _percent(cls, value: float) -> float:
        if 0 < value < 1:
            raise ValueError(
                f"{value:g} is taken as a fraction, and this is in percent. Write {value * 100:g}"
            )
        return value

    @model_validator(mode="after")
    def _fits_the_source(self) -> Self:
        if self.source == "stac" and self.catalog is None:
            raise ValueError(
                "catalog: source stac needs the path or URL of a STAC API or of a catalog.json"
            )
        if self.source != "stac" and self.catalog is not None:
            raise ValueError(f"catalog is for source stac; the source is {self.source}")
        if self.source != "simulated" and self.simulation is not None:
            raise ValueError(f"simulation is for source simulated; the source is {self.source}")
        if self.source == "simulated":
            if self.collection != "sentinel-2-l1c":
                raise ValueError(
                    f"collection: the simulated archive is sentinel-2-l1c, not {self.collection}"
                )
            unknown = [band for band in self.bands if band not in SENTINEL2_BANDS]
            if unknown:
                raise ValueError(
                    f"bands: the simulated archive has no {', '.join(unknown)}; it has "
                    f"{', '.join(SENTINEL2_BANDS)}"
                )
        return self

    @property
    def level_2a(self) -> bool:
        """True where the collection is surface reflectance, with a scene classification."""
        return "l2a" in self.collection.lower()


class Clouds(_Section):
    """How clouds are found."""

    method: Literal["s2cloudless", "scl", "provider"] = "s2cloudless"
    threshold: Fraction = 0.4
    average_over: int = Field(4, ge=0)
    dilation: int = Field(2, ge=0)
    resolution: Metres = 80.0

    _threshold_unit = field_validator("threshold", mode="before")(_fraction)


class LandCoverClass(_Section):
    """One class of the map."""

    id: int = Field(ge=1, le=255)
    name: str = Field(min_length=1)
    color: str = Field(pattern=r"^#[0-9a-fA-F]{6}$")
    values: tuple[int | str, ...] = ()
    attribute: str | None = None
    """The attribute that `values` are of, where it is not the reference's."""

    @model_validator(mode="before")
    @classmethod
    def _values_default_to_the_id(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "values" not in data and "id" in data:
            return {**data, "values": [data["id"]]}
        return data


class Reference(_Section):
    """The reference map and its classes."""

    path: str | None = None
    attribute: str | None = None
    classes: tuple[LandCoverClass, ...] = Field(min_length=1)
    ignore: tuple[int | str, ...] = ()
    """Values of the attribute that mean no label."""

    @model_validator(mode="after")
    def _each_value_has_one_class(self) -> Self:
        for what, seen in (
            ("id", [c.id for c in self.classes]),
            ("name", [c.name for c in self.classes]),
        ):
            for i, value in enumerate(seen):
                if value in seen[:i]:
                    raise ValueError(
                        f"classes[{i}].{what}: {value} is also that of classes[{seen.index(value)}]"
                    )
        owner: dict[tuple[str | None, int | str], int] = {}
        for i, one in enumerate(self.classes):
            if not one.values:
                raise ValueError(f"classes[{i}].values: {one.name} has no value of the reference")
            for value in one.values:
                key = (one.attribute or self.attribute, value)
                if key in owner:
                    raise ValueError(
                        f"classes[{i}].values: {value} is also in classes[{owner[key]}] "
                        f"({self.classes[owner[key]].name}). A reference value can belong to one "
                        "class only"
                    )
                if value in self.ignore:
                    raise ValueError(f"classes[{i}].values: {value} is also in ignore")
                owner[key] = i
        return self


class Features(_Section):
    """What the classifier sees."""

    indices: tuple[str | dict[str, tuple[str, str]], ...] = ("NDVI", "NDWI", "NORM")
    interval: int = Field(16, ge=1, le=366)
    min_valid_fraction: Fraction = 0.8

    _fraction_unit = field_validator("min_valid_fraction", mode="before")(_fraction)

    @field_validator("indices")
    @classmethod
    def _known_or_defined(cls, indices: tuple[Any, ...]) -> tuple[Any, ...]:
        known = [*indices_of.KNOWN, "NORM"]
        for index in indices:
            if isinstance(index, str) and index not in known:
                raise ValueError(
                    f"{index} is not known; known are {', '.join(known)}.{_nearest(index, known)} "
                    f"Any other normalized difference is written {{{index}: [B8A, B05]}}"
                )
        parsed = [indices_of.parse(_canonical_index(index), ()) for index in indices]
        names = [index.name for index in parsed]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is named more than once")
        return tuple(_canonical_index(index) for index in indices)


def _canonical_index(index: str | dict[str, tuple[str, str]]) -> str | dict[str, tuple[str, str]]:
    if isinstance(index, str):
        return index
    return {name: (_canonical(a), _canonical(b)) for name, (a, b) in index.items()}


class Sampling(_Section):
    """Which pixels the classifier learns from, and which patches judge it."""

    pixels_per_patch: int = Field(40_000, ge=1)
    erosion: int = Field(1, ge=0)
    test_fraction: float = Field(0.2, gt=0, lt=1)
    seed: int = 42
    class_weights: Literal["balanced", "none"] = "balanced"
    """balanced: every class weighs the same in training, however many pixels it has."""

    _fraction_unit = field_validator("test_fraction", mode="before")(_fraction)


class Processing(_Section):
    """How the work is cut; the results do not depend on it."""

    window: int = Field(256, ge=16)
    """Pixels along the side of the windows that patches are streamed by."""
    threads: int = Field(0, ge=0)
    """Threads of training and inference in one worker; 0 takes all cores."""
    chunk: int = Field(0, ge=0)
    """Patches that one run takes together; 0 chooses by their size."""
    probabilities: bool = False
    """Whether `predictions` keeps the probability of every class."""

    @field_validator("window")
    @classmethod
    def _fits_storage(cls, value: int) -> int:
        if value > 256 and value % 256:
            raise ValueError(f"{value} is above 256 and no multiple of it. Take 256 or 512")
        return value


class Config(_Section):
    """A configuration file, validated."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    storage: str
    years: tuple[Annotated[int, Field(ge=1972, le=2100)], ...] = Field(min_length=1)
    aoi: Aoi
    imagery: Imagery
    clouds: Clouds = Clouds()
    reference: Reference
    features: Features = Features()
    sampling: Sampling = Sampling()
    model: dict[str, Any] = Field(default_factory=dict)
    mosaic_crs: str | None = None
    """CRS of the country's map; by default that of most patches."""
    processing: Processing = Processing()

    _folder: Path = PrivateAttr(default_factory=Path.cwd)

    @field_validator("years")
    @classmethod
    def _each_once_in_order(cls, years: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(years)))

    @field_validator("model")
    @classmethod
    def _lightgbm_parameters(cls, model: dict[str, Any]) -> dict[str, Any]:
        valid = lightgbm_parameters()
        for key in model:
            if valid.get(key, key) in LIGHTGBM_FIXED:
                raise ValueError(f"{key} is set by the platform and cannot be given")
            if key not in valid:
                raise ValueError(f"{key} is no parameter of LightGBM.{_nearest(key, list(valid))}")
        return {valid[key]: value for key, value in model.items()}

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
        imagery, clouds = self.imagery, self.clouds
        if clouds.method == "s2cloudless" and imagery.level_2a:
            raise ValueError(
                f"clouds.method: s2cloudless needs ten L1C bands, B10 among them, and "
                f"{imagery.collection} is L2A, which has no B10. Take clouds.method: scl, or "
                "imagery.collection: sentinel-2-l1c"
            )
        if clouds.method == "scl" and not imagery.level_2a:
            raise ValueError(
                f"clouds.method: scl reads the scene classification of L2A products, and "
                f"{imagery.collection} is not L2A. Take clouds.method: s2cloudless, or "
                "imagery.collection: sentinel-2-l2a"
            )
        if clouds.method == "s2cloudless" and clouds.resolution % self.aoi.resolution:
            below = clouds.resolution // self.aoi.resolution * self.aoi.resolution
            raise ValueError(
                f"clouds.resolution: {clouds.resolution:g} m is not a multiple of aoi.resolution "
                f"({self.aoi.resolution:g} m). Take {max(below, self.aoi.resolution):g} or "
                f"{below + self.aoi.resolution:g}"
            )
        if self.reference.path is None and imagery.source != "simulated":
            raise ValueError(
                "reference.path: the reference map's file is missing; only the simulated archive "
                "brings its own"
            )
        if self.reference.path is not None and self.reference.attribute is None:
            for i, one in enumerate(self.reference.classes):
                if one.attribute is None and not _is_raster(self.reference.path):
                    raise ValueError(
                        "reference.attribute: which attribute of the vector file holds the class? "
                        f"(it can also be given for each class; classes[{i}] has none)"
                    )
        return self

    @property
    def folder(self) -> Path:
        """The folder that relative paths are relative to."""
        return self._folder

    def located(self, path: str) -> str:
        """`path` with environment variables read; relative paths made absolute, URLs as they are.

        Raises ConfigError where a variable is not set.
        """
        expanded = expand(path)
        if "://" in expanded or expanded.startswith("/vsi"):
            return expanded
        return str((self._folder / Path(expanded).expanduser()).resolve())

    @property
    def storage_url(self) -> str:
        return self.located(self.storage)

    @property
    def indices(self) -> tuple[Index, ...]:
        """The spectral indices among the features, in order."""
        return tuple(indices_of.parse(i, self.imagery.bands) for i in self.features.indices)

    @property
    def acquired_bands(self) -> tuple[str, ...]:
        """Bands at the grid's resolution: the features', those of indices, those of NDVI."""
        wanted = [*self.indices, indices_of.KNOWN["NDVI"]]
        return indices_of.required_bands(wanted, self.imagery.bands)

    @property
    def model_parameters(self) -> dict[str, Any]:
        return {**LIGHTGBM_DEFAULTS, **self.model}

    @property
    def class_names(self) -> dict[int, str]:
        return {one.id: one.name for one in self.reference.classes}

    @property
    def class_colors(self) -> dict[int, str]:
        return {one.id: one.color for one in self.reference.classes}


def _is_raster(path: str) -> bool:
    return Path(path.split("?")[0]).suffix.lower() in {".tif", ".tiff", ".vrt", ".jp2", ".img"}


def lightgbm_parameters() -> dict[str, str]:
    """Every name and alias of LightGBM's parameters -> the parameter's main name."""
    from lightgbm.basic import _ConfigAliases

    return {
        alias: name
        for name, aliases in _ConfigAliases._get_all_param_aliases().items()
        for alias in [name, *aliases]
    }


def expand(text: str) -> str:
    """`text` with each ${NAME} replaced by the environment variable.

    Raises ConfigError naming a variable that is not set.
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            raise ConfigError(
                f"${{{name}}} in {text!r}: the environment variable {name} is not set"
            )
        return os.environ[name]

    return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", value, text)


def _nearest(name: str, valid: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    return f" Did you mean {close[0]}?" if close else ""


def _key(location: Sequence[int | str]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def _section_at(location: Sequence[int | str]) -> type[BaseModel] | None:
    annotation: Any = Config
    for part in location:
        annotation = _unwrapped(annotation)
        if isinstance(part, int):
            annotation = next((a for a in get_args(annotation) if a is not Ellipsis), None)
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            if part not in annotation.model_fields:
                return None
            annotation = annotation.model_fields[part].annotation
        else:
            return None
    annotation = _unwrapped(annotation)
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return annotation if is_model else None


def _unwrapped(annotation: Any) -> Any:
    if get_origin(annotation) in (Union, UnionType):
        return next(a for a in get_args(annotation) if a is not type(None))
    return annotation


def _lines(error: ValidationError) -> list[str]:
    lines: list[str] = []
    problems = error.errors()
    deeper = {p["loc"][:n] for p in problems for n in range(len(p["loc"]))}
    for problem in (p for p in problems if p["type"] != "too_short" or p["loc"] not in deeper):
        location = [p for p in problem["loc"] if not str(p).startswith(("tuple[", "dict[", "str"))]
        key = _key(location)
        if problem["type"] == "extra_forbidden":
            section = _section_at(location[:-1])
            valid = list(section.model_fields) if section else []
            hint = _nearest(str(location[-1]), valid)
            hint = hint or f" Keys here are {', '.join(valid)}." if valid else ""
            lines.append(f"{key}: this key is not known.{hint}")
        elif problem["type"] == "missing":
            lines.append(f"{key}: this key is missing.")
        else:
            text = problem["msg"].removeprefix("Value error, ").rstrip(".")
            if problem["type"] != "value_error":
                text = f"{problem['input']!r} does not fit: {text[0].lower()}{text[1:]}"
            # A whole section's check starts with the key inside the section.
            inner = re.match(r"[a-z_]+(\[\d+\])?(\.[a-z_]+)*(?=: )", text)
            joint = "." if key and inner else ": " if key else ""
            lines.append(f"{key}{joint}{text}.")
    return list(dict.fromkeys(lines))


def parse(data: Any, folder: Path | None = None) -> Config:
    """A configuration from what a YAML file holds; `folder` is what relative paths start from.

    Raises ConfigError with a line for every problem.
    """
    if not isinstance(data, Mapping):
        raise ConfigError("the configuration is not a mapping of keys to values")
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(_lines(error))) from None
    config._folder = (folder or Path.cwd()).resolve()
    return config


def load(path: str | Path) -> Config:
    """The configuration in a YAML file.

    Raises ConfigError naming the file, and the keys, where it is missing, no YAML or not valid.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}). `lc-platform init DIR` writes a "
            "configuration to start from"
        ) from error
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is no valid YAML: {error}") from error
    try:
        return parse(data, path.parent)
    except ConfigError as error:
        raise ConfigError(f"{path}:\n{error}") from None


def template(source: str) -> str:
    """The commented configuration that `lc-platform init` writes for a source."""
    return (resources.files("lc_platform") / "templates" / f"{source}.yaml").read_text("utf-8")


def current() -> Config:
    """The configuration for Dagster: the file that LC_PLATFORM_CONFIG names, or the demo's.

    Without the variable it is ./lc-demo/lc-platform.yaml where `lc-platform demo` has left one,
    and what that would write otherwise.
    """
    named = os.environ.get(ENVIRONMENT_VARIABLE)
    if named:
        return load(named)
    demo = Path.cwd() / DEMO_FOLDER / FILE_NAME
    if demo.is_file():
        return load(demo)
    data = yaml.safe_load(template("simulated"))
    data.get("reference", {}).pop("path", None)
    return parse(data, demo.parent)
