"""Series and features of the season, each against what it replaces."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spsolve

from benchmarks import agreement, inputs, peer
from benchmarks.archive import YEAR
from benchmarks.kernels import BANDS, Row
from benchmarks.report import Table, ratios, seconds
from benchmarks.settings import Settings
from benchmarks.turns import timed
from lc_platform.config import SENTINEL2_BANDS
from lc_platform.eo import (
    composites,
    harmonics,
    indices,
    phenology,
    season_statistics,
    texture,
    whittaker,
)
from lc_platform.eo.indices import normalized_difference
from lc_platform.products.feature_families import Statistics, Texture

SMOOTHING = 100.0
PIXELS = 64
"""Along the side of what slow peers are given; the platform is given the same."""
DAYS = 365


def run(settings: Settings) -> list[Table]:
    """All on one thread: every peer takes a pixel at a time, and so threads gain alike."""
    side = min(PIXELS, settings.size)
    path = inputs.digital_numbers(settings.scenes, settings.folder, settings.size)
    numbers = np.load(path, mmap_mode="r")[:, :, :side, :side]
    bands = [SENTINEL2_BANDS.index(band) for band in BANDS]
    values = (numbers[:, bands] * inputs.SCALE).astype(np.float32)
    valid = np.ascontiguousarray(inputs.clear(settings.scenes, settings.size)[:, :side, :side])
    ndvi = normalized_difference(values[:, BANDS.index("B08")], values[:, BANDS.index("B04")])
    season = Season(settings, values, ndvi[:, None], valid)
    rows = [
        *season.whittaker(),
        season.geometric_median(),
        season.harmonics(),
        season.percentiles(),
        season.phenology(),
        season.texture(),
        season.expression(),
    ]
    return [
        Table(
            "season",
            f"Features of the season, {side} x {side} pixels, one thread",
            ("kernel", "peer", "its time", "lc_platform", "times as fast"),
            rows,
            (
                f"Medians of {settings.pairs} pairs, in brackets the least and the most of a pair. "
                "scipy's sparse solve is of each pixel's daily grid, as whittaker-eilers' is.",
                "zeit-cdts and the platform fit Beck's curve; zeit-cdts measures several more "
                "kinds of dates beside, and its seasons are its own, so that only the medians of "
                "start and end are compared.",
            ),
        )
    ]


class Season:
    """One patch's year."""

    def __init__(
        self,
        settings: Settings,
        values: NDArray[np.float32],
        ndvi: NDArray[np.float32],
        valid: NDArray[np.bool_],
    ) -> None:
        self.pairs, self.folder = settings.pairs, settings.folder
        self.values, self.ndvi, self.valid = values, ndvi, valid
        self.days = inputs.days()
        self.daily = np.arange(DAYS, dtype=np.int32)

    def _turns(
        self, theirs: Callable[[], float], ours: Callable[[], Any]
    ) -> tuple[list[float], list[float]]:
        took: tuple[list[float], list[float]] = [], []
        for _ in range(self.pairs):
            took[0].append(theirs())
            took[1].append(timed(ours)[0])
        return took

    def _row(self, name: str, other: str, took: tuple[list[float], list[float]]) -> Row:
        return name, other, *map(seconds, took), ratios(*took)

    def whittaker(self) -> list[Row]:
        """Of NDVI, on every day."""
        weights = np.zeros((DAYS, *self.valid.shape[1:]))
        data = np.zeros_like(weights)
        weights[self.days] = self.valid
        data[self.days] = np.where(self.valid, self.ndvi[:, 0], 0)
        pixels = data.reshape(DAYS, -1).T.copy()
        weigh = weights.reshape(DAYS, -1).T.copy()
        second = sparse.diags_array([1.0, -2.0, 1.0], offsets=[0, 1, 2], shape=(DAYS - 2, DAYS))
        penalty = (SMOOTHING * second.T @ second).tocsc()
        found = (
            whittaker.smooth(self.ndvi, self.valid, self.days, self.daily, SMOOTHING, threads=1)[
                :, 0
            ]
            .reshape(DAYS, -1)
            .T
        )

        def ours() -> Any:
            return whittaker.smooth(
                self.ndvi, self.valid, self.days, self.daily, SMOOTHING, threads=1
            )

        def check(name: str, expected: NDArray[Any]) -> None:
            inside = ~np.isnan(found)
            agreement.near(name, found[inside][None], expected[inside][None], 1e-5)

        def scipys() -> float:
            def solve() -> NDArray[Any]:
                return np.stack(
                    [
                        spsolve(penalty + sparse.diags_array(its, format="csc"), its * one)
                        for one, its in zip(pixels, weigh, strict=True)
                    ]
                )

            took, expected = timed(solve)
            check("whittaker by scipy", expected)
            return took

        files = [str(self.folder / f"whittaker-{n}.npy") for n in ("values", "weights", "came")]
        np.save(files[0], pixels)
        np.save(files[1], weigh)
        rows = [self._row("Whittaker, 365 days", "scipy, spsolve", self._turns(scipys, ours))]
        with peer.SEASON.worker(1, self.folder) as worker:

            def eilers() -> float:
                took: float = worker.call(
                    "whittaker",
                    values=files[0],
                    weights=files[1],
                    smoothing=SMOOTHING,
                    into=files[2],
                )
                check("whittaker-eilers", np.load(files[2]))
                return took

            rows.append(
                self._row("Whittaker, 365 days", "whittaker-eilers", self._turns(eilers, ours))
            )
        return rows

    def geometric_median(self) -> Row:
        """Of all bands and the whole year."""
        edges = np.array([0, 366], np.int32)
        points, came = self.folder / "points.npy", self.folder / "geomad.npy"
        given = np.where(self.valid[:, None], self.values, np.nan)
        np.save(points, np.ascontiguousarray(given.transpose(2, 3, 1, 0), np.float32))

        def ours() -> NDArray[np.float32]:
            return composites.compose(
                self.values, self.valid, self.days, edges, "geometric_median", threads=1
            )[0]

        found = ours()[0]
        with peer.SEASON.worker(1, self.folder) as worker:

            def theirs() -> float:
                took: float = worker.call("geometric_median", points=str(points), into=str(came))
                agreement.near("geometric median", found, np.load(came).transpose(2, 0, 1), 1e-4)
                return took

            took = self._turns(theirs, ours)
        return self._row(f"geometric median, {len(BANDS)} bands", "geomad", took)

    def harmonics(self) -> Row:
        """Least squares of each pixel, of NDVI."""
        order, values = 3, self.ndvi[:, 0].astype(np.float64)
        t = np.arange(1, order + 1)[:, None] * (2 * np.pi / harmonics.YEAR) * self.days
        waves = np.stack([np.cos(t), np.sin(t)], axis=1).reshape(-1, len(self.days))
        design = np.concatenate([np.ones((1, len(self.days))), waves]).T

        def numpys() -> NDArray[Any]:
            expected = np.empty((design.shape[1], *self.valid.shape[1:]))
            for y, x in np.ndindex(*self.valid.shape[1:]):
                seen = self.valid[:, y, x]
                expected[:, y, x] = np.linalg.lstsq(design[seen], values[seen, y, x])[0]
            return expected

        def ours() -> NDArray[np.float32]:
            return harmonics.fit(self.ndvi, self.valid, self.days, order, threads=1)

        found = ours()[:, 0]

        def theirs() -> float:
            took, expected = timed(numpys)
            agreement.near("harmonics", found, expected, 1e-4)
            return took

        return self._row(f"harmonics of order {order}", "numpy, lstsq", self._turns(theirs, ours))

    def percentiles(self) -> Row:
        """Of all bands."""
        shares = Statistics().percentiles
        given = np.where(self.valid[:, None], self.values, np.nan)

        def ours() -> NDArray[np.float32]:
            return season_statistics.compute(self.values, self.valid, self.days, shares, threads=1)

        found = ours()[: len(shares)]

        def theirs() -> float:
            took, expected = timed(lambda: np.nanpercentile(given, shares, axis=0))
            agreement.near("percentiles", found, expected, 1e-5)
            return took

        name = f"{len(shares)} percentiles and 4 measures, {len(BANDS)} bands"
        return self._row(name, "numpy, nanpercentile", self._turns(theirs, ours))

    def phenology(self) -> Row:
        """Of NDVI, by Beck's curve."""
        given, came = self.folder / "ndvi.npy", self.folder / "phenology.npy"
        # Every pixel has a season: the scenes are tiled, and have none.
        day = self.days[:, None, None, None]
        rise, fall = (1 / (1 + np.exp(-0.08 * (day - at))) for at in (120, 270))
        season = (0.2 + 0.5 * (rise - fall) + 0.1 * (self.ndvi - self.ndvi.mean())).astype(
            np.float32
        )
        # zeit-cdts finds no season where observations lack: both are given what lies between.
        for y, x in np.ndindex(*self.valid.shape[1:]):
            seen = self.valid[:, y, x]
            season[:, 0, y, x] = np.interp(self.days, self.days[seen], season[seen, 0, y, x])
        every = np.ones_like(self.valid)
        np.save(given, season[:, 0])
        dates = np.datetime64(f"{YEAR}-01-01", "D") + self.days

        def ours() -> NDArray[np.float32]:
            return phenology.measure(
                season,
                every,
                self.days,
                smoothing=SMOOTHING,
                curve="double_logistic",
                threads=1,
            )

        found = ours()[[0, 2], 0]
        with peer.ZEIT.worker(1, self.folder) as worker:

            def theirs() -> float:
                took: float = worker.call(
                    "phenology",
                    values=str(given),
                    days=dates.astype(str).tolist(),
                    smoothing=SMOOTHING,
                    into=str(came),
                )
                medians = (np.nanmedian(one, axis=(1, 2))[None] for one in (found, np.load(came)))
                agreement.near("start and end of season", *medians, within=3)
                return took

            took = self._turns(theirs, ours)
        return self._row("phenology, double logistic", "zeit-cdts", took)

    def texture(self) -> Row:
        """Of the first clear NDVI, as many pixels less the margin."""
        family = Texture()
        clearest = int(self.valid.sum(axis=(1, 2)).argmax())
        grey = texture.grey_levels(self.ndvi[clearest, 0], 0, 1, family.levels)
        given, came = self.folder / "grey.npy", self.folder / "texture.npy"
        np.save(given, np.maximum(grey, 0).astype(np.uint8))
        image = np.maximum(grey, 0)[None]

        def ours() -> NDArray[np.float32]:
            return texture.measure(image, family.levels, family.window, threads=1)

        found = ours()[:, 0]
        names = [{"angular_second_moment": "ASM"}.get(one, one) for one in texture.MEASURES]
        with peer.SEASON.worker(1, self.folder) as worker:

            def theirs() -> float:
                took: float = worker.call(
                    "texture",
                    grey=str(given),
                    levels=family.levels,
                    window=family.window,
                    measures=names,
                    into=str(came),
                )
                agreement.near("texture", found, np.load(came), 1e-4)
                return took

            took = self._turns(theirs, ours)
        name = f"texture, {len(names)} measures of {family.window} x {family.window} pixels"
        return self._row(name, "scikit-image", took)

    def expression(self) -> Row:
        """EVI of all acquisitions, in one kernel and by numpy's operators."""
        index = indices.parse("EVI", ())
        named = {band: np.ascontiguousarray(self.values[:, i]) for i, band in enumerate(BANDS)}
        blue, red, nir = (named[band] for band in ("B02", "B04", "B08"))

        def ours() -> NDArray[np.float32]:
            return indices.compute(index, named)

        found = ours()

        def theirs() -> float:
            took, expected = timed(lambda: 2.5 * (nir - red) / (nir + 6 * red - 7.5 * blue + 1))
            agreement.near("EVI", found, expected, 1e-4)
            return took

        return self._row("expression (EVI)", "numpy", self._turns(theirs, ours))
