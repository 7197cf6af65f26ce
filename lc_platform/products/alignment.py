"""Whether the imagery of a patch's year lies where it should: its bands on one another, its
acquisitions on one another, all of it on the borders of the reference."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.catalogue import SENTINEL2_RESOLUTIONS
from lc_platform.cube import Summary, Window
from lc_platform.eo import shift
from lc_platform.eo.shift import Shift
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.options import AlignmentOptions
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.products.reference_rasters import ReferenceMap

LIMIT = 0.5
"""Pixels beyond which imagery is said not to lie where it should."""
_SURE = 3.0
"""Standard errors that a shift must lie beyond the limit: there are many comparisons."""
_SIDE = 256
"""Pixels of the window that is looked at."""
_CANDIDATES = 4
"""Windows in each direction among which the one with the most borders is chosen."""
_ACQUISITIONS = 8
"""The clearest ones, which are compared with one another and with the reference."""
_OF_BANDS = 2
"""Acquisitions of which the bands are compared."""
_LEAST_VALID = 0.25
"""Share of the window that an acquisition must show."""
_COARSEST = 20.0
"""Metres of the coarsest bands that are compared: those of 60 m show the air."""

Kind = Literal["band", "acquisition", "reference"]


@dataclass(frozen=True)
class Comparison:
    """How far one thing lies from another."""

    comparison: Kind
    what: str
    """A band, an acquisition's key, or ``imagery``."""
    against: str
    """Other bands, ``other acquisitions``, or ``reference``."""
    acquisition: str | None
    """Whose bands are compared."""
    dy_pixels: float
    """Down, which is south; NaN where nothing can be said."""
    dx_pixels: float
    """To the right, which is east; NaN likewise."""
    dy_metres: float
    """To the south."""
    dx_metres: float
    """To the east."""
    uncertainty_pixels: float
    """Standard error of the worse of the two; infinite where nothing can be said."""
    blocks: int
    """How many were compared."""
    beyond_half_a_pixel: bool
    """For certain: by more than three standard errors."""

    @property
    def distance(self) -> float:
        """Pixels."""
        return float(np.hypot(self.dy_pixels, self.dx_pixels))

    @property
    def known(self) -> bool:
        """Whether anything can be said."""
        return bool(np.isfinite(self.dy_pixels))

    @property
    def words(self) -> str:
        """How far it lies from where it should, and in which direction."""
        north, east = -self.dy_metres, self.dx_metres
        parts = [
            f"{abs(metres):.1f} m {to if metres > 0 else back}"
            for metres, to, back in ((north, "north", "south"), (east, "east", "west"))
            if abs(metres) >= 0.05
        ]
        told = f"{self.distance:.1f} pixels"
        if not np.isfinite(self.uncertainty_pixels):
            return f"{told} ({' and '.join(parts)})"
        return f"{told} +- {self.uncertainty_pixels:.1f} ({' and '.join(parts)})"


