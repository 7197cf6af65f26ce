"""The section `imagery`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from lc_platform.catalogue import (
    AUXILIARY_COLLECTIONS,
    AUXILIARY_OF,
    BACKSCATTER_OF,
    CATALOGS,
    ORBITS,
    SENTINEL2_BANDS,
    SIMULATED_AUXILIARY_BANDS,
    AuxiliaryCollection,
    DataType,
    canonical_band,
    data_type_of,
    is_hls,
)
from lc_platform.config.fields import (
    Fraction,
    Number,
    PositiveWhole,
    Section,
    Text,
    Whole,
    check_named_once,
)
from lc_platform.config.problems import nearest

_RESERVED = ("detector", "bands", "data_mask", "time", "band", "x", "y", "spatial_ref")
"""Names that raw_bands has for layers and dimensions of its own."""


class SimulatedMistakes(Section):
    """Share of the simulated reference's polygons that carry each mistake of a real one."""

    shifted: Fraction = 0.05
    """The share of polygons that are moved."""
    mislabelled: Fraction = 0.03
    """The share of polygons that have the class of another."""
    overlapping: Fraction = 0.02
    """The share of polygons that reach into others."""
    missing: Fraction = 0.05
    """The share of polygons that are left out."""


class SimulatedChanges(Section):
    """What changes on the ground from year to year. Shares are of the parcels in a year."""

    since: Whole = Field(ge=1972)
    """The last year in which nothing has changed."""
    felled: Fraction = 0.0
    """The share of forest that becomes shrubland."""
    built: Fraction = 0.0
    """The share of cropland and grassland that becomes built-up."""
    rotated: Fraction = 0.0
    """The share of cropland that has the other of its crops than in the first year: no change."""
    reference_until: Whole | None = None
    """The year until which the reference leaves out what changes; by default it has the class of
    before."""


class Simulation(Section):
    """The simulated archive."""

    seed: Whole = 42
    """Another seed gives another landscape."""
    cloudiness: Number = Field(1.0, ge=0)
    """0 is a sky without clouds, 1 that of central Europe."""
    mistakes: SimulatedMistakes = SimulatedMistakes()
    bright_surfaces: Fraction = 0.0
    """Share of the places in towns and on bare ground that are bright roofs and quarries."""
    changes: SimulatedChanges | None = None
    """What changes from year to year; by default nothing does."""


