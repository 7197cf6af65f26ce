"""The last lines of a run: where the maps are, how right they are, and beside what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lc_platform.artefacts.formats import formats
from lc_platform.artefacts.layout import key
from lc_platform.cli.map_files import map_files
from lc_platform.products.evaluation import Evaluation
from lc_platform_tests.judged_maps import CLASSES, YEAR, JudgedMap, map_of_three


def told(
    folder: Path, blocks: int = 60, right: float = 0.5, high: float = 0.6, **sections: Any
) -> list[str]:
    """The lines of a map, by which 4, 3 and 3 pixels are judged, 5 of them rightly."""
    of = JudgedMap(folder, **sections)
    of.write(map_of_three())
    metrics = {
        "classes": [{"id": one["id"], "name": one["name"]} for one in CLASSES],
        "overall_accuracy": right,
        "confusion_matrix": [[2, 0, 2], [0, 2, 1], [2, 0, 1]],
        "intervals": {"overall_accuracy": [0.4, high], "blocks": blocks},
    }
    formats()["evaluation"].write(
        of.platform.store, key("evaluation", year=YEAR), Evaluation(metrics)
    )
    return list(map_files(of.config))


def test_accuracy_stands_beside_that_of_the_most_frequent_class(tmp_path: Path) -> None:
    lines = told(tmp_path)
    at = next(i for i, line in enumerate(lines) if line.startswith("Accuracy:      0.500 (0.400 "))
    assert "(0.400 to 0.600) of the reference's pixels" in lines[at]
    assert lines[at + 1] == "Guessing:      0.400 would be right if all of it were forest"


@pytest.mark.parametrize(
    ("right", "high", "words"), [(0.4, 0.6, "no more often"), (0.2, 0.39, "less often")]
)
def test_a_map_that_is_no_better_than_guessing_is_said_to_be_so(
    tmp_path: Path, right: float, high: float, words: str
) -> None:
    (line,) = [one for one in told(tmp_path, right=right, high=high) if "Guessing:" in one]
    assert line.endswith(f"if all of it were forest: the map is right {words}")


def test_an_interval_from_few_blocks_says_from_how_few(tmp_path: Path) -> None:
    (line,) = [one for one in told(tmp_path, blocks=4) if one.startswith("Accuracy:")]
    assert "(0.400 to 0.600, from 4 blocks only)" in line


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({}, "for a demonstration"),
        ({"reference": {"path": "parcels.gpkg", "attribute": "kind", "classes": CLASSES}},
         "of which the reference knows nothing"),
    ],
)  # fmt: skip
def test_simulated_imagery_is_named_once_at_the_end(
    tmp_path: Path, sections: dict[str, Any], words: str
) -> None:
    lines = told(tmp_path, **sections)
    assert [line for line in lines if "is simulated:" in line] == lines[-1:]
    assert lines[-1].startswith("Beware:        The imagery is simulated: an invented landscape")
    assert words in lines[-1]
