"""``python -m benchmarks.interruptions``: `run` stopped at random moments, and what it leaves.

Each run begins in a folder of its own, alternately with one and two workers, at a terminal and with
its words in a pipe, and is stopped by Ctrl+C once, by Ctrl+C twice, or by SIGTERM at a moment that
the seed draws from the time that an undisturbed one takes. Then the same command goes on to its
end, and every artefact is compared with the undisturbed one's, to the pixel. By default the
configuration is the demo's; ``--small`` takes patches of 32 x 32 pixels.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from benchmarks import report
from lc_platform import config as configuration
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import EVERY_ASSET, dimensions, key
from lc_platform.commands import demo
from lc_platform.storage.errors import StorageError
from lc_platform_tests.production import artefacts
from lc_platform_tests.production.areas import Area
from lc_platform_tests.production.artefacts import Digests
from lc_platform_tests.sites import half_written
from lc_platform_tests.terminal import CTRL_C, Started, started

KINDS = ("Ctrl+C", "Ctrl+C twice", "SIGTERM")
AFTER_THE_FIRST = 30.0
AFTER_THE_SECOND = 5.0
"""Seconds in which a process must be gone."""
_TRACEBACK = "Traceback"
_BETWEEN = 0.5
"""Seconds between the first Ctrl+C and the second."""
_PATIENCE = 1800.0
_SMALL = Area(columns=3, rows=2, years=(2023,), chunk=2)


@dataclass(frozen=True)
class Stop:
    """How one run was stopped, and what became of it."""

    kind: str
    workers: int
    terminal: bool
    moment: float
    """Seconds after it began."""
    gone: float
    """Seconds after the last signal."""
    status: int
    traceback: Sequence[str]
    """Its lines."""
    left: Sequence[str]
    """Processes."""
    half_written: Sequence[str]
    resumed: int
    """The exit status of the next run."""
    differs: Sequence[str]
    """Artefacts that are not the undisturbed run's."""

    @property
    def problems(self) -> list[str]:
        wanted = 143 if self.kind == "SIGTERM" else 130
        allowed = AFTER_THE_SECOND if self.kind == "Ctrl+C twice" else AFTER_THE_FIRST
        # One that had ended when the signal came has nothing to be told.
        ended_before = self.status == 0
        return [
            words
            for words, holds in (
                (f"status {self.status}", self.status == wanted or ended_before),
                (f"gone after {self.gone:.1f} s", self.gone <= allowed),
                ("a traceback", not self.traceback),
                (f"{len(self.left)} processes left", not self.left),
                (f"{len(self.half_written)} half-written", not self.half_written),
                (f"the next run ended with {self.resumed}", self.resumed == 0),
                (f"{len(self.differs)} artefacts differ", not self.differs),
            )
            if not holds
        ]


def _as_in_a_shell(status: int) -> int:
    """Return what a shell has in ``$?``: the same where a signal meets Python's own end, when all
    is done and no handler is left."""
    return 128 - status if status < 0 else status


def main() -> int:
    arguments = _arguments()
    with TemporaryDirectory(prefix="lc-platform-interruptions-") as temporary:
        folder = Path(temporary)
        origin = _prepared(folder / "origin", arguments.small)
        seconds = {}
        expected: Digests = {}
        for workers in (1, 2):
            place = _copied(origin, folder / f"undisturbed-{workers}")
            began = time.monotonic()
            status = _run_to_end(place, workers)
            seconds[workers] = time.monotonic() - began
            assert status == 0, f"an undisturbed run ended with {status}"
            expected = artefacts.digests(configuration.load(place / configuration.FILE_NAME))
            print(f"undisturbed, {workers} workers: {seconds[workers]:.0f} s", flush=True)
        draw = random.Random(arguments.seed)
        stops: list[Stop] = []
        for number in range(arguments.runs):
            kind, workers = KINDS[number % len(KINDS)], 1 + number // len(KINDS) % 2
            place = _copied(origin, folder / "stopped")
            moment = draw.uniform(0.0, seconds[workers])
            stop = _stopped(place, kind, workers, draw.random() < 0.5, moment, expected)
            stops.append(stop)
            print(f"{number + 1:3} {'  '.join(_row(stop))}", flush=True)
            for one in (*stop.traceback, *stop.left, *stop.half_written, *stop.differs):
                print(f"      {one}", flush=True)
    print()
    print(report.markdown(table(stops, arguments.seed)))
    return 0 if all(not stop.problems for stop in stops) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.interruptions", description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="that are stopped (20)")
    parser.add_argument("--seed", type=int, default=7, help="of the moments (7)")
    parser.add_argument("--small", action="store_true", help="patches of 32 x 32 pixels")
    return parser.parse_args()