@dataclass(frozen=True)
class Alignment:
    """What was compared of a patch's year."""

    patch: str
    year: int
    comparisons: Sequence[Comparison]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row a comparison."""
        return [asdict(one) for one in self.comparisons]

    @cached_property
    def problems(self) -> Mapping[str, str]:
        """What lies beyond half a pixel for certain, by kind, and what to do."""
        found = {}
        for kind, say in _WORDS.items():
            beyond = [o for o in self.comparisons if o.comparison == kind and o.beyond_half_a_pixel]
            if beyond:
                found[f"alignment_{kind}"] = say(beyond)
        return found

    @property
    def summary(self) -> Summary:
        """What the page of its partition shows."""
        facts: dict[str, Any] = {"comparisons": len(self.comparisons)}
        for kind in _WORDS:
            of = [one for one in self.comparisons if one.comparison == kind and one.known]
            if of:
                facts[f"{kind}_shift_pixels"] = max(one.distance for one in of)
        for one in self.comparisons:
            if one.comparison == "reference":
                facts["reference"] = one.words if one.known else "nothing can be said"
        return Summary(facts, dict(self.problems))


def compare(
    raw_bands: AcquisitionStack,
    cloud_masks: CloudMasks,
    reference: ReferenceMap,
    options: AlignmentOptions,
) -> Alignment:
    """Return how far bands, acquisitions and the reference of a patch's year lie from one another.

    One window of the patch is looked at, the one with the most borders of the reference, in the
    clearest acquisitions: each of the bands of 20 m or less against the finest bands of the same
    acquisition, each acquisition against the mean of the others, all of them against the borders
    of the classes. What cannot be compared (a patch without a clear acquisition or a reference, a
    window without edges, a reference of other ground) has no row, or one that says nothing.

    Raises DataError where the masks are not those of these acquisitions, or a band is missing.
    """
    cloud_masks.check_made_of(raw_bands)
    geobox = raw_bands.geobox
    window, borders = _window(geobox, reference)
    finest, others = _bands(options.bands)
    chosen = _clearest(cloud_masks, window)
    images = {at: _image(raw_bands, cloud_masks, window, at, finest) for at in chosen}
    found: list[Comparison] = []
    for at in chosen[:_OF_BANDS]:
        found += _band_shifts(raw_bands, cloud_masks, window, at, images[at], finest, others)
    edges = {at: shift.edges(image) for at, image in images.items()}
    apart = [*_acquisition_shifts(raw_bands, edges)]
    found += apart
    if options.against_reference and borders is not None and edges:
        found.append(_reference_shift(borders, edges, apart, geobox))
    return Alignment(raw_bands.patch, raw_bands.year, found)


def _window(geobox: GeoBox, reference: ReferenceMap) -> tuple[Window, NDArray[np.float32] | None]:
    """Return the window to look at and the borders of classes in it; None where there are none."""
    best: tuple[float, Window, NDArray[np.float32] | None] | None = None
    for window in _candidates(geobox):
        edges = shift.class_edges(reference.classes(window))
        much = float(np.nansum(edges))
        if best is None or much > best[0]:
            best = much, window, edges if much else None
    assert best is not None
    return best[1], best[2]


def _candidates(geobox: GeoBox) -> Iterator[Window]:
    """Yield windows spread over a grid, the middle one first where none is better."""
    sides = []
    for length in geobox.shape:
        size = min(_SIDE, length)
        count = min(_CANDIDATES, -(-length // size))
        starts = np.linspace(0, length - size, count).round().astype(int)
        middle = sorted(starts, key=lambda start: (abs(start - (length - size) / 2), start))
        sides.append([slice(int(start), int(start) + size) for start in middle])
    return ((rows, columns) for rows in sides[0] for columns in sides[1])


def _bands(bands: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the finest bands, and the others of 20 m or less; of unknown ones, all alike."""
    of = {band: SENTINEL2_RESOLUTIONS.get(band, 0.0) for band in bands}
    fine = min(of.values())
    finest = [band for band, metres in of.items() if metres == fine]
    return finest, [band for band, metres in of.items() if fine < metres <= _COARSEST]


def _clearest(cloud_masks: CloudMasks, window: Window) -> list[int]:
    """Return the positions of the acquisitions that show most of the window, in order of that."""
    order = np.argsort(-cloud_masks.valid_fraction, kind="stable")[: 2 * _ACQUISITIONS]
    shares = {int(at): float(cloud_masks.valid(window, [int(at)]).mean()) for at in order}
    clear = [at for at, share in shares.items() if share >= _LEAST_VALID]
    return sorted(clear, key=lambda at: (-shares[at], at))[:_ACQUISITIONS]


def _image(
    raw_bands: AcquisitionStack,
    cloud_masks: CloudMasks,
    window: Window,
    at: int,
    bands: Sequence[str],
) -> NDArray[np.float32]:
    """Return (band, y, x), NaN under clouds and without data."""
    values = raw_bands.reflectance(window, [at], bands)[0]
    return np.where(cloud_masks.valid(window, [at]), values, np.float32(np.nan))


