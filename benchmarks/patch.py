"""A whole patch-year, from stored raw bands to the stored map, against eo-learn."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from benchmarks import agreement, inputs, peer, training
from benchmarks.archive import YEAR
from benchmarks.memory import gigabytes
from benchmarks.report import Table, ratios, seconds
from benchmarks.settings import Settings
from benchmarks.turns import in_turn
from benchmarks.worker import Worker

WARM = 128
"""Pixels along the side of what both are warmed up on."""
EO_LEARN = peer.EO_LEARN.name
STEPS = ("read", "clouds", "features", "prediction")


class Variant(NamedTuple):
    """One way of running the platform."""

    name: str
    resolution: float | None
    """Of the cloud detector in metres; None for the platform's default."""
    trees_alone: bool
    """Whether the model is what eo-learn has: no discriminant, no calibration, no applicability."""
    at_least: float
    """Share of pixels whose class must be eo-learn's."""


TREES, DEFAULTS = "trees alone", "defaults"
VARIANTS = (
    Variant("trees alone, clouds at 10 m", 10, True, 0.999),
    Variant(TREES, None, True, 0),
    Variant(DEFAULTS, None, False, 0),
)
MOST = 1.25
"""Times as long as trees alone that the defaults may take."""


class Partition(NamedTuple):
    """A patch as both sides have stored it."""

    eo_learn: Path
    stores: Mapping[str, Path]
    """By variant."""
    model: Path
    """LightGBM's text, which both sides read."""


class Measured(NamedTuple):
    """All rounds with one number of threads, by ``EO_LEARN`` and variant."""

    threads: int
    seconds: Mapping[str, list[float]]
    steps: Mapping[str, Mapping[str, float]]
    """Medians of seconds by step."""
    peaks: Mapping[str, int]
    """Bytes."""
    same: Mapping[str, float]
    """Share of pixels with eo-learn's class."""


def run(settings: Settings) -> list[Table]:
    """Time, its steps, and memory, for every number of threads."""
    warm, place = (_prepared(settings, size) for size in (WARM, settings.size))
    measured = [_measured(settings, threads, warm, place) for threads in settings.threads]
    return [
        _times(settings, measured), _cost(settings, measured), _steps(measured), _memory(measured),
    ]  # fmt: skip


def _prepared(settings: Settings, size: int) -> Partition:
    """Store the input in both sides' own formats, and train the model that both use."""
    folder = settings.folder / f"patch-{size}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    values = str(inputs.digital_numbers(settings.scenes, settings.folder, size))
    eo_learn, stores = folder / "eo-learn", {v.name: folder / v.name for v in VARIANTS}
    threads = max(settings.threads)
    with peer.EO_LEARN.worker(threads, folder) as worker:
        days = inputs.days().tolist()
        worker.call("save_patch", values=values, folder=str(eo_learn), days=days, year=YEAR)
    with _platform(threads, folder) as worker:
        for variant in VARIANTS:
            to = {"folder": str(stores[variant.name]), "resolution": variant.resolution}
            worker.call("store", values=values, size=size, **to)
        alone, defaults = (
            [str(stores[v.name]) for v in VARIANTS if v.trees_alone is so] for so in (True, False)
        )
        model = Path(worker.call("learn", trees_alone=alone, defaults=defaults))
    return Partition(eo_learn, stores, model)


def _platform(threads: int, folder: Path) -> Worker:
    return Worker(sys.executable, "benchmarks.platform_patch", threads, folder / "platform.log")


