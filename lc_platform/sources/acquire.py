"""From an archive to a patch's year of raw bands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.config import Config
from lc_platform.eo.acquisitions import DETECTOR, detector_grid
from lc_platform.eo.clouds import DETECTOR_BANDS, detector_margin
from lc_platform.eo.cube import (
    MAIN,
    Block,
    Computed,
    DataError,
    Layer,
    Summary,
    Thumbnail,
    stretched,
    whole,
)
from lc_platform.eo.grid import Patch
from lc_platform.sources.protocol import Acquisition, Pixels, Source

TRUE_COLOUR = ("B04", "B03", "B02")


class NoAcquisitionError(DataError):
    """The archive has nothing usable for a patch in a year."""


@dataclass(frozen=True)
class _Plan:
    """Which bands are read on which grid."""

    geobox: GeoBox
    bands: tuple[str, ...]
    margin: int
    detector: GeoBox | None
    detector_bands: tuple[str, ...]


def _plan(patch: Patch, config: Config) -> _Plan:
    clouds, bands = config.clouds, config.acquired_bands
    if clouds.method == "scl":
        return _Plan(patch.geobox, tuple(dict.fromkeys([*bands, "SCL"])), 0, None, ())
    margin = detector_margin(clouds.average_over, clouds.dilation)
    if clouds.resolution == config.aoi.resolution:
        together = tuple(dict.fromkeys([*bands, *DETECTOR_BANDS]))
        return _Plan(patch.geobox.pad(margin), together, margin, None, ())
    # One pixel more, for the bilinear way back to the patch's grid.
    coarse = detector_grid(patch.geobox, clouds.resolution, margin + 1)
    return _Plan(patch.geobox, bands, 0, coarse, DETECTOR_BANDS)


@dataclass(frozen=True)
class Offer:
    """What an archive has of a patch in a year, and is to be acquired."""

    patch: Patch
    year: int
    acquisitions: Sequence[Acquisition]
    too_cloudy: int
    """Acquisitions that the archive has beside them."""

    @property
    def named(self) -> Any:
        """What tells one offer from another: items, and what is known of their processing."""
        return [(a.key, a.items, sorted(a.properties.items())) for a in self.acquisitions]


def offer(source: Source, patch: Patch, year: int, config: Config) -> Offer:
    """Search the archive.

    Raises NoAcquisitionError where it has none, SourceError where it cannot be searched.
    """
    start, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    limit = config.imagery.max_cloud_cover
    found = source.search(patch.geobox.extent, start, end)
    kept = [a for a in found if a.cloud_cover is None or a.cloud_cover <= limit]
    if not kept:
        raise NoAcquisitionError(_nothing(patch, year, config, found))
    return Offer(patch, year, kept, len(found) - len(kept))


def acquire(source: Source, offer: Offer, config: Config) -> Computed:
    """Every acquisition of an offer, one by one, as the archive has it.

    Raises SourceError where it cannot give one.
    """
    patch, kept = offer.patch, offer.acquisitions
    plan = _plan(patch, config)
    grids: dict[str, GeoBox] = {MAIN: plan.geobox}
    coordinates: dict[str, NDArray[Any]] = {
        "time": np.array([a.datetime.replace(tzinfo=None) for a in kept], dtype="datetime64[s]"),
        "band": np.array(plan.bands),
    }
    layers = _layers("", len(plan.bands))
    if plan.detector is not None:
        grids[DETECTOR] = plan.detector
        coordinates[f"{DETECTOR}/band"] = np.array(plan.detector_bands)
        layers = {**layers, **_layers(DETECTOR, len(plan.detector_bands))}
    attributes: dict[str, Any] = {
        "patch": patch.key,
        "year": offer.year,
        "margin": plan.margin,
        "collection": config.imagery.collection,
        "acquisitions": [],
    }

    def blocks(summary: Summary) -> Iterator[Block]:
        picture = _ClearestPicture(plan)
        valid = 0.0
        for index, acquisition in enumerate(kept):
            pixels = source.read(acquisition, plan.geobox, plan.bands)
            facts = _facts(acquisition, pixels)
            valid += facts["data_fraction"]
            yield from _blocks("", index, plan.geobox, pixels)
            if plan.detector is not None:
                coarse = source.read(acquisition, plan.detector, plan.detector_bands)
                facts |= {
                    f"{DETECTOR}_scale": coarse.scale.tolist(),
                    f"{DETECTOR}_offset": coarse.offset.tolist(),
                }
                yield from _blocks(DETECTOR, index, plan.detector, coarse)
            attributes["acquisitions"].append(facts)
            picture.offer(pixels)
        summary.picture = picture.best
        summary.facts |= {
            "acquisitions": len(kept),
            "acquisitions_too_cloudy": offer.too_cloudy,
            "valid_fraction": valid / len(kept),
            "bands": ", ".join(plan.bands),
        }

    return Computed(grids, layers, blocks, coordinates, attributes)


def _layers(grid: str, bands: int) -> Mapping[str, Layer]:
    prefix = f"{grid}/" if grid else ""
    return {
        f"{prefix}bands": Layer(("time", f"{prefix}band"), "uint16", grid, 0, (1, bands)),
        f"{prefix}data_mask": Layer(("time",), "uint8", grid),
    }


def _blocks(grid: str, index: int, geobox: GeoBox, pixels: Pixels) -> Iterator[Block]:
    prefix, here = (f"{grid}/" if grid else ""), slice(index, index + 1)
    yield Block(f"{prefix}bands", (here, slice(None)), whole(geobox), pixels.values[None])
    mask = pixels.data_mask[None].astype(np.uint8)
    yield Block(f"{prefix}data_mask", (here,), whole(geobox), mask)


def _facts(acquisition: Acquisition, pixels: Pixels) -> dict[str, Any]:
    return {
        "key": acquisition.key,
        "datetime": acquisition.datetime.replace(tzinfo=None).isoformat(timespec="seconds"),
        "items": list(acquisition.items),
        "platform": acquisition.platform,
        "cloud_cover": acquisition.cloud_cover,
        "properties": dict(acquisition.properties),
        "scale": pixels.scale.tolist(),
        "offset": pixels.offset.tolist(),
        "data_fraction": float(pixels.data_mask.mean()),
    }


def _nothing(patch: Patch, year: int, config: Config, too_cloudy: list[Acquisition]) -> str:
    imagery = config.imagery
    longitude, latitude = patch.centre
    place = (
        f"the patch lies at {abs(latitude):.2f}{'N' if latitude >= 0 else 'S'} "
        f"{abs(longitude):.2f}{'E' if longitude >= 0 else 'W'}"
    )
    if too_cloudy:
        clearest = min(too_cloudy, key=lambda a: a.cloud_cover or 0.0)
        return (
            f"patch {patch.key}, {year}: none of {len(too_cloudy)} acquisitions between "
            f"{year}-01-01 and {year}-12-31 in {imagery.collection} has at most "
            f"{imagery.max_cloud_cover:g} % cloud (the clearest, {clearest.key}, has "
            f"{clearest.cloud_cover:g} %). Raise imagery.max_cloud_cover, or check the area (aoi): "
            f"{place}"
        )
    return (
        f"patch {patch.key}, {year}: no acquisition between {year}-01-01 and {year}-12-31 in "
        f"{imagery.collection}. Check years, imagery.collection and the area (aoi): {place}"
    )


class _ClearestPicture:
    """True colour of the acquisition that is darkest in the blue among the most complete."""

    def __init__(self, plan: _Plan) -> None:
        self.best: NDArray[np.uint8] | None = None
        self._score = (-1, 0.0)
        shown = [b for b in TRUE_COLOUR if b in plan.bands] or [plan.bands[0]]
        self._positions = [plan.bands.index(b) for b in (shown * 3)[:3]]
        self._geobox = plan.geobox

    def offer(self, pixels: Pixels) -> None:
        small = Thumbnail(self._geobox.shape)
        values = pixels.values[self._positions]
        small.take(whole(self._geobox), values)
        scale, offset = (v[self._positions][:, None, None] for v in (pixels.scale, pixels.offset))
        colours = small.values * scale + offset
        score = (round(float(pixels.data_mask.mean()) * 10), -float(np.quantile(colours[2], 0.9)))
        if score > self._score or self.best is None:
            self._score = score
            self.best = stretched(np.moveaxis(colours, 0, -1), 0.0, 0.3)
