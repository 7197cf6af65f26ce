"""Labels that are wrong on a tenth of the polygons: how many are found, how many of those that are
accused are wrong, and what the map is worth without them, against the simulated truth."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.report import Table
from benchmarks.settings import Settings
from lc_platform import assets, config
from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import key
from lc_platform.commands import run as running
from lc_platform.platform import Platform
from lc_platform.sources.reference_map import open_reference
from lc_platform.sources.simulated import SimulatedArchive

YEAR = 2023
COLUMNS, ROWS, METRES = 6, 4, 640
MISLABELLED = 0.1
MADE = (
    "patch_grid", "reference_rasters", "raw_bands", "cloud_masks", "features", "training_samples",
    "model", "held_out_predictions",
)  # fmt: skip
VARIANTS = {
    "no mistakes": (0.0, "keep"),
    "a tenth wrong, kept": (MISLABELLED, "keep"),
    "a tenth wrong, left out": (MISLABELLED, "leave_out"),
}


def configured(settings: Settings, seed: int, mislabelled: float, treatment: str) -> config.Config:
    """24 patches of the simulated archive, with no other mistake than wrong labels."""
    west, south = 14.5, 46.05
    mistakes = {"mislabelled": mislabelled, "shifted": 0, "overlapping": 0, "missing": 0}
    return config.parse(
        {
            "name": "wrong-labels",
            "storage": f"./wrong_labels_{seed}",
            "years": [YEAR],
            "aoi": {
                "bbox": [west, south, west + 0.04, south + 0.02],
                "crs": "EPSG:32633",
                "split": [COLUMNS, ROWS],
            },
            "imagery": {
                "source": "simulated",
                "max_cloud_cover": 30,
                "simulation": {"seed": seed, "mistakes": mistakes},
            },
            "clouds": {"resolution": 80},
            "features": {"interval": 32},
            "sampling": {"pixels_per_patch": 2500},
            "validation": {"wrong_labels": treatment},
            "reference": {},
        },
        settings.folder,
    )


def run(settings: Settings) -> list[Table]:
    rows: list[tuple[str, ...]] = []
    for seed in (1, 2):
        for name, (mislabelled, treatment) in VARIANTS.items():
            chosen = configured(settings, seed, mislabelled, treatment)
            report = running.run(chosen, _unseen, select=MADE)
            if not report.succeeded:
                raise RuntimeError(f"{name}: {report.failures}")
            platform = Platform(chosen, [asset.recipe for asset in assets.ALL])
            found, precision, recall = _found(platform, configured(settings, seed, 0.0, "keep"))
            rows.append(
                (
                    str(seed),
                    name,
                    str(found),
                    "-" if not mislabelled else f"{100 * precision:.0f} %",
                    "-" if not mislabelled else f"{100 * recall:.0f} %",
                    f"{100 * _accuracy(platform, SimulatedArchive(seed)):.2f} %",
                )
            )
    return [
        Table(
            "wrong_labels",
            "Wrong labels, found and left out",
            ("seed", "reference", "accused", "precision", "found", "accuracy against the truth"),
            rows,
            (
                f"{COLUMNS * ROWS} simulated patches, ten classes; wrong labels are those of "
                "classes that look alike. Found: share of the wrong labels among the polygons that "
                "have samples. The accuracy is of pixels with a reference, each predicted by a "
                "classifier of other ground.",
            ),
        )
    ]


def _unseen(stage: str, total: int, outcomes: Any) -> Iterator[Any]:  # noqa: ARG001
    yield from outcomes


def _found(platform: Platform, clean: config.Config) -> tuple[int, float, float]:
    """Return how many polygons are accused, the share of them that is wrong, and the share of the
    wrong ones that is found."""
    of = formats()
    wrong = of["model"].open(platform.store, key("model", year=YEAR)).wrong_labels
    right = open_reference(Platform(clean).reference_options(), Platform(clean).source)
    true: dict[int, int] = {}
    labels: dict[int, int] = {}
    for patch in platform.grid().patches:
        burnt = right.burnt(patch.geobox)
        true |= _by_polygon(burnt.polygons, burnt.classes)
        samples = of["training_samples"].open(
            platform.store, key("training_samples", patch.key, YEAR)
        )
        labels |= _by_polygon(samples.polygons, samples.classes)
    mistaken = {one for one, label in labels.items() if one in true and true[one] != label}
    accused = set(wrong.polygons.tolist())
    hits = len(accused & mistaken)
    return len(accused), hits / max(len(accused), 1), hits / max(len(mistaken), 1)


def _by_polygon(polygons: NDArray[np.uint32], classes: NDArray[np.uint8]) -> dict[int, int]:
    ids, first = np.unique(polygons, return_index=True)
    found = dict(zip(ids.tolist(), classes.ravel()[first].tolist(), strict=True))
    return {one: label for one, label in found.items() if one}


def _accuracy(platform: Platform, archive: SimulatedArchive) -> float:
    right = seen = 0
    for patch in platform.grid().patches:
        of = formats()["held_out_predictions"].open(
            platform.store, key("held_out_predictions", patch.key, YEAR)
        )
        classes, truth = of.classes(), archive.truth(patch.geobox)
        judged = (classes > 0) & (truth > 0)
        right += int((classes == truth)[judged].sum())
        seen += int(judged.sum())
    return right / seen
