"""Whether the intervals hold: how often those of many samples cover the truth, of points for areas
and of blocks of ground for the scores of a classifier."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import Table
from benchmarks.settings import Settings
from lc_platform.eo import accuracy, area_estimation, bootstrap, sample_design

DRAWS = 200
POINTS = 800
NAMES = {1: "forest", 2: "grassland", 4: "cropland", 5: "built-up", 9: "water"}
SHARES = (0.45, 0.28, 0.20, 0.05, 0.02)


@dataclass(frozen=True)
class Ground:
    """A truth, a map of it with mistakes, and an earlier map of a ground that has changed since;
    class ids (y, x) each."""

    truth: NDArray[np.uint8]
    map: NDArray[np.uint8]
    earlier: NDArray[np.uint8]


def ground(side: int = 600, seed: int = 1) -> Ground:
    """Fields of some 12 x 12 pixels; a tenth of the map's pixels is wrong, a quarter of the
    earlier map's."""
    rng = np.random.default_rng(seed)
    ids = np.array(list(NAMES), np.uint8)
    fields = ids[rng.choice(len(ids), (side // 12, side // 12), p=SHARES)]
    truth = np.kron(fields, np.ones((12, 12), np.uint8))

    def mistaken(share: float) -> NDArray[np.uint8]:
        other = ids[rng.choice(len(ids), truth.shape, p=SHARES)]
        return np.where(rng.random(truth.shape) < share, other, truth)

    return Ground(truth, mistaken(0.14), mistaken(0.35))


@dataclass(frozen=True)
class Coverage:
    """Of how many samples the 95 % interval holds what it is to hold."""

    area: dict[str, int]
    """By class."""
    users_accuracy: dict[str, int]
    producers_accuracy: dict[str, int]
    overall_accuracy: int


def coverage(
    ground: Ground, strata: NDArray[np.uint8], draws: int = DRAWS, points: int = POINTS
) -> Coverage:
    """Draw samples, each with another seed.

    strata  (y, x), the stratum of every pixel
    """
    ids = tuple(NAMES)
    flat, truth, mapped = (one.ravel() for one in (strata, ground.truth, ground.map))
    where = {int(one): np.flatnonzero(flat == one) for one in np.unique(flat)}
    pixels = {one: len(places) for one, places in where.items()}
    allocation = sample_design.allocate(points, pixels, "mixed", minimum=75)
    right = truth == mapped
    true = {
        "area": np.array([(truth == one).sum() for one in ids]),
        "users_accuracy": np.array([right[mapped == one].mean() for one in ids]),
        "producers_accuracy": np.array([right[truth == one].mean() for one in ids]),
        "overall_accuracy": right.mean(),
    }
    held = {name: np.zeros(np.shape(value), np.int64) for name, value in true.items()}
    for draw in range(draws):
        rng = np.random.default_rng((draw, 7))
        chosen = np.concatenate(
            [rng.choice(where[one], count, replace=False) for one, count in allocation.items()]
        )
        counts = area_estimation.count_points(
            chosen, flat[chosen], mapped[chosen], truth[chosen], pixels=pixels, class_ids=ids
        )
        found = area_estimation.estimate(counts, float(truth.size))
        for name, value in true.items():
            estimated = getattr(found, name)
            held[name] += (estimated.low <= value) & (value <= estimated.high)
    by_class = {
        name: dict(zip(NAMES.values(), held[name].tolist(), strict=True))
        for name in ("area", "users_accuracy", "producers_accuracy")
    }
    return Coverage(**by_class, overall_accuracy=int(held["overall_accuracy"]))


def blocks_of_ground(count: int = 4000, seed: int = 1) -> NDArray[np.int64]:
    """All ground in blocks: (block, reference class, predicted class), pixels. Blocks differ in
    what grows there, how well each class is told, and what it is taken for."""
    rng = np.random.default_rng(seed)
    classes = len(NAMES)
    grows = rng.dirichlet(0.6 * np.array([4, 3, 2, 1, 0.5]), count)
    support = rng.multinomial(rng.integers(50, 256, count), grows)
    right = rng.beta(9, 2, (count, classes, 1))
    taken_for = rng.dirichlet(np.full(classes, 0.7), count)[:, np.newaxis] + 1e-9
    wrong = np.where(np.eye(classes, dtype=np.bool_), 0, taken_for)
    wrong *= (1 - right) / wrong.sum(axis=-1, keepdims=True)
    return rng.multinomial(support, wrong + np.eye(classes) * right)


def score_coverage(ground: NDArray[np.int64], blocks: int, samples: int) -> dict[str, int]:
    """Of how many samples of blocks the bootstrap's 95 % intervals hold the scores of all ground,
    by score, and for F1 by class."""
    true = accuracy.scores(ground.sum(axis=0))
    held: dict[str, int] = {}
    for sample in range(samples):
        rng = np.random.default_rng((sample, 3))
        chosen = ground[rng.choice(len(ground), blocks, replace=False)]
        found = bootstrap.score_intervals(chosen, seed=sample, draws=1000)
        for score in ("overall_accuracy", "balanced_accuracy", "f1_weighted", "f1_macro", "f1"):
            value, low, high = (getattr(one, score) for one in (true, found.low, found.high))
            names = [f"F1 of {name}" for name in NAMES.values()] if score == "f1" else [score]
            for name, covered in zip(
                names, np.atleast_1d((low <= value) & (value <= high)), strict=True
            ):
                held[name] = held.get(name, 0) + int(covered)
    return held


def run(_: Settings) -> list[Table]:
    """All tables."""
    return [_areas(), _scores()]


def _scores() -> Table:
    ground, sizes = blocks_of_ground(), (bootstrap.FEWEST_BLOCKS, 30, 60, 120)
    held = [score_coverage(ground, blocks, DRAWS) for blocks in sizes]
    return Table(
        "score-intervals",
        f"How often the bootstrap's 95 % intervals hold, of {DRAWS} samples of blocks",
        ("score", *(f"{blocks} blocks" for blocks in sizes)),
        [
            (name.replace("_", " "), *(f"{one[name] / DRAWS:.1%}" for one in held))
            for name in held[0]
        ],
    )


def _areas() -> Table:
    """Areas and accuracies, for strata that are the map's classes and strata that are not."""
    scene = ground()
    cases = {"the map's classes": scene.map, "an earlier map's classes": scene.earlier}
    rows: list[tuple[str, ...]] = []
    for what, strata in cases.items():
        held = coverage(scene, strata)
        rows += [
            (
                what,
                name,
                f"{(scene.truth == class_id).mean():.1%}",
                *(
                    str(one[name])
                    for one in (held.area, held.users_accuracy, held.producers_accuracy)
                ),
            )
            for class_id, name in NAMES.items()
        ]
        rows.append((what, "overall accuracy", "", str(held.overall_accuracy), "", ""))
    return Table(
        "intervals",
        f"How often 95 % intervals hold, of {DRAWS} samples of {POINTS} points",
        ("strata", "class", "of the ground", "area", "user's accuracy", "producer's accuracy"),
        rows,
        ("An interval that holds with 95 % holds in 185 to 195 of 200, nine times of ten.",),
    )
