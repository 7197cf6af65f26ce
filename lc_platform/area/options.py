"""Options of the area of interest and of its split, of which versions are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

from lc_platform.config import Config
from lc_platform.config.input_files import InputFile, digest_of
from lc_platform.config.options import ABSENT, Options, data, option


def _if_given(value: Any) -> Any:
    """A key that came later counts where it is given: areas of before keep their versions."""
    return ABSENT if value is None else value


@dataclass(frozen=True, kw_only=True)
class AreaOptions(Options):
    """The area of interest: a boundary, a box or a country, and a buffer."""

    boundary: InputFile | None = option(data("boundary", value=digest_of), default=None)
    layer: str | None = option(data("layer", value=_if_given), default=None)
    """The layer of a boundary file that has several."""
    bbox: tuple[float, float, float, float] | None = option(data("bbox"), default=None)
    """West, south, east, north in degrees (EPSG:4326)."""
    country: str | None = option(data("country"), default=None)
    natural_earth: InputFile | None = option(data("natural_earth", value=digest_of), default=None)
    """A local copy of Natural Earth's countries."""
    buffer: float = option(data("buffer"), default=0.0)
    """Metres around it."""

    @classmethod
    def of(cls, config: Config) -> Self:
        """Return the options of a configuration. Raises ConfigError where a variable is not set."""
        return cls(**cls._given(config))

    @classmethod
    def _given(cls, config: Config) -> dict[str, Any]:
        aoi = config.aoi
        return {
            "boundary": InputFile.of(config, aoi.boundary, "aoi.boundary"),
            "layer": aoi.layer,
            "bbox": aoi.bbox,
            "country": aoi.country,
            "natural_earth": InputFile.of(config, aoi.natural_earth, "aoi.natural_earth"),
            "buffer": aoi.buffer,
        }


@dataclass(frozen=True, kw_only=True)
class SplitOptions(AreaOptions):
    """The area of interest, and its split into patches."""

    crs: str = option(data("crs"), default="utm")
    """A projected CRS in metres; ``utm`` gives every patch its own zone."""
    split: tuple[int, int] | None = option(data("split"), default=None)
    """Columns and rows of the bounding box, in place of ``patch_size``."""
    patch_size: float | None = option(data("patch_size"), default=None)
    """Metres, a multiple of ``resolution``."""
    resolution: float = option(data("resolution"), default=10.0)
    """Metres."""

    @classmethod
    def _given(cls, config: Config) -> dict[str, Any]:
        names = ("crs", "split", "patch_size", "resolution")
        return super()._given(config) | {name: getattr(config.aoi, name) for name in names}