def _band_shifts(
    raw_bands: AcquisitionStack,
    cloud_masks: CloudMasks,
    window: Window,
    at: int,
    image: NDArray[np.float32],
    finest: Sequence[str],
    others: Sequence[str],
) -> Iterator[Comparison]:
    """Yield where each band lies against the finest ones of the same acquisition."""
    fine = [shift.edges(band[None]) for band in image]
    key = raw_bands.keys[at]
    for position, band in enumerate(finest):
        rest = [b for b in finest if b != band]
        if rest:
            mean = _mean([edges for i, edges in enumerate(fine) if i != position])
            found = shift.between(mean, fine[position])
            yield _told("band", band, ", ".join(rest), key, found, raw_bands.geobox)
    for band in others:
        edges = shift.edges(_image(raw_bands, cloud_masks, window, at, [band]))
        found = shift.between(_mean(fine), edges)
        yield _told("band", band, ", ".join(finest), key, found, raw_bands.geobox)


def _acquisition_shifts(
    raw_bands: AcquisitionStack, edges: Mapping[int, NDArray[np.float32]]
) -> Iterator[Comparison]:
    """Yield where each acquisition lies against the mean of the others."""
    for at in sorted(edges):
        others = [one for other, one in edges.items() if other != at]
        if others:
            found = shift.between(_mean(others), edges[at])
            key = raw_bands.keys[at]
            yield _told("acquisition", key, "other acquisitions", None, found, raw_bands.geobox)


def _reference_shift(
    borders: NDArray[np.float32],
    edges: Mapping[int, NDArray[np.float32]],
    apart: Sequence[Comparison],
    geobox: GeoBox,
) -> Comparison:
    """Return where the imagery lies against the reference. Acquisitions that lie apart make it
    less certain."""
    found = shift.between(borders, _mean([*edges.values()]))
    known = np.array([(one.dy_pixels, one.dx_pixels) for one in apart if one.known])
    if len(known) > 1:
        scatter = float((known.std(axis=0, ddof=1) / np.sqrt(len(known))).max())
        found = found._replace(uncertainty=float(np.hypot(found.uncertainty, scatter)))
    return _told("reference", "imagery", "reference", None, found, geobox)


def _mean(edges: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the mean of edges (y, x), NaN where none is known."""
    total = np.zeros(edges[0].shape, np.float32)
    count = np.zeros(edges[0].shape, np.float32)
    for one in edges:
        known = ~np.isnan(one)
        total[known] += one[known]
        count += known
    return np.where(count > 0, total / np.maximum(count, 1), np.float32(np.nan))


def _told(
    kind: Kind, what: str, against: str, acquisition: str | None, found: Shift, geobox: GeoBox
) -> Comparison:
    metres = abs(float(geobox.affine.a))
    return Comparison(
        kind,
        what,
        against,
        acquisition,
        found.rows,
        found.columns,
        found.rows * metres,
        found.columns * metres,
        found.uncertainty,
        found.blocks,
        bool(found.distance - _SURE * found.uncertainty > LIMIT),
    )


def _of_bands(beyond: Sequence[Comparison]) -> str:
    first, names = beyond[0], list(dict.fromkeys(one.what for one in beyond))
    return (
        f"band {', '.join(names)}: beyond half a pixel from the other bands of an acquisition, "
        f"{first.what} of {first.acquisition} by {first.words}. Look whether the archive's files "
        "of these bands have the right corner and pixel size, and whether they were resampled"
    )


def _of_acquisitions(beyond: Sequence[Comparison]) -> str:
    first = max(beyond, key=lambda one: one.distance)
    keys = ", ".join(one.what for one in beyond)
    return (
        f"acquisition {first.what}: lies {first.words} from where the others lie. Where the map is "
        f"blurred, leave such acquisitions out by imagery.exclude: [{keys}]"
    )


def _of_reference(beyond: Sequence[Comparison]) -> str:
    return (
        f"the imagery lies {beyond[0].words} from the borders of the reference. Look at both in a "
        "map: check the CRS and the corner of the images and of the reference (a raster's may be "
        "given by the pixel's centre), and correct the one that is wrong"
    )


_WORDS = {"band": _of_bands, "acquisition": _of_acquisitions, "reference": _of_reference}