def _prepared(folder: Path, small: bool) -> Path:
    """A folder with a configuration and its reference."""
    if small:
        folder.mkdir(parents=True)
        file = folder / configuration.FILE_NAME
        file.write_text(yaml.safe_dump(_SMALL.settings(storage="./data")))
    else:
        demo.prepare(folder)
    return folder


def _copied(origin: Path, folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(origin, folder)
    return folder


def _begun(folder: Path, workers: int, terminal: bool) -> AbstractContextManager[Started]:
    command = ("run", "-c", folder / configuration.FILE_NAME, "--workers", str(workers))
    return started(*command, terminal=terminal, folder=folder)


def _run_to_end(folder: Path, workers: int) -> int:
    with _begun(folder, workers, terminal=False) as one:
        return one.ended(_PATIENCE)


def _stopped(
    folder: Path, kind: str, workers: int, terminal: bool, moment: float, expected: Digests
) -> Stop:
    with _begun(folder, workers, terminal) as one:
        time.sleep(moment)
        which = signal.SIGTERM if kind == "SIGTERM" else CTRL_C
        last = time.monotonic()
        one.signalled(which)
        if kind == "Ctrl+C twice":
            time.sleep(_BETWEEN)
            last = time.monotonic()
            one.signalled(which)
        status = _as_in_a_shell(one.ended(_PATIENCE))
        gone = time.monotonic() - last
        left, words = one.left(), one.words
    config = configuration.load(folder / configuration.FILE_NAME)
    damaged = half_written(folder / "data") if kind != "Ctrl+C twice" else []
    damaged += _unreadable(config)
    resumed = _run_to_end(folder, workers)
    found = artefacts.digests(config)
    differs = [
        f"{asset} {place}: {found.get((asset, place))}"
        for (asset, place), digest in expected.items()
        if found.get((asset, place)) != digest
    ]
    differs += half_written(folder / "data")
    traceback = words[words.index(_TRACEBACK) :].splitlines() if _TRACEBACK in words else []
    return Stop(
        kind, workers, terminal, moment, gone, status, traceback, left, damaged, resumed, differs
    )


def _unreadable(config: configuration.Config) -> list[str]:
    """What can be seen of the store, and cannot be read to its end."""
    platform = artefacts.opened(config)
    readers = formats()
    found = []
    if not platform.store.exists(key("patch_grid")):
        return []
    patches = [patch.key for patch in platform.grid().patches]
    for asset in EVERY_ASSET:
        for year in platform.versions.years_of(asset, config.years):
            for patch in patches if "patch" in dimensions(asset) else [None]:
                target = key(asset, patch, year)
                if platform.store.exists(target):
                    try:
                        readers[asset].check(platform.store, target)
                    except StorageError as error:
                        found.append(str(error))
    return found


def _row(stop: Stop) -> tuple[str, ...]:
    return (
        stop.kind,
        f"{stop.workers}",
        "terminal" if stop.terminal else "pipe",
        f"{stop.moment:.1f} s",
        f"{stop.gone:.1f} s",
        f"{stop.status}",
        f"{len(stop.left)}",
        f"{len(stop.half_written)}",
        "equal" if stop.resumed == 0 and not stop.differs else "DIFFERS",
        "; ".join(stop.problems) or "none",
    )


def table(stops: Sequence[Stop], seed: int) -> report.Table:
    """A row a run."""
    columns = (
        "stopped by",
        "workers",
        "at",
        "after",
        "gone after",
        "status",
        "processes left",
        "half-written",
        "next run's result",
        "problems",
    )
    return report.Table(
        "interruptions", f"Runs stopped, seed {seed}", columns, [_row(stop) for stop in stops]
    )


if __name__ == "__main__":
    sys.exit(main())
