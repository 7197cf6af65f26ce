"""Options of rasters that have no season, of which versions are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from lc_platform.config import Config, Simulation
from lc_platform.config.input_files import InputFile, digest, local
from lc_platform.config.layers import FeatureLayer, feature_names

Resampling = Literal["nearest", "bilinear", "cubic", "average"]
_YEAR = "{year}"
_USUAL = FeatureLayer(name="usual")


@dataclass(frozen=True)
class Network:
    """How servers are asked."""

    connections: int = 4
    requests_per_minute: float | None = None
    retries: int = 5


@dataclass(frozen=True, kw_only=True)
class LayerOptions:
    """A raster that has no season, and how its bands become features."""

    name: str
    key: str = "features.layers"
    """Of the configuration, for messages."""
    path: InputFile | None = None
    tile_index: InputFile | None = None
    location: str = _USUAL.location
    year_attribute: str | None = None
    catalog: InputFile | None = None
    collection: str | None = None
    datetime: str | None = None
    simulated: int | None = None
    """The seed of the simulated archive, whose terrain model it is."""
    bands: tuple[int | str, ...] = ()
    scale: tuple[float, ...] = ()
    """Of each band, or one of all; the files' own where there is none."""
    offset: tuple[float, ...] = ()
    """Likewise."""
    scale_path: InputFile | None = None
    nodata: float | None = None
    encoding: Literal["alphaearth"] | None = None
    resampling: Resampling = _USUAL.resampling
    terrain: tuple[str, ...] = ()
    network: Network = Network()
    year: int | None = None
    """Whose files these are; None of all years."""

    @classmethod
    def of(cls, config: Config) -> tuple[LayerOptions, ...]:
        """Return those of a configuration. Raises ConfigError where a variable is not set."""
        return tuple(
            _options(config, layer, f"features.layers[{i}]")
            for i, layer in enumerate(config.features.layers)
        )

    def of_year(self, year: int) -> LayerOptions:
        """Return the options with the files of a year."""
        changed: dict[str, Any] = {
            name: replace(
                file,
                written=file.written.replace(_YEAR, str(year)),
                located=file.located.replace(_YEAR, str(year)),
            )
            for name in ("path", "tile_index", "scale_path")
            if (file := getattr(self, name)) is not None
        }
        if self.datetime is not None:
            changed["datetime"] = self.datetime.replace(_YEAR, str(year))
        return replace(self, **changed, year=year)

    def features(self, count: int) -> tuple[str, ...]:
        """Return the names of the features that are made of so many bands."""
        return feature_names(self.name, self.bands or range(1, count + 1), self.terrain)

    @property
    def given(self) -> str:
        """The files as the configuration has them."""
        for file in (self.path, self.tile_index):
            if file is not None:
                return file.written
        return "the simulated terrain" if self.collection is None else self.collection

    @property
    def counted(self) -> dict[str, Any]:
        """What versions are made of: what differs from the default, and the files' content."""
        told: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name in ("key", "network", "year") or value == one.default:
                continue
            if isinstance(value, InputFile):
                value = self._content(one.name, value)
            told[one.name] = value
        return told

    def _content(self, name: str, file: InputFile) -> str:
        if name == "catalog":  # the items lie beside it
            found = local(file.located)
            return (digest(str(found.parent)) if found else None) or file.written
        if name == "tile_index" and local(file.located):
            from lc_platform.sources.layers.tile_index import digest_of_tiles

            return digest_of_tiles(self)
        return file.content


def counted(layers: Sequence[LayerOptions]) -> list[dict[str, Any]]:
    """Return what versions are made of layers."""
    return [layer.counted for layer in layers]


def _options(config: Config, layer: FeatureLayer, key: str) -> LayerOptions:
    imagery = config.imagery
    scale, offset = (
        () if one is None else one if isinstance(one, tuple) else (one,)
        for one in (layer.scale, layer.offset)
    )
    catalog = None
    if layer.collection is not None:
        written = layer.catalog or imagery.catalog
        of = f"{key}.catalog" if layer.catalog else "imagery.catalog"
        assert written is not None
        catalog = InputFile(written, config.located(written, of))
    return LayerOptions(
        name=layer.name,
        key=key,
        path=InputFile.of(config, layer.path, f"{key}.path"),
        tile_index=InputFile.of(config, layer.tile_index, f"{key}.tile_index"),
        location=layer.location,
        year_attribute=layer.year_attribute,
        catalog=catalog,
        collection=layer.collection,
        datetime=layer.datetime,
        simulated=(imagery.simulation or Simulation()).seed if layer.is_simulated else None,
        bands=layer.bands,
        scale=scale,
        offset=offset,
        scale_path=InputFile.of(config, layer.scale_path, f"{key}.scale_path"),
        nodata=layer.nodata,
        encoding=layer.encoding,
        resampling=layer.resampling,
        terrain=layer.terrain,
        network=Network(imagery.connections, imagery.requests_per_minute, imagery.retries),
    )
