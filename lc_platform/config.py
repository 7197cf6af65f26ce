"""The configuration file: its schema, its checks, and the one home of every default.

A file is YAML. `load` reads it, refuses what it does not know with the key's path, what the value
should be and the nearest valid name, and gives a frozen `Config`. Relative paths are relative to
the file. `${NAME}` stands for an environment variable and is read when the value is used, so that
no secret is ever part of the configuration.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Hashable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self
from urllib.parse import urlsplit

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from lc_platform import secret
from lc_platform.config_problems import nearest, problems, shown
from lc_platform.eo import indices as indices_of
from lc_platform.eo.indices import Index
from lc_platform.errors import PlatformError

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
    "feature_fraction": 0.2,
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


RUN_PIXELS = 12 * 2**20
"""Of a launched run: some three minutes of work on one core, where its process starts in ten
seconds."""
RUN_PATCHES = 64
"""Of a launched run at most; what is recorded of each takes time too."""
SPLIT_PATCH_SIZE = 10_000.0
"""Metres that a patch is taken for where the area is split into columns and rows."""


class ConfigError(PlatformError, ValueError):
    """The configuration is not usable; the message names the keys, one a line."""


def _no_truth_value(value: Any) -> Any:
    # pydantic takes true for 1, and YAML reads yes, no, on and off as true and false.
    if isinstance(value, bool):
        raise ValueError(
            f"{str(value).lower()} is a truth value, which is not expected here. If the file says "
            "yes, no, on or off, put it in quotes"
        )
    return value


Text = Annotated[str, BeforeValidator(_no_truth_value)]
Whole = Annotated[int, BeforeValidator(_no_truth_value)]
Number = Annotated[float, BeforeValidator(_no_truth_value)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


Metres = Annotated[Number, Field(gt=0)]
Fraction = Annotated[Number, Field(ge=0, le=1)]
Counted = Annotated[Whole, Field(ge=1)]


def _fraction(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool) and 1 < value <= 100:
        raise ValueError(
            f"{value:g} is not a fraction between 0 and 1. For {value:g} %, write {value / 100:g}"
        )
    return value


def _multiple(value: float, of: float) -> bool:
    return math.isclose(value / of, max(1, round(value / of)), rel_tol=1e-9)


def _neighbours(value: float, of: float) -> str:
    """The multiples of ``of`` on either side of ``value``, in words."""
    below = math.floor(value / of) * of
    return f"{below:g} or {below + of:g}" if below else f"{of:g}"


def _projected(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"EPSG:{value}"
    if not isinstance(value, str) or value == "utm":
        return value
    from pyproj import CRS
    from pyproj.exceptions import CRSError

    try:
        crs = CRS.from_user_input(value)
    except CRSError as error:
        raise ValueError(
            f"{value} is no CRS that is known. Write for example EPSG:32633"
        ) from error
    if not crs.is_projected or any(a.unit_name != "metre" for a in crs.axis_info):
        unit = crs.axis_info[0].unit_name if crs.axis_info else "no unit"
        raise ValueError(
            f"{value} ({crs.name}) is in {unit}s; a projected CRS in metres is needed. "
            "Write for example EPSG:32633"
        )
    return value


ProjectedCrs = Annotated[Text, BeforeValidator(_projected)]


class Aoi(_Section):
    """The area of interest and how it is split into patches."""

    boundary: Text | None = None
    bbox: tuple[Number, Number, Number, Number] | None = None
    country: Text | None = None
    natural_earth: Text | None = None
    """A local copy of Natural Earth's countries; by default its public download, cached."""
    buffer: Number = Field(0.0, ge=0)
    crs: ProjectedCrs = "utm"
    """``utm``: every patch in its own UTM zone."""
    split: tuple[Counted, Counted] | None = None
    patch_size: Metres | None = None
    resolution: Metres = 10.0

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
        if self.patch_size is not None and not _multiple(self.patch_size, self.resolution):
            raise ValueError(
                f"patch_size: {self.patch_size:g} m is not a multiple of resolution "
                f"({self.resolution:g} m). Take {_neighbours(self.patch_size, self.resolution)}"
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

    seed: Whole = 42
    cloudiness: Number = Field(1.0, ge=0)
    mistakes: SimulatedMistakes = SimulatedMistakes()


CATALOGS = ("earth-search", "planetary-computer")
"""Public STAC archives that go by a name."""


def _canonical(band: str) -> str:
    return BAND_ALIASES.get(band.lower(), band)


class FurtherCollection(NamedTuple):
    """What the platform knows of a collection that can be added to the main one."""

    name: str
    """What its features' names begin with."""
    bands: tuple[str, ...]
    """That are features, where the configuration names none."""
    choice: tuple[str, ...]
    """All that may be."""
    quality_band: str | None
    """Says which pixels show the ground; None of radar, which clouds do not hide."""


_LANDSAT_BANDS = ("B02", "B03", "B04", "B05", "B06", "B07")
_LANDSAT_ASSETS = ("blue", "green", "red", "nir08", "swir16", "swir22")
FURTHER_COLLECTIONS: Mapping[str, FurtherCollection] = {
    "sentinel-1-grd": FurtherCollection("S1", ("VV", "VH"), ("VV", "VH", "HH", "HV"), None),
    "sentinel-1-rtc": FurtherCollection("S1", ("VV", "VH"), ("VV", "VH", "HH", "HV"), None),
    "landsat-ot-l1": FurtherCollection(
        "L8", _LANDSAT_BANDS, ("B01", *_LANDSAT_BANDS, "B08", "B09"), "BQA"
    ),
    "landsat-ot-l2": FurtherCollection("L8", _LANDSAT_BANDS, ("B01", *_LANDSAT_BANDS), "BQA"),
    "landsat-c2-l2": FurtherCollection(
        "L8", _LANDSAT_ASSETS, ("coastal", *_LANDSAT_ASSETS), "qa_pixel"
    ),
}
SIMULATED_FURTHER_BANDS = {
    "sentinel-1-grd": ("VV", "VH"),
    "landsat-ot-l1": ("B01", *_LANDSAT_BANDS, "B09"),
}
"""Collections of the simulated archive beside the main one, and the bands that it has of them."""
FURTHER_OF: Mapping[str, tuple[str, ...]] = {
    "sentinel_hub": ("sentinel-1-grd", "landsat-ot-l1", "landsat-ot-l2"),
    "stac": ("sentinel-1-grd", "sentinel-1-rtc", "landsat-c2-l2"),
    "simulated": tuple(SIMULATED_FURTHER_BANDS),
}
"""Source -> the collections that it may be asked for beside the main one."""
_TAKEN = ("detector", "bands", "data_mask", "time", "band", "x", "y", "spatial_ref")
"""What raw_bands holds under names of the platform's own."""


class Also(_Section):
    """A further collection: its bands become features beside the main one's.

    In the file, an id in place of the keys takes the defaults.
    """

    collection: Text
    bands: tuple[Text, ...] = ()
    """That become features; by default the collection's usual ones. What tells clouds is added."""
    name: Text = Field("", pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    """What the features' names begin with, such as S1 of S1_VV; by default the collection's."""
    catalog: Text | None = None
    """A STAC catalog that has it; by default it is where the main collection is."""

    @model_validator(mode="before")
    @classmethod
    def _collections_usual(cls, data: Any) -> Any:
        if isinstance(data, str):
            data = {"collection": data}
        if not isinstance(data, Mapping) or not isinstance(data.get("collection"), str):
            return data
        usual = FURTHER_COLLECTIONS.get(data["collection"])
        if usual is None:
            known = [*FURTHER_COLLECTIONS]
            raise ValueError(
                f"collection: {data['collection']} cannot be added to another collection; "
                f"{', '.join(known)} can.{nearest(data['collection'], known)}"
            )
        return {"bands": usual.bands, "name": usual.name, **data}

    @model_validator(mode="after")
    def _names_are_free(self) -> Self:
        if not self.bands:
            raise ValueError(
                f"bands: at least one band is needed. Write for example "
                f"[{', '.join(self._usual.bands[:2])}], or remove the key"
            )
        twice = sorted({band for band in self.bands if self.bands.count(band) > 1})
        if twice:
            raise ValueError(f"bands: {', '.join(twice)} is named more than once. Name it once")
        for band in self.bands:
            if band == self.quality_band:
                raise ValueError(
                    f"bands: {band} says where it is cloudy, and is acquired without being "
                    "named. Remove it"
                )
            if band not in self._usual.choice:
                raise ValueError(
                    f"bands: {self.collection} has no band {band}; it has "
                    f"{', '.join(self._usual.choice)}"
                )
        if self.name in _TAKEN:
            raise ValueError(f"name: {self.name} is a name of the platform's own. Take another")
        return self

    @property
    def _usual(self) -> FurtherCollection:
        return FURTHER_COLLECTIONS[self.collection]

    @property
    def quality_band(self) -> str | None:
        return self._usual.quality_band

    @property
    def acquired_bands(self) -> tuple[str, ...]:
        """Those of features, and the one that tells clouds."""
        return self.bands if self.quality_band is None else (*self.bands, self.quality_band)


class Budget(_Section):
    """What may be spent in a calendar month (UTC), by all workers together."""

    processing_units: Annotated[Number, Field(gt=0)] | None = None
    """Sentinel Hub's."""
    requests: Counted | None = None


class Imagery(_Section):
    """The archive, and what is taken from it."""

    source: Literal["sentinel_hub", "stac", "simulated"]
    collection: Text = "sentinel-2-l1c"
    catalog: Text | None = None
    """Of source stac: the path or URL of a STAC API or of a catalog.json, or one of `CATALOGS`."""
    bands: tuple[Text, ...] = ("B02", "B03", "B04", "B08", "B11", "B12")
    max_cloud_cover: Number = Field(80.0, ge=0, le=100)
    exclude: tuple[Text, ...] = ()
    """Keys of acquisitions that are left out."""
    also: tuple[Also, ...] = ()
    """Further collections, resampled to the same grid."""
    deployment: Literal["sentinel_hub", "cdse"] | None = None
    """Of source sentinel_hub: Sentinel Hub's own, or the Copernicus Data Space's; by default
    the first."""
    profile: Text | None = None
    """Of sentinelhub's configuration file, that has the account; by default its usual one."""
    connections: Counted = 4
    """Requests to an archive that a worker has under way at the same time."""
    requests_per_minute: Counted | None = None
    """That all workers of a machine make at most; by default what the archive allows."""
    retries: Whole = Field(5, ge=0)
    """Of a request that failed for no fault of its own."""
    budget: Budget = Budget()
    simulation: Simulation | None = None

    @field_validator("bands")
    @classmethod
    def _named_once(cls, bands: tuple[str, ...]) -> tuple[str, ...]:
        bands = tuple(_canonical(band) for band in bands)
        if not bands:
            raise ValueError("at least one band is needed. Write for example [B04, B08]")
        twice = sorted({band for band in bands if bands.count(band) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is named more than once. Name it once")
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
                "catalog: this key is missing. Source stac needs the path or URL of a STAC API or "
                f"of a catalog.json, or one of {', '.join(CATALOGS)}"
            )
        for key, owner in (
            ("catalog", "stac"),
            ("simulation", "simulated"),
            ("deployment", "sentinel_hub"),
            ("profile", "sentinel_hub"),
        ):
            if self.source != owner and getattr(self, key) is not None:
                raise ValueError(
                    f"{key}: is for source {owner}, and the source is {self.source}. Remove it, or "
                    f"take source: {owner}"
                )
        if self.source == "simulated":
            if self.collection != "sentinel-2-l1c":
                raise ValueError(
                    f"collection: the simulated archive is sentinel-2-l1c, not {self.collection}. "
                    "Remove the key"
                )
            unknown = [band for band in self.bands if band not in SENTINEL2_BANDS]
            if unknown:
                raise ValueError(
                    f"bands: the simulated archive has no {', '.join(unknown)}; it has "
                    f"{', '.join(SENTINEL2_BANDS)}"
                )
        return self

    @model_validator(mode="after")
    def _each_collection_has_its_name(self) -> Self:
        for i, one in enumerate(self.also):
            if one.catalog is not None and self.source == "simulated":
                raise ValueError(
                    f"also[{i}].catalog: the simulated planet is in no catalog. Remove the key"
                )
            if one.collection == self.collection and one.catalog in (None, self.catalog):
                raise ValueError(
                    f"also[{i}].collection: {one.collection} is the main collection already. "
                    "Remove it"
                )
            source = self.further_source(one)
            if one.collection not in FURTHER_OF[source]:
                raise ValueError(
                    f"also[{i}].collection: source {source} has no {one.collection}; of what can "
                    f"be added it has {', '.join(FURTHER_OF[source])}"
                )
            has = SIMULATED_FURTHER_BANDS[one.collection] if source == "simulated" else one.bands
            absent = [band for band in one.bands if band not in has]
            if absent:
                raise ValueError(
                    f"also[{i}].bands: the simulated {one.collection} has no {', '.join(absent)}; "
                    f"it has {', '.join(has)}"
                )
            for j, other in enumerate(self.also[:i]):
                if one.name == other.name:
                    raise ValueError(
                        f"also[{i}].name: {one.name} is also that of also[{j}] "
                        f"({other.collection}). Give one of them another name"
                    )
        return self

    def further_source(self, further: Also) -> Literal["sentinel_hub", "stac", "simulated"]:
        """Where a further collection is: in the STAC catalog that it names, or where the main one
        is."""
        return self.source if further.catalog is None else "stac"

    def further_quantity(self, further: Also) -> Literal["reflectance", "power", "amplitude"]:
        """What the archive's numbers are of; a radar's are as its source gives them."""
        if further.quality_band is not None:
            return "reflectance"
        return "amplitude" if self.further_source(further) == "stac" else "power"

    @property
    def level_2a(self) -> bool:
        """True where the collection is surface reflectance, with a scene classification."""
        return "l2a" in self.collection.lower()


class Clouds(_Section):
    """How clouds are found."""

    method: Literal["s2cloudless", "scl", "provider"] = "s2cloudless"
    threshold: Fraction = 0.4
    average_over: Whole = Field(4, ge=0)
    dilation: Whole = Field(2, ge=0)
    resolution: Metres = 80.0

    _threshold_unit = field_validator("threshold", mode="before")(_fraction)


def _reference_value(value: Any) -> int | str:
    _no_truth_value(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, int | str):
        return value
    raise ValueError(f"{value!r} is no value of a class. Write a whole number or text")


ReferenceValue = Annotated[int | str, PlainValidator(_reference_value)]


def _color(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"#[0-9a-fA-F]{6}", value):
        raise ValueError(
            f'{shown(value)} is no colour. Write red, green and blue in quotes, such as "#ffcc00" '
            "(without quotes, YAML takes # for the start of a comment)"
        )
    return value


class LandCoverClass(_Section):
    """One class of the map."""

    id: Whole = Field(ge=1, le=255)
    name: Text = Field(min_length=1)
    color: Annotated[str, PlainValidator(_color)]
    values: tuple[ReferenceValue, ...] = ()
    attribute: Text | None = None
    """The attribute that `values` are of, where it is not the reference's."""

    @model_validator(mode="before")
    @classmethod
    def _values_default_to_the_id(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and "values" not in data and "id" in data:
            return {**data, "values": [data["id"]]}
        return data


class Reference(_Section):
    """The reference map and its classes."""

    path: Text | None = None
    attribute: Text | None = None
    classes: tuple[LandCoverClass, ...] = Field(min_length=1)
    ignore: tuple[ReferenceValue, ...] = ()
    """Values of the attribute that mean no label."""

    @model_validator(mode="after")
    def _each_value_has_one_class(self) -> Self:
        named: list[tuple[str, list[Any]]] = [
            ("id", [c.id for c in self.classes]),
            ("name", [c.name for c in self.classes]),
        ]
        for what, seen in named:
            for i, value in enumerate(seen):
                if value in seen[:i]:
                    raise ValueError(
                        f"classes[{i}].{what}: {value} is also that of classes"
                        f"[{seen.index(value)}]. Give every class its own"
                    )
        # As text, because 7 in a configuration and "7" in a file are one value.
        ignored = {str(value) for value in self.ignore}
        owner: dict[tuple[str | None, str], int] = {}
        for i, one in enumerate(self.classes):
            if not one.values:
                raise ValueError(
                    f"classes[{i}].values: {one.name} has no value of the reference. Give at least "
                    "one, or remove the class"
                )
            for value in one.values:
                key = (one.attribute or self.attribute, str(value))
                if owner.get(key) == i:
                    raise ValueError(f"classes[{i}].values: {value} is given twice. Give it once")
                if key in owner:
                    raise ValueError(
                        f"classes[{i}].values: {value} is also in classes[{owner[key]}] "
                        f"({self.classes[owner[key]].name}). A reference value can belong to one "
                        "class only"
                    )
                if str(value) in ignored:
                    raise ValueError(
                        f"classes[{i}].values: {value} is also in ignore. Remove one of them"
                    )
                owner[key] = i
        return self


IndexEntry = str | dict[str, tuple[str, str]]


def _index(entry: Any) -> IndexEntry:
    known = [*indices_of.KNOWN, "NORM"]
    if isinstance(entry, str):
        if entry not in known:
            raise ValueError(
                f"{entry} is not known; known are {', '.join(known)}.{nearest(entry, known)} "
                f"Any other normalized difference is written {{{entry}: [B8A, B05]}}"
            )
        return entry
    example = "{NDRE: [B8A, B05]}"
    if not isinstance(entry, Mapping) or len(entry) != 1:
        raise ValueError(
            f"{shown(entry)} is not one index. Write a name, or one name with its two bands: "
            f"{example}"
        )
    ((name, bands),) = entry.items()
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", name):
        raise ValueError(
            f"{shown(name)} is no name of an index. Take letters, digits, _ and -: {example}"
        )
    if name in known:
        raise ValueError(f"{name} has its bands already. Take another name for others")
    if (
        not isinstance(bands, Sequence)
        or len(bands) != 2
        or not all(isinstance(band, str) for band in bands)
        or _canonical(bands[0]) == _canonical(bands[1])
    ):
        raise ValueError(
            f"{name}: {shown(bands)} is not a pair of bands. A normalized difference needs two "
            f"different ones: {example}"
        )
    return {name: (_canonical(bands[0]), _canonical(bands[1]))}


class Features(_Section):
    """What the classifier sees."""

    indices: tuple[Annotated[IndexEntry, PlainValidator(_index)], ...] = ("NDVI", "NDWI", "NORM")
    interval: Whole = Field(16, ge=1, le=366)
    min_valid_fraction: Fraction = 0.8
    stored: bool = True
    """Whether `features` are stored, or computed anew whenever they are read."""

    _fraction_unit = field_validator("min_valid_fraction", mode="before")(_fraction)

    @field_validator("indices")
    @classmethod
    def _named_once(cls, indices: tuple[IndexEntry, ...]) -> tuple[IndexEntry, ...]:
        names = [indices_of.parse(index, ()).name for index in indices]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is named more than once. Name it once")
        return indices


class Sampling(_Section):
    """Which pixels the classifier learns from, and which patches judge it."""

    pixels_per_patch: Counted = 40_000
    erosion: Whole = Field(1, ge=0)
    test_fraction: Number = Field(0.2, gt=0, lt=1)
    seed: Whole = Field(42, ge=0)
    class_weights: Literal["balanced", "none"] = "balanced"
    """balanced: every class weighs the same in training, however many pixels it has."""

    _fraction_unit = field_validator("test_fraction", mode="before")(_fraction)


class Processing(_Section):
    """How the work is cut; the results do not depend on it."""

    window: Whole = Field(256, ge=16)
    """Pixels along the side of the windows that patches are streamed by."""
    threads: Whole = Field(0, ge=0)
    """Threads of training and inference in one worker; 0 takes all cores."""
    chunk: Whole = Field(0, ge=0)
    """Patches that one run takes together; 0 chooses by their size."""
    probabilities: bool = False
    """Whether `predictions` keeps the probability of every class."""

    @field_validator("window")
    @classmethod
    def _fits_storage(cls, value: int) -> int:
        if value > 256 and value % 256:
            raise ValueError(f"{value} is above 256 and no multiple of it. Take 256 or 512")
        return value


GCS, AZURE = ("gs", "gcs"), ("az", "abfs", "abfss")
"""How URLs of Google Cloud Storage and Azure Blob Storage begin."""


class ObjectStore(_Section):
    """How an object store is reached; credentials come by the usual chain of its provider.

    S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or the machine's role. Google Cloud
    Storage: the application default credentials, such as the file that
    GOOGLE_APPLICATION_CREDENTIALS names; none where the endpoint begins with http://. Azure:
    AZURE_STORAGE_CONNECTION_STRING; or AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY,
    AZURE_STORAGE_SAS_TOKEN, or what Azure's default credentials find.
    """

    endpoint: Text | None = None
    """URL of the server; by default the provider's own. Of Azure, that of the account: of another
    cloud than the public one, or of an emulator."""
    region: Text | None = None
    """S3's only. By default that of the environment, or of the profile."""
    path_style: bool | None = None
    """S3's only. Whether the bucket stands in the path and not in the host's name; by default
    where the endpoint is not the provider's own."""
    verify: bool | Text = True
    """Whether TLS certificates are checked, or the file of the authorities that are trusted."""
    profile: Text | None = None
    """S3's only. Of the credentials file; by default that of the environment."""
    connections: Counted = 32
    """Requests of a process that are under way at the same time, for cubes and for files each."""
    retries: Whole = Field(5, ge=0)
    """Of a request that failed for no fault of its own, ever later, at random intervals."""
    connect_timeout: Number = Field(10.0, gt=0)
    """Seconds."""
    read_timeout: Number = Field(60.0, gt=0)
    """Seconds without a byte."""
    keep_replaced: Number = Field(24.0, ge=0)
    """Hours that `prune` leaves what was replaced, for those who are still reading it."""
    keep_unfinished: Number = Field(60.0, ge=0)
    """Days that `prune` leaves what has come of acquisitions that stopped on the way, as at a spent
    budget: the next run goes on from there. In a folder too."""

    @field_validator("endpoint")
    @classmethod
    def _without_credentials(cls, endpoint: str | None) -> str | None:
        if endpoint is None or endpoint.startswith("${"):
            return endpoint
        if not re.match(r"https?://[^/]", endpoint):
            raise ValueError(
                f"{endpoint} is no URL of a server. Write for example https://s3.example.org"
            )
        if "@" in endpoint:
            raise ValueError(
                "a URL with a password in it is refused. Give the credentials by the environment, "
                "or by a profile"
            )
        return endpoint.rstrip("/")

    def check_fits(self, storage: str) -> None:
        """Raises ValueError where a key is given that does nothing at a store's URL."""
        protocol = urlsplit(storage).scheme
        if protocol not in (*GCS, *AZURE):
            return
        for key in ("region", "path_style", "profile"):
            if getattr(self, key) is not None:
                raise ValueError(
                    f"object_store.{key}: does nothing at {protocol}://, it is S3's. Take it out"
                )
        if (
            protocol in GCS
            and self.endpoint
            and "://" in self.endpoint
            and urlsplit(self.endpoint).path
        ):
            raise ValueError(
                f"object_store.endpoint: {self.endpoint} has a path, and a server of Google Cloud "
                "Storage has none. Take it out"
            )


def _zone(value: Any) -> Any:
    from zoneinfo import ZoneInfo, available_timezones

    if isinstance(value, str) and value in available_timezones():
        return ZoneInfo(value).key
    hint = nearest(str(value), sorted(available_timezones()))
    raise ValueError(f"{shown(value)} is no time zone. Write for example Europe/Ljubljana.{hint}")


def _cron(value: Any) -> Any:
    from dagster._utils.schedules import is_valid_cron_string

    if isinstance(value, str) and is_valid_cron_string(value):
        return value
    raise ValueError(
        f"{shown(value)} is no cron string: minute, hour, day of month, month, day of week. Write "
        'for example "0 3 * * *", which is every night at three'
    )


def _from_environment(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}", value):
        return value
    raise ValueError(
        "a secret never stands in this file. Write ${NAME}, and set the environment variable NAME"
    )


Cron = Annotated[Text, BeforeValidator(_cron)]
Secret = Annotated[Text, BeforeValidator(_from_environment)]
Days = Annotated[Number, Field(gt=0)]


class Updating(_Section):
    """The schedule that keeps the current year up to date."""

    enabled: bool = False
    """Whether it runs as soon as it is deployed; in the UI it can be started at any time."""
    cron: Cron = "0 3 * * *"
    late_days: Whole = Field(31, ge=0, le=180)
    """Days into January in which the year before is kept up to date too: archives are late."""


class Rebuilding(_Section):
    """The schedule that makes the model and the map anew."""

    enabled: bool = False
    cron: Cron = "0 9 * * 1"
    """When it is asked whether a new map is due."""
    changed_share: Number = Field(0.2, gt=0, le=1)
    """Share of the patches whose samples are not those that the model has learnt from."""
    max_age: Days = 92.0
    """Days after which any change is enough: a season."""

    _fraction_unit = field_validator("changed_share", mode="before")(_fraction)


class Watching(_Section):
    """The sensor that asks the archive for new acquisitions.

    What it has asked for, and what was not made, it asks for again after a day.
    """

    enabled: bool = False
    every: Whole = Field(3600, ge=30)
    """Seconds between two looks."""
    seconds: Number = Field(40.0, gt=0, le=50)
    """That one look may take; Dagster ends one after 60. The next one goes on where it stopped."""


class Checking(_Section):
    """The schedule of the standing checks: what is missing, stale or failed."""

    enabled: bool = False
    cron: Cron = "30 6 * * *"


class Email(_Section):
    """A mail server, and who gets mail."""

    host: Text
    port: Whole = Field(587, ge=1, le=65535)
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: Text | None = None
    password: Secret | None = None
    sender: Text
    to: tuple[Text, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _no_password_in_the_clear(self) -> Self:
        if (self.user is None) != (self.password is None):
            absent = "user" if self.user is None else "password"
            raise ValueError(f"{absent}: this key is missing. Give user and password, or neither")
        if self.password is not None and self.security == "none":
            raise ValueError(
                "security: none would send the password readable to all. Take starttls or tls"
            )
        return self


class Notifying(_Section):
    """Who is told of what failed, and how often.

    Told of are runs that failed and are not started again; ticks of schedules and sensors that
    failed, or could not ask the archive; backfills that failed as a whole. A channel that does not
    take a message is tried again for a day, ever less often.
    """

    slack: Secret | None = None
    """The URL of a Slack webhook (or of a service that takes the same)."""
    email: Email | None = None
    ui: Text | None = None
    """Address of Dagster's UI, for the links in a message."""
    quiet: Number = Field(6.0, gt=0)
    """Hours in which one cause is told once, whatever it strikes; what came after is told together
    when they end."""
    timeout: Number = Field(10.0, gt=0, le=25)
    """Seconds that a message may take."""


class Operations(_Section):
    """What the platform does by itself. Nothing, unless it is enabled here or in the UI."""

    timezone: Annotated[Text, BeforeValidator(_zone)] = "UTC"
    """Of the cron strings, and of where a year begins; east of Greenwich it begins with UTC's."""
    update: Updating = Updating()
    rebuild: Rebuilding = Rebuilding()
    acquisitions: Watching = Watching()
    checks: Checking = Checking()
    notify: Notifying = Notifying()
    map_age: tuple[Days, Days] = (100.0, 130.0)
    """Days after which a map is late, and overdue; told where `rebuild` is enabled."""

    @field_validator("map_age")
    @classmethod
    def _late_before_overdue(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] >= value[1]:
            raise ValueError(
                f"{list(value)}: a map is late before it is overdue. Write the smaller number first"
            )
        return value


class Config(_Section):
    """A configuration file, validated."""

    name: Text = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    storage: Text
    years: tuple[Annotated[Whole, Field(ge=1972, le=2100)], ...] = Field(min_length=1)
    aoi: Aoi
    imagery: Imagery
    clouds: Clouds = Clouds()
    reference: Reference
    features: Features = Features()
    sampling: Sampling = Sampling()
    model: dict[str, Any] = Field(default_factory=dict)
    """LightGBM parameters over LIGHTGBM_DEFAULTS, under their main names."""
    mosaic_crs: ProjectedCrs | None = None
    """CRS of the country's map; by default that of most patches."""
    processing: Processing = Processing()
    operations: Operations = Operations()
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
    def _lightgbm_parameters(cls, model: Any) -> Any:
        return _lightgbm_checked(model) if isinstance(model, Mapping) and model else model

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
        if clouds.method == "provider" and imagery.source != "sentinel_hub":
            raise ValueError(
                "clouds.method: provider takes the masks of source sentinel_hub, and the source is "
                f"{imagery.source}. Take s2cloudless for L1C, scl for L2A"
            )
        if clouds.method == "s2cloudless" and not _multiple(clouds.resolution, self.aoi.resolution):
            raise ValueError(
                f"clouds.resolution: {clouds.resolution:g} m is not a multiple of aoi.resolution "
                f"({self.aoi.resolution:g} m). Take "
                f"{_neighbours(clouds.resolution, self.aoi.resolution)}"
            )
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
        taken = {*imagery.bands, *(index.name for index in self.indices)}
        for i, further in enumerate(imagery.also):
            for name in (further.name, *(f"{further.name}_{band}" for band in further.bands)):
                if name in taken:
                    raise ValueError(
                        f"imagery.also[{i}].name: {name} is also a band or an index of the "
                        "features. Take another name"
                    )
                taken.add(name)
        if self.reference.path is None and imagery.source != "simulated":
            raise ValueError(
                "reference.path: this key is missing. Give the reference map's file; only the "
                "simulated archive brings its own"
            )
        if self.reference.path is not None and self.reference.attribute is None:
            for i, one in enumerate(self.reference.classes):
                if one.attribute is None and not _is_raster(self.reference.path):
                    raise ValueError(
                        "reference.attribute: this key is missing. Name the attribute of the "
                        "vector file that holds the class (or give each class its own; "
                        f"classes[{i}] has none)"
                    )
        return self

    @property
    def folder(self) -> Path:
        """The folder that relative paths are relative to."""
        return self._folder

    def located(self, path: str, key: str = "") -> str:
        """`path` with environment variables read; relative paths made absolute, URLs as they are.

        Raises ConfigError naming ``key`` where a variable is not set.
        """
        expanded = expand(path, key)
        if "://" in expanded or expanded.startswith("/vsi"):
            return expanded
        if key.endswith("catalog") and expanded in CATALOGS:
            return expanded
        return str((self._folder / Path(expanded).expanduser()).resolve())

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
    def acquired_bands(self) -> tuple[str, ...]:
        """Bands at the grid's resolution: the features', those of indices, those of NDVI."""
        wanted = [*self.indices, indices_of.KNOWN["NDVI"]]
        return indices_of.required_bands(wanted, self.imagery.bands)

    @property
    def model_parameters(self) -> dict[str, Any]:
        return {**LIGHTGBM_DEFAULTS, **self.model}

    @property
    def patches_per_run(self) -> int:
        """Patches that a launched run takes together, where ``processing.chunk`` does not say:
        so many that the start of its process is a twentieth of its work."""
        if self.processing.chunk:
            return self.processing.chunk
        size = self.aoi.patch_size or SPLIT_PATCH_SIZE
        return max(1, min(int(RUN_PIXELS // (size / self.aoi.resolution) ** 2), RUN_PATCHES))

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


def _lightgbm_checked(model: Mapping[Any, Any]) -> dict[str, Any]:
    """LightGBM parameters under their main names. Raises ValueError naming the parameter."""
    import lightgbm
    import numpy as np

    valid = lightgbm_parameters()
    given: dict[str, str] = {}
    for key, value in model.items():
        if key not in valid:
            raise ValueError(f"{key}: is no parameter of LightGBM.{nearest(str(key), list(valid))}")
        name = valid[key]
        if name in LIGHTGBM_FIXED:
            raise ValueError(f"{key}: is set by the platform. Remove it")
        if name in given:
            raise ValueError(f"{key}: is another name of {given[name]}. Give one of them")
        given[name] = key
        # LightGBM checks every value when it makes a data set: now, and not after the download.
        settings = {"objective": "multiclass", "num_class": 2, "verbosity": -1, name: value}
        try:
            lightgbm.Dataset(np.arange(20.0)[:, None], params=settings).construct()
        except (lightgbm.basic.LightGBMError, TypeError) as error:
            why = re.sub(r" at /.*", "", str(error).strip())
            raise ValueError(f"{key}: LightGBM refuses {value!r} ({why}). Give another") from error
    return {valid[key]: value for key, value in model.items()}


def expand(text: str, key: str = "") -> str:
    """`text` with each ${NAME} replaced by the environment variable.

    Raises ConfigError naming ``key``, and a variable that is not set.
    """

    def value(match: re.Match[str]) -> str:
        name = match.group(1)
        if name not in os.environ:
            raise ConfigError(
                (f"{key}: " if key else "")
                + f"{text} needs the environment variable {name}, which is not set. Set it, for "
                f"example with `export {name}=...`"
            )
        return secret.read(name)

    return re.sub(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}", value, text)


class _Loader(yaml.SafeLoader):
    """YAML in which a key that is given twice is an error, and not silently the last one."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value != "<<":
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value} is given twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def parse(data: Any, folder: Path | None = None) -> Config:
    """A configuration from what a YAML file holds; `folder` is what relative paths start from.

    Raises ConfigError with a line for every problem.
    """
    if not isinstance(data, Mapping):
        raise ConfigError(
            "the configuration is not a mapping of keys to values. `lc-platform init DIR` writes "
            "one to start from"
        )
    try:
        config = Config.model_validate(data)
    except ValidationError as error:
        raise ConfigError("\n".join(problems(error, Config))) from None
    config._folder = (folder or Path.cwd()).resolve()
    return config


def load(path: str | Path) -> Config:
    """The configuration in a YAML file.

    Raises ConfigError naming the file, and the keys, where it is missing, no YAML or not valid.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not text in UTF-8 ({error}). Save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(
            f"{path}: cannot be read ({error.strerror}). `lc-platform init DIR` writes a "
            "configuration to start from"
        ) from error
    try:
        data = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: is no valid YAML. {_mistake(error)}") from error
    try:
        return parse(data, path.parent)
    except ConfigError as error:
        raise ConfigError(f"{path}:\n{error}") from None


def _mistake(error: yaml.YAMLError) -> str:
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return f"{error}. Mend it, or write text in quotes"
    mark = error.problem_mark
    return (
        f"Line {mark.line + 1}, column {mark.column + 1}: {error.problem or error.context}. Mend "
        "that line, or the one before it"
    )


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
