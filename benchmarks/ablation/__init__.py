"""What each choice brings and takes: one change of the defaults at a time, validated by blocks of
ground, on the simulated archive and on real sites.

Everything is made by `lc_platform.commands.compare`, so that what two variants share is made once,
and what a kept folder (``--folder``) has is not made again: an interrupted run goes on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.ablation.measured import Measured, Trial
from benchmarks.ablation.sites import sites
from benchmarks.ablation.variants import CLASSIFIERS, FLANDERS, GROUPS, VARIANTS, Variant
from benchmarks.report import Table
from benchmarks.settings import Settings

_COLUMNS = (
    "variant", "weighted F1", "more than by default (95 %)", "macro F1: more (95 %)", "",
    "patch-year", "training",
)  # fmt: skip
TOGETHER = 3
"""Variants of a group that are made before their table is written."""


def run(settings: Settings) -> Iterator[Table]:
    """Yield the table of a site and group whenever some more of its variants are made."""
    folder = settings.folder / "ablation"
    trials = {
        name: Trial(made(), folder / name) for name, made in sites(settings.data, folder).items()
    }
    with TemporaryDirectory(dir=settings.folder) as compiled:
        # What is compiled at its first use is no part of the defaults' seconds.
        Trial(trials[FLANDERS].site, Path(compiled)).measured(
            [one for one in VARIANTS if one.group == CLASSIFIERS and not one.needs]
        )
    found: dict[tuple[str, str], list[tuple[str, ...]]] = {}
    for start in range(0, len(VARIANTS), TOGETHER):
        for name, trial in trials.items():
            for group, title in GROUPS.items():
                of = [one for one in VARIANTS if one.group == group and name in one.sites]
                if not (chosen := of[start : start + TOGETHER]):
                    continue
                rows = found.setdefault((name, group), [])
                rows += _rows(trial, chosen)
                default = trial.default
                first = ("the defaults", *_scores(default), "", "", "", *_seconds(default))
                yield Table(
                    f"ablation-{name}-{group}",
                    f"{trial.site.title}: {title}",
                    _COLUMNS,
                    [first, *rows],
                    (_note(trial),),
                )


def _rows(trial: Trial, variants: Sequence[Variant]) -> Iterator[tuple[str, ...]]:
    there = [one for one in variants if not one.needs or find_spec(one.needs) is not None]
    found = trial.measured(there)
    for one in variants:
        yield one.name, *(_row(found[one.key], trial.default) if one in there else _absent(one))


def _absent(variant: Variant) -> tuple[str, ...]:
    return (f"needs {variant.needs} (the extra networks), which is not installed", *5 * ("",))


def _row(found: Measured | str, default: Measured) -> tuple[str, ...]:
    if isinstance(found, str):
        return (f"not made: {found}", *5 * ("",))
    weighted, macro = found.difference("f1_weighted"), found.difference("f1_macro")
    return (
        *_scores(found),
        _interval(*weighted),
        _interval(*macro),
        _verdict(*weighted),
        _times(found.patch_seconds, default.patch_seconds),
        _times(found.training_seconds, default.training_seconds),
    )


def _scores(found: Measured) -> tuple[str]:
    return (f"{found.score('f1_weighted'):.4f}",)


def _seconds(found: Measured) -> tuple[str, str]:
    return tuple(  # type: ignore[return-value]
        "" if one is None else f"{one:.2f} s"
        for one in (found.patch_seconds, found.training_seconds)
    )


def _interval(value: float, low: float, high: float) -> str:
    return f"{value:+.4f} ({low:+.4f} to {high:+.4f})"


def _verdict(_value: float, low: float, high: float) -> str:
    if low > 0:
        return "better"
    return "worse" if high < 0 else "same"


def _times(own: float | None, default: float | None) -> str:
    return "" if own is None or not default else f"{own / default:.2f}"


def _note(trial: Trial) -> str:
    seeds = len(trial.site.seeds)
    draws = "" if seeds == 1 else f", {seeds} draws of samples and folds together"
    return (
        f"{trial.pixels:,} pixels on {trial.blocks} blocks of ground, each predicted by "
        f"classifiers of other blocks{draws}, against {trial.site.judged_by}. Intervals are of the "
        "paired difference, by a bootstrap over blocks; better, worse or the same is said of the "
        "weighted F1. A patch-year is the processor's seconds of masks, features and map of a "
        "patch, and training those of all folds' classifiers and the map's: of the defaults, then "
        "times as many."
    )