class AuxiliaryImagery(Section):
    """An auxiliary collection: its bands become features beside the main one's.

    In the file, an id in place of the keys takes the defaults.
    """

    collection: Text
    """The id of the collection."""
    bands: tuple[Text, ...] = ()
    """The bands that become features; by default the collection's usual ones. The band that says
    where it is cloudy is added."""
    name: Text = Field("", pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    """The beginning of the features' names, such as S1 of S1_VV; by default the collection's."""
    catalog: Text | None = None
    """A STAC catalog that has it; by default it is where the main collection is."""
    orbits: Literal["together", "apart"] = "together"
    """Of radar: apart, ascending and descending orbits, which look from the west and from the east,
    are features of their own (S1_VV_ascending)."""
    backscatter: (
        Literal["gamma0_terrain", "gamma0_ellipsoid", "sigma0_ellipsoid", "beta0"] | None
    ) = None
    """Of radar: the coefficient; by default the archive's usual one, gamma0_terrain where it has
    it."""

    @model_validator(mode="before")
    @classmethod
    def _collections_usual(cls, data: Any) -> Any:
        if isinstance(data, str):
            data = {"collection": data}
        if not isinstance(data, Mapping) or not isinstance(data.get("collection"), str):
            return data
        usual = AUXILIARY_COLLECTIONS.get(data["collection"])
        if usual is None:
            known = [*AUXILIARY_COLLECTIONS]
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
        check_named_once(self.bands, "bands")
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
        for key, usual in (("orbits", "together"), ("backscatter", None)):
            if not self.radar and getattr(self, key) != usual:
                raise ValueError(f"{key}: {self.collection} is no radar. Remove the key")
        if self.name in _RESERVED:
            raise ValueError(f"name: {self.name} is a name of the platform's own. Take another")
        return self

    @property
    def _usual(self) -> AuxiliaryCollection:
        return AUXILIARY_COLLECTIONS[self.collection]

    @property
    def quality_band(self) -> str | None:
        return self._usual.quality_band

    @property
    def radar(self) -> bool:
        """Whether it is of a radar, which clouds do not hide."""
        return self.quality_band is None

    @property
    def kept_apart(self) -> tuple[str | None, ...]:
        """The directions of the orbits whose features are kept apart; None is all of them."""
        return ORBITS if self.orbits == "apart" else (None,)

    @property
    def acquired_bands(self) -> tuple[str, ...]:
        """The bands of features, and the one that says where it is cloudy."""
        return self.bands if self.quality_band is None else (*self.bands, self.quality_band)


class Budget(Section):
    """The limits of a calendar month (UTC), for all workers together."""

    processing_units: Annotated[Number, Field(gt=0)] | None = None
    """Processing units of Sentinel Hub."""
    requests: PositiveWhole | None = None
    """Requests to the archive."""


class Imagery(Section):
    """The archive, and what is taken from it."""

    source: Literal["sentinel_hub", "stac", "simulated"]
    """The archive."""
    collection: Text = "sentinel-2-l1c"
    """The id of the collection, as the archive has it."""
    catalog: Text | None = None
    """For source stac: the path or URL of a STAC API or of a catalog.json, or earth-search
    or planetary-computer."""
    bands: tuple[Text, ...] = ("B02", "B03", "B04", "B08", "B11", "B12")
    """Bands of the features, by Sentinel-2's names or the catalog's keys of assets. What the cloud
    detector needs is added."""
    data_type: DataType | None = None
    """For source stac: the numbers of the archive's files, which are stored as they are: uint16,
    int16 (signed, as HLS has them) or float32; by default int16 of HLS, and uint16 else."""
    resampling: Literal["nearest", "bilinear", "cubic"] = "nearest"
    """For source stac: how bands that are coarser than aoi.resolution, such as Sentinel-2's at
    20 m, are brought to it: nearest, bilinear or cubic."""
    max_cloud_cover: Number = Field(80.0, ge=0, le=100)
    """Percent; granules (items of the archive) with more are left out, each by its own cloud
    cover."""
    exclude: tuple[Text, ...] = ()
    """Keys of acquisitions, and ids of items, that are left out."""
    also: tuple[AuxiliaryImagery, ...] = ()
    """Auxiliary collections, resampled to the same grid."""
    deployment: Literal["sentinel_hub", "cdse"] | None = None
    """For source sentinel_hub: Sentinel Hub's own, or the Copernicus Data Space's; by default
    the first."""
    profile: Text | None = None
    """The profile of sentinelhub's configuration file that has the account; by default its usual
    one."""
    connections: PositiveWhole = 4
    """Requests to an archive that a worker makes at the same time."""
    requests_per_minute: PositiveWhole | None = None
    """The most that all workers of a machine make; by default what the archive allows."""
    retries: Whole = Field(5, ge=0)
    """Retries of a request that failed for a transient reason."""
    budget: Budget = Budget()
    simulation: Simulation | None = None
    """For source simulated."""

    @field_validator("bands")
    @classmethod
    def _named_once(cls, bands: tuple[str, ...]) -> tuple[str, ...]:
        bands = tuple(canonical_band(band) for band in bands)
        if not bands:
            raise ValueError("at least one band is needed. Write for example [B04, B08]")
        check_named_once(bands)
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
            ("data_type", "stac"),
            ("resampling", "stac"),
            ("deployment", "sentinel_hub"),
            ("profile", "sentinel_hub"),
        ):
            if self.source != owner and getattr(self, key) not in (None, "nearest"):
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
            source = self.auxiliary_source(one)
            if one.collection not in AUXILIARY_OF[source]:
                raise ValueError(
                    f"also[{i}].collection: source {source} has no {one.collection}; of what can "
                    f"be added it has {', '.join(AUXILIARY_OF[source])}"
                )
            has = SIMULATED_AUXILIARY_BANDS[one.collection] if source == "simulated" else one.bands
            absent = [band for band in one.bands if band not in has]
            if absent:
                raise ValueError(
                    f"also[{i}].bands: the simulated {one.collection} has no {', '.join(absent)}; "
                    f"it has {', '.join(has)}"
                )
            self._check_backscatter(i, one, source)
            for j, other in enumerate(self.also[:i]):
                if one.name == other.name:
                    raise ValueError(
                        f"also[{i}].name: {one.name} is also that of also[{j}] "
                        f"({other.collection}). Give one of them another name"
                    )
        return self

    @staticmethod
    def _check_backscatter(number: int, one: AuxiliaryImagery, source: str) -> None:
        """Raises ValueError for a coefficient that the source does not give."""
        given = BACKSCATTER_OF.get((source, one.collection), ())
        if one.backscatter is None or one.backscatter in given:
            return
        other = ", ".join(BACKSCATTER_OF["stac", "sentinel-1-rtc"])
        has = (
            f"it has {', '.join(given)}"
            if given
            else "it has amplitudes of no coefficient, as ESA distributes them. Remove the key, or "
            f"take sentinel-1-rtc, which has {other}"
        )
        raise ValueError(
            f"also[{number}].backscatter: {one.collection} of source {source} has no "
            f"{one.backscatter}; {has}"
        )

    def auxiliary_backscatter(self, auxiliary: AuxiliaryImagery) -> str | None:
        """Return the coefficient of a radar's numbers that its source is asked for; None for its
        usual one."""
        given = BACKSCATTER_OF.get((self.auxiliary_source(auxiliary), auxiliary.collection), ())
        asked = auxiliary.backscatter
        return None if asked is None or asked == given[0] else asked

    def auxiliary_source(
        self, auxiliary: AuxiliaryImagery
    ) -> Literal["sentinel_hub", "stac", "simulated"]:
        """Return the source of an auxiliary collection: the STAC catalog that it names, or that
        of the main collection."""
        return self.source if auxiliary.catalog is None else "stac"

    def auxiliary_quantity(
        self, auxiliary: AuxiliaryImagery
    ) -> Literal["reflectance", "power", "amplitude"]:
        """Return the quantity of the archive's numbers; a radar's is the one its source gives."""
        if not auxiliary.radar:
            return "reflectance"
        return "amplitude" if self.auxiliary_source(auxiliary) == "stac" else "power"

    @property
    def stored_type(self) -> DataType:
        """The type of the main collection's numbers."""
        return self.data_type or data_type_of(self.collection)

    @property
    def hls(self) -> bool:
        """True where the collection is of the Harmonized Landsat and Sentinel-2 product."""
        return is_hls(self.collection)

    @property
    def level_1c(self) -> bool:
        """True where the collection is reflectance at the top of the atmosphere."""
        return "l1c" in self.collection.lower()

    @property
    def level_2a(self) -> bool:
        """True where the collection is surface reflectance, with a scene classification."""
        return "l2a" in self.collection.lower()
