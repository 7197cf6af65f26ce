"""The summary of a run, as a sentence."""

from __future__ import annotations

import pytest

from lc_platform.artefacts.layout import Partition
from lc_platform.cli.run_summary import summary
from lc_platform.commands.run import Outcome, Report, Task


@pytest.mark.parametrize(
    ("patches", "years", "words"),
    [
        (1, (2021,), "0.50 s of that for each patch (1 patch)."),
        (4, (2021,), "0.50 s of that for each patch (4 patches)."),
        (2, (2021, 2022), "0.50 s of that for each patch in each year (4 of these)."),
    ],
)
def test_orchestration_is_told_for_each_patch_and_how_many_there_are(
    patches: int, years: tuple[int, ...], words: str
) -> None:
    # Each takes 3 s, of which 2.5 s are the platform's own work.
    outcomes = [
        Outcome(
            Task("features", ("features",), (Partition(f"p{patch}", year),)),
            3.0,
            2.5,
            made=frozenset({("features", f"p{patch} {year}")}),
        )
        for patch in range(patches)
        for year in years
    ]
    made = patches * len(years)
    told = summary(Report(outcomes, seconds=12.0))
    assert told == f"{made} artefacts made, in 12 s, 0 failed. Dagster itself took {words}"
