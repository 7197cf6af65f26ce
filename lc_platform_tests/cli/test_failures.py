"""Failures that are alike are listed once."""

from __future__ import annotations

from lc_platform.artefacts.layout import Partition
from lc_platform.cli.failures import grouped

PATCHES = [f"33N-r0940{i:02d}-c012900" for i in range(8)]


def test_failures_that_differ_by_the_patch_alone_are_one_with_a_count_and_a_sample() -> None:
    (one,) = grouped(
        (
            "raw_bands",
            Partition(patch, 2021),
            f"patch {patch}, 2021: no acquisition. The patch lies at 45.{i}N 14.{i}E",
        )
        for i, patch in enumerate(PATCHES)
    )
    sample = ", ".join(f"{patch} 2021" for patch in PATCHES[:5])
    assert str(one) == f"raw_bands, 8 partitions: {sample} and 3 more"
    assert one.reason.startswith(f"patch {PATCHES[0]}, 2021: no acquisition")


def test_failures_of_other_files_bands_or_statuses_stay_apart() -> None:
    whys = ["a/B04.tif is cut", "a/B08.tif is cut", "HTTP 404", "HTTP 503", "HTTP 503"]
    found = grouped(
        ("raw_bands", Partition(patch, 2021), f"{patch}: {why}")
        for patch, why in zip(PATCHES, whys, strict=False)
    )
    assert [len(one.partitions) for one in found] == [1, 1, 1, 2]


def test_a_patch_whose_key_begins_another_s_is_not_taken_for_it() -> None:
    found = grouped(
        ("features", Partition(patch), f"{patch}: depends on p10") for patch in ("p1", "p10")
    )
    assert len(found) == 2


def test_the_same_failure_of_two_assets_is_two() -> None:
    where = Partition(PATCHES[0], 2021)
    found = grouped([("raw_bands", where, "the budget is spent"), ("mosaic", where, "the budget "
                   "is spent")])  # fmt: skip
    assert [str(one) for one in found] == [
        f"raw_bands {PATCHES[0]} 2021",
        f"mosaic {PATCHES[0]} 2021",
    ]
