"""The section `features.layers`: rasters that have no season."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PlainValidator, field_validator, model_validator

from lc_platform.config.fields import Number, Section, Text, as_text, as_whole

_DERIVED = {
    "slope": ("slope",),
    "aspect": ("aspect_sin", "aspect_cos"),
    "curvature": ("profile_curvature", "plan_curvature"),
}
"""What is derived of a terrain model, and the endings of its features' names."""
_SOURCES = ("path", "tile_index", "collection")


def feature_names(
    name: str, bands: Iterable[int | str], terrain: Sequence[str] = ()
) -> tuple[str, ...]:
    """Return the names of a layer's features: that of the layer where it has one band, else with
    the band's behind it, a number as ``b3``; then of what is derived of a terrain model."""
    bands = tuple(bands)
    of_bands = [f"{name}_{f'b{band}' if isinstance(band, int) else _plain(band)}" for band in bands]
    derived = [f"{name}_{ending}" for one in terrain for ending in _DERIVED[one]]
    return (*([name] if len(bands) == 1 else of_bands), *derived)


def _plain(band: str) -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "_", band).strip("_")


def _band(value: Any) -> int | str:
    if isinstance(value, str):
        return str(as_text(value))
    found = as_whole(value)
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise ValueError(f"{value!r} is no band. Write its number, from 1, or its name")
    return found


