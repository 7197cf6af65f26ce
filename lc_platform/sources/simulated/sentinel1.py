"""Sentinel-1 over the simulated planet: ground range detected, radiometrically terrain-corrected,
as Sentinel Hub gives it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numba import njit
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.sources.protocol import Acquisition, Pixels
from lc_platform.sources.simulated import backscatter
from lc_platform.sources.simulated.archive import (
    SimulatedArchive,
    covered,
    sampled,
)
from lc_platform.sources.simulated.granules import Granule
from lc_platform.sources.simulated.noise import draw, gradient_noise, mix, salt
from lc_platform.sources.simulated.orbits import SENTINEL1, Pass

SCALE = 1e-4
"""Backscatter (gamma nought, linear power) = digital number * SCALE."""

_MOISTURE_WIDTH = 30e3
_MOISTURE = 1.5
"""Decibels that a wet soil is brighter, and a dry one darker."""


@njit(cache=True, nogil=True)
def _render(  # type: ignore[no-untyped-def]
    x, y, code, other, shift, blend, bright, pixel, seen, season, soil, wet, noise, band_keys, out
):
    rows, columns = x.shape
    for a in range(rows):
        for b in range(columns):
            if not seen[a, b]:
                for k in range(band_keys.size):
                    out[k, a, b] = 0
                continue
            c, o, s = code[a, b], other[a, b], shift[a, b]
            south = 1 if y[a, b] < 0.0 else 0
            moisture = gradient_noise(x[a, b] / _MOISTURE_WIDTH, y[a, b] / _MOISTURE_WIDTH, wet)
            change = 10.0 * (bright[a, b] - 1.0) + _MOISTURE * soil[c] * moisture
            for k in range(band_keys.size):
                decibels = season[south, c, s, k]
                decibels += blend[a, b] * (season[south, o, s, k] - decibels) + change
                # Speckle of four looks: the mean of four exponential numbers.
                h = mix(np.uint64(pixel[a, b]) ^ noise ^ band_keys[k])
                looks = 0.0
                for n in range(4):
                    u = (h >> np.uint64(16 * n)) & np.uint64(0xFFFF)
                    looks -= np.log((u + 0.5) / 65536.0)
                power = 10.0 ** (0.1 * decibels) * looks / 4.0
                number = np.floor(power / SCALE + 0.5)
                out[k, a, b] = np.uint16(min(max(number, 1.0), 65535.0))


class SimulatedSentinel1(SimulatedArchive):
    """Sentinel-1 GRD (IW, VV and VH) of a simulated planet; the parameters are its. Slopes neither
    brighten nor hide the ground, clouds do not show, and nothing is frozen."""

    mission = SENTINEL1
    bands = backscatter.POLARIZATIONS

    def _acquisition(
        self, flown: Pass, imaged: Mapping[Granule, bool], *, whole: bool = True
    ) -> Acquisition:
        return replace(
            super()._acquisition(flown, imaged, whole=whole),
            cloud_cover=None,
            sun=None,
            of_granules=None,
            properties={
                "sat:relative_orbit": str(flown.orbit),
                "sat:orbit_state": flown.direction,
            },
        )

    def _read(
        self, acquisition: Acquisition, geobox: GeoBox, bands: Sequence[str], split: int
    ) -> Pixels:
        self._check(acquisition, bands)
        flown = self._pass(acquisition)
        values, data_mask = sampled(
            geobox, len(bands), split, lambda block: self._backscatter(flown, block, tuple(bands))
        )
        return Pixels(
            values, data_mask, scale=np.full(len(bands), SCALE), offset=np.zeros(len(bands))
        )

    def _backscatter(
        self, flown: Pass, block: GeoBox, bands: tuple[str, ...]
    ) -> tuple[NDArray[np.bool_], NDArray[np.uint16]]:
        ground = self._landscape.ground(block, flown.time.year)
        seen = covered(flown, ground)
        day = flown.time.date()
        out = np.zeros((len(bands), *block.shape), np.uint16)
        if seen.any():
            pass_salt = salt(
                self.seed, 6, day.toordinal(), flown.orbit, flown.direction == "descending"
            )
            _render(
                ground.x, ground.y, ground.code, ground.other, ground.shift, ground.blend,
                ground.bright, ground.pixel, seen,
                backscatter.season(self._weather(day).days, bands, float(draw(pass_salt, 1))),
                backscatter.SOIL, np.uint64(salt(self.seed, 7, day.toordinal())), pass_salt,
                np.array([salt(8, self.bands.index(band)) for band in bands], np.uint64),
                out,
            )  # fmt: skip
        return seen, out