def _measured(settings: Settings, threads: int, warm: Partition, place: Partition) -> Measured:
    """All rounds, with a process of its own for eo-learn and for each variant."""
    names = (EO_LEARN, *(v.name for v in VARIANTS))
    maps = {name: settings.folder / f"{name}.npy" for name in names}
    answers: dict[str, list[Any]] = {}
    same: dict[str, float] = {}
    with ExitStack() as processes:
        eo_learn = processes.enter_context(peer.EO_LEARN.worker(threads, settings.folder))
        own = {v.name: _platform(threads, settings.folder / "logs" / v.name) for v in VARIANTS}
        for process in own.values():
            processes.enter_context(process)

        def hold(at: Partition) -> None:
            answers.update((name, []) for name in names)
            patch, model = str(at.eo_learn), str(at.model)
            kept = {"classes": training.CLASSES, "year": YEAR, "threads": threads}
            eo_learn.call("hold_workflow", folder=patch, model=model, **kept)

        def their_turn(_: int) -> float:
            answers[EO_LEARN].append(eo_learn.call("run_workflow", result=str(maps[EO_LEARN])))
            return float(answers[EO_LEARN][-1]["seconds"])

        def our_turn(variant: Variant, at: Partition) -> float:
            name, process = variant.name, own[variant.name]
            store = {"folder": str(at.stores[name]), "resolution": variant.resolution}
            answer = process.call("run", threads=threads, result=str(maps[name]), **store)
            answer["steps"]["read"] = process.call("read", **store)
            answers[name].append(answer)
            ours, theirs = np.load(maps[name]), np.load(maps[EO_LEARN])
            same[name] = agreement.same(f"class, {name}", ours, theirs, variant.at_least)
            return float(answer["seconds"])

        def in_turns(rounds: int, at: Partition) -> dict[str, list[float]]:
            hold(at)
            turns = {v.name: lambda _, v=v: our_turn(v, at) for v in VARIANTS}
            return in_turn(rounds, {EO_LEARN: their_turn, **turns})

        in_turns(1, warm)
        took = in_turns(settings.pairs, place)
    steps = {
        name: {step: median(a["steps"][step] for a in given) for step in STEPS}
        for name, given in answers.items()
    }
    peaks = {name: max(a["peak"] for a in given) for name, given in answers.items()}
    return Measured(threads, took, steps, peaks, same)


def _times(settings: Settings, measured: Sequence[Measured]) -> Table:
    rows: list[tuple[str, ...]] = []
    for one in measured:
        theirs = one.seconds[EO_LEARN]
        for variant in VARIANTS:
            ours = one.seconds[variant.name]
            share = f"{one.same[variant.name]:.3%}"
            rows.append(
                (
                    str(one.threads),
                    variant.name,
                    seconds(theirs),
                    seconds(ours),
                    ratios(theirs, ours),
                    share,
                )
            )
    size = settings.size
    return Table(
        "patch",
        f"A patch-year, {size} x {size} pixels x {inputs.ACQUISITIONS} acquisitions",
        ("threads", "lc_platform with", EO_LEARN, "lc_platform", "times as fast", "same class"),
        rows,
        (
            f"Medians of {settings.pairs} pairs, in brackets the least and the most of a pair. "
            f"{EO_LEARN} finds clouds at 10 m. It interpolates to float64 and the platform to "
            "float32: a feature that rounding takes across a tree's threshold takes the other "
            "branch, and some pixels another class. With the defaults a coarser cloud mask may let "
            "other observations in.",
        ),
    )


def _cost(settings: Settings, measured: Sequence[Measured]) -> Table:
    rows: list[tuple[str, ...]] = []
    for one in measured:
        trees, defaults = (one.seconds[name] for name in (TREES, DEFAULTS))
        each = [b / a for a, b in zip(trees, defaults, strict=True)]
        ratio = f"{median(each):.2f} ({min(each):.2f} to {max(each):.2f})"
        rows.append((str(one.threads), seconds(trees), seconds(defaults), ratio))
    return Table(
        "patch-cost",
        f"What a map that tells how far to trust it costs, {settings.size} x {settings.size}",
        ("threads", TREES, DEFAULTS, "times as long"),
        rows,
        (
            "The defaults add a discriminant, calibration and the area of applicability to the "
            f"trees; they are to take at most {MOST} times as long.",
        ),
    )


def _steps(measured: Sequence[Measured]) -> Table:
    rows: list[tuple[str, ...]] = [
        (str(one.threads), step, *(seconds([one.steps[name][step]]) for name in one.steps))
        for one in measured
        for step in STEPS
    ]
    names = tuple(measured[0].steps)
    return Table(
        "patch-steps",
        "The steps of a patch-year",
        ("threads", "step", *names),
        rows,
        (
            "Reading is a step of its own in eo-learn; the platform reads in each step what it "
            "needs, and its first line is everything stored read once, by itself.",
        ),
    )


def _memory(measured: Sequence[Measured]) -> Table:
    rows: list[tuple[str, ...]] = [
        (str(one.threads), *map(gigabytes, one.peaks.values())) for one in measured
    ]
    return Table(
        "patch-memory",
        "Memory that a process holds at most",
        ("threads", *measured[0].peaks),
        rows,
        ("Of a process that ran the patch once a pair, and a small one before.",),
    )
