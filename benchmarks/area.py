"""Whole areas through `lc_platform.commands.run`: time a pixel, memory, workers, orchestration."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import mosaic, storage
from benchmarks.memory import Alone, alone, gigabytes
from benchmarks.prepared import Prepared, check, prepare, trained, unseen
from benchmarks.report import Table, ratios, seconds
from benchmarks.settings import Settings
from benchmarks.turns import in_turn
from lc_platform.commands import run as running
from lc_platform.config import load
from lc_platform.products.model import LandCoverModel

ASSETS = ("cloud_masks", "observation_stats", "features", "training_samples", "predictions")
"""All that is computed from a patch's raw bands."""
_ACQUISITIONS = 70
_FEW = 4
_PATCHES_OF_WORKERS = 8
_STORED = 0.75
"""Bytes that a stored byte of raw bands or features takes at most."""


def run(settings: Settings) -> list[Table]:
    """Scaling with patches and with their size, memory, workers and orchestration; the mosaic, and
    what is stored."""
    sizes = (500, 1000, 2500, 5000) if settings.full else (settings.size // 2, settings.size)
    counts = (1, 2, 4, 8, 16, 24) if settings.full else (1, 2, 4)
    return [*measure(settings, sizes, counts), *mosaic.run(settings), *storage.run(settings)]


def measure(settings: Settings, sizes: Sequence[int], counts: Sequence[int]) -> list[Table]:
    """The tables for patches of these sizes, and these numbers of patches of the given size."""
    with _folder(settings.folder / "trained") as folder:
        warm, model = trained(folder, settings.data)
        bench = _Bench(settings, warm, model)
        with bench.area("patches", settings.size, max(counts)) as area:
            number, orchestration = bench.by_number(area, counts)
            workers = bench.by_workers(area)
        return [number, workers, orchestration, bench.by_size(sizes)]


class _Bench:
    def __init__(self, settings: Settings, warm: Prepared, model: LandCoverModel) -> None:
        self.settings = settings
        self.warm = warm
        self.model = model

    @contextmanager
    def area(self, name: str, size: int, patches: int, **how: Any) -> Iterator[Prepared]:
        """An area with raw bands and model; it is removed afterwards."""
        with _folder(self.settings.folder / name) as folder:
            yield prepare(
                folder, self.settings.data, size=size, patches=patches, model=self.model, **how
            )

    def run(
        self,
        area: Prepared,
        patches: int,
        assets: Sequence[str] = ASSETS,
        workers: int = 1,
        threads: int = 0,
        cores: int = 0,
    ) -> Alone:
        return alone(
            "benchmarks.area:timed_run",
            threads,
            cores,
            file=str(area.file),
            patches=area.patches[:patches],
            warm=str(self.warm.file),
            warm_patch=self.warm.patches[0],
            assets=list(assets),
            workers=workers,
        )

    def by_number(self, area: Prepared, counts: Sequence[int]) -> tuple[Table, Table]:
        """Time a pixel by the number of patches; and of the same runs, what is orchestration."""
        pixels = self.settings.size**2
        rows: list[tuple[str, ...]] = []
        orchestration: list[tuple[str, ...]] = []
        for count in counts:
            found = self.run(area, count)
            took = found.result
            rows.append(
                (
                    str(count),
                    seconds([took["seconds"]]),
                    f"{took['seconds'] / (count * pixels) * 1e6:.2f} µs",
                    gigabytes(found.peak),
                )
            )
            share = took["orchestration"] / took["tasks"]
            orchestration.append(
                (
                    str(count),
                    f"{took['orchestration'] / count:.2f} s",
                    f"{share:.1%}",
                    f"{took['orchestration'] / took['assets']:.2f} s",
                )
            )
        size = self.settings.size
        shown = f"patches of {size} x {size} pixels x {_ACQUISITIONS} acquisitions"
        return (
            Table(
                "patches",
                f"From raw bands to prediction, {shown}, one worker",
                ("patches", "time", "a pixel", "memory at most"),
                rows,
            ),
            Table(
                "orchestration",
                f"What orchestration takes, {shown}, one worker",
                ("patches", "a patch", "of the patch's time", "an asset"),
                orchestration,
            ),
        )

    def by_workers(self, area: Prepared) -> Table:
        """Two workers against one that has one thread, in turn; and against one that has one core,
        so that what reads ahead for it has no other."""
        patches = min(len(area.patches), _PATCHES_OF_WORKERS)
        ways: dict[str, dict[str, int]] = {
            "one worker, one core": {"threads": 1, "cores": 1},
            "one worker, one thread": {"threads": 1},
            "two workers": {"workers": 2},
        }
        tasks: dict[str, list[float]] = {name: [] for name in ways}

        def turn(name: str) -> float:
            took = self.run(area, patches, **ways[name]).result  # type: ignore[arg-type]
            tasks[name].append(took["tasks"] / ways[name].get("workers", 1))
            return float(took["seconds"])

        turns = {name: lambda _, name=name: turn(name) for name in ways}
        times = in_turn(self.settings.pairs, turns)
        *ones, two = ways
        size = self.settings.size
        return Table(
            "workers",
            f"Two workers, {patches} patches of {size} x {size} pixels x {_ACQUISITIONS} "
            "acquisitions",
            ("what", "against", "one", "two workers", "times as fast"),
            [
                (what, one, seconds(took[one]), seconds(took[two]), ratios(took[one], took[two]))
                for what, took in (
                    ("the whole run", times),
                    ("its tasks, shared evenly", tasks),
                )
                for one in ones
            ],
            (
                "The whole run begins with the start of the workers' processes. One worker with "
                "one thread reads and writes in the background, on the other core.",
            ),
        )

    def by_size(self, sizes: Sequence[int]) -> Table:
        """Time a pixel and memory by a patch's size, all 13 bands stored at 10 m."""
        rows: list[tuple[str, ...]] = []
        notes = [
            "One worker, all 13 bands stored at 10 m. Clouds at 10 m are found one acquisition "
            f"after the other, so that {_FEW} acquisitions take the memory of {_ACQUISITIONS}."
        ]
        for size in sizes:
            needed = _STORED * size**2 * (_ACQUISITIONS * 13 * 2 + 207 * 4)
            if needed > shutil.disk_usage(self.settings.folder).free:
                notes.append(
                    f"{size} x {size} needs up to {gigabytes(needed)} of disk, and there is less."
                )
                continue
            with self.area(f"size-{size}", size, 1, every_band=True) as area:
                rows.append(self._sized(area, size, 80, _ACQUISITIONS, ASSETS))
            for acquisitions in (_FEW, _ACQUISITIONS) if size <= 1000 else (_FEW,):
                with self.area(
                    f"size-{size}", size, 1, every_band=True, clouds=10, acquisitions=acquisitions
                ) as area:
                    rows.append(self._sized(area, size, 10, acquisitions, ("cloud_masks",)))
        return Table(
            "sizes",
            "Patches of several sizes",
            ("patch", "acquisitions", "clouds at", "assets", "time", "a pixel", "memory at most"),
            rows,
            tuple(notes),
        )

    def _sized(
        self, area: Prepared, size: int, clouds: int, acquisitions: int, assets: Sequence[str]
    ) -> tuple[str, ...]:
        found = self.run(area, 1, assets)
        took = found.result["seconds"]
        return (
            f"{size} x {size}",
            str(acquisitions),
            f"{clouds} m",
            "all" if assets == ASSETS else ", ".join(assets),
            seconds([took]),
            f"{took / size**2 * 1e6:.2f} µs",
            gigabytes(found.peak),
        )


def timed_run(
    file: str, patches: list[str], warm: str, warm_patch: str, assets: list[str], workers: int
) -> dict[str, float]:
    """Run assets of patches after the same of a small area, whose time does not count.

    Returns ``seconds`` of the whole run; ``tasks``, those of its tasks added up, and of them
    ``orchestration``, that are not the platform's own work; ``assets``, how many were made.
    """
    check(running.run(load(warm), unseen, patches=[warm_patch], select=assets))
    report = running.run(load(file), unseen, patches=patches, select=assets, workers=workers)
    check(report)
    return {
        "seconds": report.seconds,
        "tasks": sum(o.seconds for o in report.outcomes),
        "orchestration": sum(o.seconds - o.work_seconds for o in report.outcomes),
        "assets": sum(len(o.task.assets) * len(o.task.partitions) for o in report.outcomes),
    }


@contextmanager
def _folder(path: Path) -> Iterator[Path]:
    path.mkdir(parents=True)
    try:
        yield path
    finally:
        shutil.rmtree(path)
