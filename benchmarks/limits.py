"""Each step of a patch-year against what the machine can do at best."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, cast

import lightgbm
import numpy as np
from numpy.typing import NDArray
from s2cloudless.cloud_detector import S2PixelCloudDetector

from benchmarks import inputs, machine_limits, training
from benchmarks.archive import YEAR
from benchmarks.report import Table
from benchmarks.settings import Settings
from lc_platform.config import SENTINEL2_BANDS
from lc_platform.cube import MAIN, Block, Layer, LazyCube, Summary, windows
from lc_platform.eo import classifier as classify
from lc_platform.eo import clouds
from lc_platform.eo.timeseries import regularize, target_days
from lc_platform.storage import zarr_cube
from lc_platform.storage.store import Store

_LARGEST = 512
"""Pixels along the side of what the steps are timed on."""
_INTERVAL = 16
_FEATURES = 9
_SAMPLES = 2000
"""Pixels whose way through the trees is counted."""
_WINDOW = 256
_DIMS = ("time", "band")
_RAW = Layer(_DIMS, "uint16", chunks=(1, len(SENTINEL2_BANDS)))
_FEATURES_STORED = Layer(
    _DIMS, "float32", chunks=(len(target_days(YEAR, _INTERVAL)), _FEATURES), tile=_WINDOW
)
"""As the platform stores them."""


@dataclass(frozen=True)
class _Limits:
    """Rates of one machine, by threads where they depend on them."""

    copying: dict[int, float]
    adding: dict[int, float]
    looking_up: dict[int, float]
    cores: int


@dataclass(frozen=True)
class _Step:
    name: str
    threads: int
    floor: float
    """Seconds a pixel."""
    bound: str
    """What gives the floor."""
    measured: float
    """Seconds a pixel."""

    def row(self) -> tuple[str, ...]:
        return (
            self.name,
            str(self.threads),
            self.bound,
            f"{self.floor * 1e6:.3g} µs",
            f"{self.measured * 1e6:.3g} µs",
            f"{self.measured / self.floor:.1f}",
        )


def run(settings: Settings) -> list[Table]:
    """What memory, processor and disk can do, and how far each step is from that."""
    folder = settings.folder / "limits"
    folder.mkdir()
    try:
        return _Bench(settings, folder).tables()
    finally:
        shutil.rmtree(folder)


class _Bench:
    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings = settings
        self.store = Store(str(folder))
        self.folder = folder
        self.size = min(settings.size, _LARGEST)
        self.pixels = self.size**2
        cores = os.cpu_count() or 1
        wanted = sorted({*settings.threads, cores})
        self.limits = _Limits(
            {n: machine_limits.copying(n) for n in wanted},
            {n: machine_limits.adding(n) for n in wanted},
            {n: machine_limits.looking_up(n) for n in wanted},
            cores,
        )

    def tables(self) -> list[Table]:
        disk = machine_limits.disk(self.folder)
        raw, features = self._raw_bands(), self._features()
        coded = {
            "raw bands (uint16)": machine_limits.coding(raw[0, 3, :_WINDOW, :_WINDOW]),
            "features (float32)": machine_limits.coding(features[11, 3, :_WINDOW, :_WINDOW]),
        }
        rows = self._machine(disk, coded)
        steps = [
            *self._store("raw bands", raw, _RAW, coded["raw bands (uint16)"], disk),
            *self._clouds(raw),
            *self._interpolation(),
            *self._classification(features),
            *self._store("features", features, _FEATURES_STORED, coded["features (float32)"], disk),
        ]
        return [
            Table(
                "machine-limits",
                "What the machine can do",
                ("what", "threads", "rate"),
                rows,
                ("The fastest of several repetitions. The disk is the one that the store lies on; "
                 "a virtual machine's host may keep what it reads in its own memory.",),
            ),
            Table(
                "limits",
                f"Steps of a patch-year of {len(raw)} acquisitions against the machine's limits, "
                f"{self.size} x {self.size} pixels",
                ("step", "threads", "limit", "a pixel at the limit", "a pixel, measured",
                 "times the limit"),
                [step.row() for step in steps],
                ("Trees: an addition is a leaf that a pixel's score sums up. A look-up is a step "
                 "from a node to its child where each pixel walks alone, as often as these pixels' "
                 "paths are long; the platform walks pixels that look alike together and may need "
                 "fewer, so that this is a yardstick and no limit. Memory counts what must be read "
                 "and written once, at the rate of copying; coding, what all cores compress and "
                 "decompress of these very bytes.",),
            ),
        ]  # fmt: skip

    def _machine(
        self, disk: machine_limits.Disk, coded: dict[str, tuple[float, float]]
    ) -> list[tuple[str, ...]]:
        rows = []
        for threads in self.settings.threads:
            rows += [
                ("memory, copying", str(threads), _rate(self.limits.copying[threads])),
                ("memory, reading", str(threads), _rate(machine_limits.reading(threads))),
                ("bytes compared", str(threads), _rate(machine_limits.comparing(threads))),
                ("additions of float64", str(threads),
                 f"{self.limits.adding[threads] / 1e9:.3g} billion/s"),
                ("look-ups in a tree", str(threads),
                 f"{self.limits.looking_up[threads] / 1e9:.3g} billion/s"),
            ]  # fmt: skip
        for what, (encode, decode) in coded.items():
            rows += [
                (f"compressing {what}", "1", _rate(encode)),
                (f"decompressing {what}", "1", _rate(decode)),
            ]
        return [
            *rows,
            ("disk, writing until it is there", "1", _rate(disk.write)),
            ("disk, reading what is not in memory", "1", _rate(disk.read)),
            ("disk, reading what is", "1", _rate(disk.read_again)),
        ]

    def _raw_bands(self) -> NDArray[np.uint16]:
        """(time, band, y, x), digital numbers."""
        path = inputs.digital_numbers(self.settings.scenes, self.folder, self.size)
        values: NDArray[np.uint16] = np.load(path)
        return values

    def _observed(self) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int32]]:
        """Reflectance of as many bands as there are features, where it is valid, and the days."""
        raw = np.load(self.folder / f"digital_numbers-{self.size}.npy", mmap_mode="r")
        values = raw[:, :_FEATURES].astype(np.float32) * np.float32(inputs.SCALE)
        return values, inputs.clear(self.settings.scenes, self.size), inputs.days()

    def _features(self) -> NDArray[np.float32]:
        values, valid, days = self._observed()
        return regularize(values, valid, days, target_days(YEAR, _INTERVAL))

    def _interpolation(self) -> Iterator[_Step]:
        values, valid, days = self._observed()
        targets = target_days(YEAR, _INTERVAL)
        moved = values[:, :, 0, 0].nbytes + valid[:, 0, 0].nbytes + len(targets) * _FEATURES * 4
        for threads in self.settings.threads:
            took = self._timed(
                lambda n=threads: regularize(values, valid, days, targets, threads=n)  # type: ignore[misc]
            )
            floor = moved / self.limits.copying[threads]
            yield _Step("interpolation", threads, floor, f"memory, {moved} bytes", took)

    def _clouds(self, raw: NDArray[np.uint16]) -> Iterator[_Step]:
        """Of a whole year, from one acquisition."""
        bands = [SENTINEL2_BANDS.index(band) for band in clouds.DETECTOR_BANDS]
        seen = raw[:1, bands].astype(np.float32) * np.float32(inputs.SCALE)
        booster = cast(lightgbm.Booster, S2PixelCloudDetector().classifier.classifier)
        ways = _path(booster, seen[0].reshape(len(bands), -1).T)
        for threads in self.settings.threads:
            took = self._timed(
                lambda n=threads: clouds.s2cloudless_probability(seen, threads=n)  # type: ignore[misc]
            )
            yield from self._forest("clouds at 10 m", booster, ways, threads, took, len(raw))

    def _classification(self, features: NDArray[np.float32]) -> Iterator[_Step]:
        pixels = features.reshape(-1, self.pixels).T
        names = [f"feature_{i}" for i in range(pixels.shape[1])]
        samples = np.ascontiguousarray(pixels[training.pick(self.pixels)])
        classifier = training.train(samples, names)
        ways = _path(classifier.booster, pixels)
        for threads in self.settings.threads:
            took = self._timed(
                lambda n=threads: classify.probabilities(classifier, pixels, threads=n)  # type: ignore[misc]
            )
            yield from self._forest("classification", classifier.booster, ways, threads, took, 1)

    def _forest(
        self,
        name: str,
        booster: lightgbm.Booster,
        ways: float,
        threads: int,
        took: float,
        times: int,
    ) -> Iterator[_Step]:
        """A forest that a pixel goes through several times, against the sums of its leaves and
        against the ways to them."""
        added = times * booster.num_trees()
        floor = added / self.limits.adding[threads]
        yield _Step(name, threads, floor, f"{added:,} additions", took * times)
        floor = times * ways / self.limits.looking_up[threads]
        yield _Step(name, threads, floor, f"{times * ways:,.0f} look-ups", took * times)

    def _store(
        self,
        what: str,
        values: NDArray[Any],
        layer: Layer,
        rates: tuple[float, float],
        disk: machine_limits.Disk,
    ) -> Iterator[_Step]:
        """Writing an array and reading it back, which the store does on all cores."""
        cores = self.limits.cores
        key = f"{what.replace(' ', '_')}.zarr"
        stored = 0

        def write() -> None:
            nonlocal stored
            stored = zarr_cube.write(self.store, key, self._cube(values, layer))

        def read() -> None:
            cube = zarr_cube.ZarrCube(self.store, key)
            for window in windows((self.size, self.size), _WINDOW):
                cube.read("values", window)

        for verb, work, coding, rate in (
            ("writing", write, rates[0], disk.write),
            ("reading", read, rates[1], disk.read_again),
        ):
            took = self._timed(work)
            by_core = values.nbytes / self.pixels / (coding * cores)
            by_disk = stored / self.pixels / rate
            bound = ("coding", by_core) if by_core > by_disk else ("disk", by_disk)
            yield _Step(f"{verb} {what}", cores, bound[1], bound[0], took)

    def _cube(self, values: NDArray[Any], layer: Layer) -> LazyCube:
        """A cube that is there already, given block by block as it is stored."""
        grid = inputs.geobox(self.size)
        together = layer.chunks[0]

        def blocks(_: Summary) -> Iterator[Block]:
            for window in windows((self.size, self.size), layer.tile):
                for start in range(0, len(values), together):
                    times = slice(start, start + together)
                    yield Block(
                        "values", (times, slice(None)), window, values[(times, ..., *window)]
                    )

        labels = {"time": np.arange(len(values)), "band": np.arange(values.shape[1])}
        return LazyCube({MAIN: grid}, {"values": layer}, blocks, labels)

    def _timed(self, work: Callable[[], object]) -> float:
        """Seconds a pixel: the median, after once that does not count."""
        work()
        times = []
        for _ in range(self.settings.pairs):
            started = time.perf_counter()
            work()
            times.append(time.perf_counter() - started)
        return median(times) / self.pixels


def _path(booster: lightgbm.Booster, pixels: NDArray[np.floating[Any]]) -> float:
    """Nodes that a pixel passes in all trees together, in the mean of some pixels."""
    chosen = np.random.default_rng(42).choice(len(pixels), min(_SAMPLES, len(pixels)), False)
    leaves = np.asarray(booster.predict(pixels[np.sort(chosen)], pred_leaf=True))
    table = booster.trees_to_dataframe()
    table = table[table["left_child"].isna()]
    names = table["node_index"].str.extract(r"^(\d+)-L(\d+)$").astype(int)
    depth = np.zeros((names[0].max() + 1, names[1].max() + 1))
    depth[names[0], names[1]] = table["node_depth"] - 1
    return float(depth[np.arange(leaves.shape[1]), leaves.astype(int)].sum(axis=1).mean())


def _rate(bytes_a_second: float) -> str:
    return f"{bytes_a_second / 1e9:.3g} GB/s"