class FeatureLayer(Section):
    """A raster that has no season, whose bands are features of every date: a terrain model, soil,
    climate, embeddings of a year."""

    name: Text = Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")
    """The feature's name; of several bands each has its number or name behind it (soil_b2)."""
    path: Text | None = None
    """A raster that GDAL reads, a virtual one too, or its URL; {year} in it is the map's year. Of
    the simulated archive its own terrain, where nothing is given."""
    tile_index: Text | None = None
    """Instead of path: a vector file (GeoPackage, GeoParquet) of the outlines of rasters, such as
    gdaltindex writes; {year} as in path."""
    location: Text = "location"
    """Of a tile_index: the attribute that holds the rasters' paths or URLs."""
    year_attribute: Text | None = None
    """Of a tile_index: the attribute that holds the rasters' year, where it has several."""
    collection: Text | None = None
    """Instead of path: a collection of a STAC catalog, its newest items first; bands names the
    assets."""
    catalog: Text | None = None
    """Of a collection: the catalog; by default imagery.catalog."""
    datetime: Text | None = Field(None, pattern=r"^(\{year\}|\d{4}(-\d\d(-\d\d)?)?)$")
    """Of a collection: the items of a year (2020 or {year}, the map's), a month or a day; by
    default all."""
    bands: tuple[
        Annotated[int | str, PlainValidator(_band, json_schema_input_type=int | str)], ...
    ] = ()
    """Numbers from 1, or names; by default all."""
    scale: Number | tuple[Number, ...] | None = None
    """value = number * scale + offset, one of all bands or one a band; by default the file's."""
    offset: Number | tuple[Number, ...] | None = None
    """See scale."""
    scale_path: Text | None = None
    """A raster on the same grid that holds the scale of each pixel; {year} as in path."""
    nodata: Number | None = None
    """The number that stands for no value; by default what the file says."""
    encoding: Literal["alphaearth"] | None = None
    """alphaearth: the numbers are those of Google's Satellite Embedding, int8, -128 no value."""
    resampling: Literal["nearest", "bilinear", "cubic", "average"] = "bilinear"
    """nearest for classes; bilinear; cubic for a terrain model coarser than the map; average of
    what is finer than the map."""
    terrain: tuple[Literal["slope", "aspect", "curvature"], ...] = ()
    """Of a terrain model in metres, features beside it: slope in degrees, aspect as sine and
    cosine, profile and plan curvature in 1/m."""

    @property
    def is_simulated(self) -> bool:
        """Whether it is the simulated archive's own."""
        return all(getattr(self, key) is None for key in _SOURCES)

    @property
    def known_features(self) -> tuple[str, ...]:
        """The names of its features, as far as they are known without the raster: of several
        bands that are not named, none of them."""
        return feature_names(self.name, self.bands or (1,), self.terrain)

    @field_validator("terrain")
    @classmethod
    def _each_once(cls, terrain: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(terrain)) < len(terrain):
            raise ValueError("one is named more than once. Name it once")
        return terrain

    @model_validator(mode="after")
    def _fits(self) -> Self:
        given = [key for key in _SOURCES if getattr(self, key) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are given, and one is read. Remove the others")
        for key, of in (
            ("location", "tile_index"),
            ("year_attribute", "tile_index"),
            ("catalog", "collection"),
            ("datetime", "collection"),
        ):
            if getattr(self, key) != type(self).model_fields[key].default and of not in given:
                raise ValueError(f"{key}: is of a {of}, and there is none. Remove it, or give one")
        if self.collection is not None and not self.bands:
            raise ValueError(
                "bands: this key is missing. Name the assets of the collection's items"
            )
        if self.collection is not None and any(isinstance(one, int) for one in self.bands):
            raise ValueError("bands: of a collection bands are assets, which have names. Name them")
        if self.is_simulated and (self.bands or self.scale_path or self.encoding):
            raise ValueError(
                "path: this key is missing. Give the raster, its tile_index or its collection"
            )
        if self.terrain and len(self.bands) > 1:
            raise ValueError(
                f"terrain: is of one band, the elevation, and bands names {len(self.bands)}. Name "
                "one, and the others in a layer of their own"
            )
        if self.encoding is not None:
            for key in ("scale", "offset", "scale_path", "nodata"):
                if getattr(self, key) is not None:
                    raise ValueError(f"{key}: encoding {self.encoding} says it already. Remove it")
        if self.scale_path is not None and (self.path is None or self.scale is not None):
            raise ValueError(
                "scale_path: is of a layer with a path and without a scale. Remove one of them"
            )
        for key in ("scale", "offset"):
            value = getattr(self, key)
            if isinstance(value, tuple) and len(value) != len(self.bands):
                raise ValueError(
                    f"{key}: there are {len(value)} for {len(self.bands)} bands. Give one for each "
                    "of bands, or one number"
                )
        twice = {one for one in self.known_features if self.known_features.count(one) > 1}
        if twice:
            raise ValueError(
                f"bands: two of them would be the feature {min(twice)}. Name each once"
            )
        return self


def check_names(layers: Sequence[FeatureLayer], signals: Sequence[str]) -> None:
    """Raises ValueError where two features would have one name.

    signals  bands and indices of all collections, which features of dates and of the season are
             named after (``NDVI_017``, ``NDVI_p50``), and names of collections
    """
    taken: dict[str, str] = {}
    for i, layer in enumerate(layers):
        at = f"features.layers[{i}].name"
        for signal in signals:
            if layer.name == signal or layer.name.startswith(f"{signal}_"):
                raise ValueError(
                    f"{at}: {layer.name} is named like a feature of {signal}. Take another name"
                )
            if signal.startswith(f"{layer.name}_"):
                raise ValueError(
                    f"{at}: {layer.name} is the beginning of {signal}, which is a feature already. "
                    "Take another name"
                )
        for name in layer.known_features:
            if re.search(r"_[0-9]{3}$", name):
                raise ValueError(
                    f"{at}: {name} ends like a feature of a day of the year (NDVI_121). Take "
                    "another name"
                )
            if name in taken:
                raise ValueError(
                    f"{at}: {name} would be a feature of {taken[name]} too, and two features would "
                    "have one name. Take another name"
                )
            taken[name] = f"features.layers[{i}]"
        for j, other in enumerate(layers[:i]):
            for one, two in ((layer, other), (other, layer)):
                if not two.bands and re.fullmatch(rf"{re.escape(two.name)}_b\d+", one.name):
                    raise ValueError(
                        f"{at}: {layer.name} and the bands of features.layers[{j}] "
                        f"({other.name}) would have one name. Take another name"
                    )
