"""What the UI shows of artefacts that a run finds as they should be: what it showed before."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from lc_platform.artefacts.layout import ASSETS, RECORDS
from lc_platform.assets.partitions import PATCH
from lc_platform.commands.metrics import EventLog
from lc_platform_tests.graphs import Platform, configured, why

pytestmark = [pytest.mark.slow, pytest.mark.proof]

Shown = Mapping[tuple[str, str | None], Mapping[str, Any]]
NEW = {"unchanged", "made_at"}
"""What is told of an unchanged artefact alone."""


def settings(folder: Path) -> Any:
    return configured(folder, columns=2, rows=1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Platform:
    """The whole graph on two patches, and the run that finds all of it current."""
    platform = Platform(settings(tmp_path_factory.mktemp("unchanged")))
    for once in ("first", "second"):
        done = platform.all_jobs()
        assert all(r.success for runs in done.values() for r in runs), once
        setattr(platform, once, shown(platform))
    return platform


def shown(platform: Platform) -> Shown:
    """The metadata of the last event of each partition."""
    found: dict[tuple[str, str | None], Mapping[str, Any]] = {}
    for asset in ASSETS:
        events = platform.instance.fetch_materializations(dg.AssetKey(asset), limit=99).records
        for event in reversed(events):
            assert event.asset_materialization is not None
            metadata = event.asset_materialization.metadata
            found[asset, event.partition_key] = {n: v.value for n, v in metadata.items()}
    return found


@pytest.fixture
def copied(made: Platform, tmp_path: Path) -> Platform:
    """The same store in a folder of its own, and a Dagster that knows nothing of it."""
    shutil.copytree(made.config.storage_url, tmp_path / "data", symlinks=True)
    platform = Platform(settings(tmp_path))
    platform.instance.add_dynamic_partitions(PATCH, made.patches)
    return platform


def as_of_an_earlier_release(platform: Platform) -> None:
    """Take from the records what they have kept since."""
    count = 0
    for file in (Path(platform.config.storage_url) / RECORDS).rglob("*.json"):
        record = json.loads(file.read_text())
        count += record.pop("shown", None) is not None
        file.write_text(json.dumps(record))
    assert count


def test_a_run_that_changes_nothing_shows_again_what_was_shown(made: Platform) -> None:
    first: Shown = made.first  # type: ignore[attr-defined]
    second: Shown = made.second  # type: ignore[attr-defined]
    assert set(second) == set(first)
    assert {asset for asset, _ in second} == set(ASSETS)
    for which, metadata in second.items():
        assert metadata["unchanged"] is True, which
        assert {n: v for n, v in metadata.items() if n not in NEW} == first[which], which
    pictured = {asset for (asset, _), metadata in second.items() if "preview" in metadata}
    # Where no objects are given there are none, and a list of files has no picture.
    assert pictured == set(ASSETS) - {"objects", "catalog"}


def test_the_page_of_a_partition_shows_percentages_and_its_hashes_last(made: Platform) -> None:
    shares = {
        "raw_bands": {"valid_percent"},
        "cloud_masks": {"valid_percent", "cloud_percent"},
        "observation_stats": {
            "valid_percent",
            "pixels_never_seen_percent",
            "pixels_without_data_percent",
        },
        "reference_rasters": {"labelled_percent"},
        "features": {"valid_percent"},
        "predictions": {"valid_percent"},
    }
    for once in (made.first, made.second):  # type: ignore[attr-defined]
        for (asset, _), metadata in once.items():
            names = [*metadata]
            of_model = asset in (
                *("model", "evaluation", "mosaic"),
                *("predictions", "held_out_predictions"),
            )
            hashes = ["model_version", "version"] if of_model else ["version"]
            assert names[-len(hashes) :] == hashes, asset
            percent = {name for name in names if name.endswith("_percent")}
            assert percent == shares.get(asset, set()), asset
            assert all(0 <= metadata[name] <= 100 for name in percent), asset
            assert max((metadata[name] for name in percent), default=100) > 1, asset


def test_another_dagster_is_told_the_same(made: Platform, copied: Platform) -> None:
    """The records know it: they lie in the store."""
    for job in ("grid", "reference", "patch_year"):
        of = {"grid": [], "reference": copied.patches, "patch_year": copied.patch_years}[job]
        result = copied.launch(job, of)
        assert result.success, why(result)
    first: Shown = made.first  # type: ignore[attr-defined]
    for which, metadata in shown(copied).items():
        told = {n: v for n, v in metadata.items() if n not in NEW | {"path"}}
        assert told == {n: v for n, v in first[which].items() if n != "path"}, which


def test_what_is_unchanged_is_not_opened(copied: Platform) -> None:
    manager = copied.definitions.resources["io_manager"]  # type: ignore[index]

    class Closed:
        def open(self, *_: Any) -> Any:
            raise AssertionError

    manager.formats["reference_rasters"] = Closed()
    result = copied.launch("reference", copied.patches)
    assert result.success, why(result)
    for (asset, _), metadata in shown(copied).items():
        assert metadata["preview"].startswith("![") or asset != "reference_rasters"


def test_records_of_an_earlier_release_are_filled_from_dagsters_last_event(
    made: Platform, copied: Platform
) -> None:
    as_of_an_earlier_release(copied)
    first: Shown = made.first  # type: ignore[attr-defined]
    keys = {asset: key for asset, key in first if asset in ("patch_grid", "raw_bands")}
    for asset, key in first:
        if asset in keys:
            # As that release told it when it was made, and when it found it unchanged.
            for metadata in (
                {**first[asset, key], "requests_this_month": 7},
                {"version": "a", "unchanged": True, "path": "b"},
            ):
                copied.instance.report_runless_asset_event(
                    dg.AssetMaterialization(asset, partition=key, metadata=metadata)
                )
    for job, of in (("grid", []), ("patch_year", copied.patch_years)):
        copied.launch(job, of, ["patch_grid"] if job == "grid" else ["raw_bands"])
    for (asset, key), metadata in shown(copied).items():
        told = {n: v for n, v in metadata.items() if n not in NEW | {"path"}}
        assert told == {n: v for n, v in first[asset, key].items() if n != "path"}
        assert metadata["unchanged"] is True


def test_where_nobody_remembers_the_artefact_tells_what_it_can(
    made: Platform, copied: Platform
) -> None:
    as_of_an_earlier_release(copied)
    copied.launch("grid")
    result = copied.launch("patch_year", copied.patch_years[:1])
    assert result.success, why(result)
    first: Shown = made.first  # type: ignore[attr-defined]
    for which, metadata in shown(copied).items():
        for name in ("bytes", "seconds", "rows"):
            assert metadata.get(name) == first[which].get(name), which
    (samples,) = (m for (asset, _), m in shown(copied).items() if asset == "training_samples")
    assert samples["preview"].startswith("![")


def test_metrics_count_no_artefact_twice(made: Platform) -> None:
    totals = EventLog(made.instance)
    totals.read()
    seconds = {labels[0]: sum(one.counts) for labels, one in totals.seconds.items()}
    dimensions = {asset for asset, key in made.first}  # type: ignore[attr-defined]
    assert set(seconds) == dimensions
    assert seconds["raw_bands"] == 2
    assert seconds["mosaic"] == 1
