"""`/api/states` while runs fail, go on and succeed, and where nothing is known of runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from fastapi.testclient import TestClient

import lc_platform
from lc_platform.artefacts.layout import PATCH, Partition, key
from lc_platform.artefacts.records import Records
from lc_platform.assets.jobs import JOBS
from lc_platform.commands import run as running
from lc_platform.commands.run import Task
from lc_platform.reading.reader import Reader
from lc_platform.storage.store import Store
from lc_platform.viewer import compared_status
from lc_platform.viewer.app import create_app
from lc_platform_tests.reading import stores
from lc_platform_tests.sites import Site, first_never_seen, footprint, metres, worker_of

pytestmark = pytest.mark.slow

YEAR = 2021


@pytest.fixture(autouse=True)
def _own_dagster_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(running.HOME_VARIABLE, raising=False)


@pytest.fixture
def unseen(tmp_path: Path) -> Site:
    return first_never_seen(tmp_path)


def map_of(made: Site) -> TestClient:
    return TestClient(create_app(lc_platform.open(made.folder / "lc.yaml"), dagster="http://ui"))


def asked(client: TestClient, asset: str = "raw_bands", year: int = YEAR) -> dict[str, Any]:
    answer = client.get("/api/states", params={"asset": asset, "year": year})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def in_time(client: TestClient, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What the page is told as soon as it is so, as it asks again and again."""
    deadline = time.monotonic() + 60
    query = {"asset": "raw_bands", "year": YEAR}
    while True:
        answer = client.get("/api/states", params=query)
        if answer.status_code == 200 and is_it(answer.json()):
            return dict(answer.json())
        assert answer.status_code in (200, 503)
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)


def test_a_failed_patch_is_seen_as_failed_then_running_then_current_by_one_server(
    unseen: Site,
) -> None:
    worker = worker_of(unseen)
    client = map_of(unseen)
    early = client.get("/api/states", params={"asset": "raw_bands", "year": YEAR})
    assert early.status_code == 404
    assert "lc-platform run --select patch_grid" in early.json()["detail"]

    assert not worker.run(Task("grid", JOBS["grid"])).errors
    first, *others = (
        Partition(name, YEAR) for name in worker.instance.get_dynamic_partitions(PATCH)
    )
    order = client.get("/api/patches").json()
    keys = [one["properties"]["key"] for one in order["features"]]
    at = keys.index(str(first.patch))
    assert in_time(client, lambda found: found["states"] == "mmm")["order"] == order["order"]

    failed = worker._execute(Task("patch_year", JOBS["patch_year"], (first, *others)))
    found = in_time(client, lambda found: "f" in found["states"])
    assert found["states"] == "".join("f" if i == at else "c" for i in range(3))
    assert found["counts"] == {
        "current": 2, "running": 0, "failed": 1, "stale": 0, "missing": 0
    }  # fmt: skip
    assert "no acquisition between 2021-01-01" in found["why"][first.patch]
    assert found["message"] is None
    link = found["links"]["partition"].replace(
        "{partition}", found["links"]["key"].replace("{patch}", str(first.patch))
    )
    assert link == f"http://ui/assets/raw_bands?view=partitions&partition={first.patch}|{YEAR}"
    waited = asked(client, "cloud_masks")
    assert waited["states"] == "mmm"
    assert waited["why"][first.patch] == f"not reached: raw_bands of {first} failed"

    started = dg.DagsterEvent("PIPELINE_START", job_name="patch_year")
    worker.instance.handle_run_event(failed.run_id, started)
    assert in_time(client, lambda found: "r" in found["states"])["states"][at] == "r"

    unseen.acquire("2021-06-06", footprint(*metres(0.1, 0, 2.9, 1)))
    assert not worker_of(unseen).run(Task("patch_year", ("raw_bands",), (first,))).errors
    assert in_time(client, lambda found: found["states"][at] == "c")["counts"]["failed"] == 0


def test_where_dagster_has_no_records_that_is_said(unseen: Site) -> None:
    worker = worker_of(unseen)
    assert not worker.run(Task("grid", JOBS["grid"])).errors
    (unseen.folder / "dagster" / "dagster.yaml").unlink()
    found = asked(map_of(unseen))
    assert found["states"] == "mmm"
    assert found["message"].startswith("What runs, and what has failed, is not known.")
    assert running.HOME_VARIABLE in found["message"]


def test_a_store_without_its_configuration_says_what_is_there(reader: Reader) -> None:
    client = TestClient(create_app(lc_platform.open(str(reader.store))))
    found = asked(client, "predictions", reader.years[0])
    assert set(found["states"]) == {"c"}
    assert len(found["states"]) == len(reader.patches)
    assert "without its configuration" in found["message"]
    assert found["links"]["partition"] is None


def test_artefacts_of_another_version_are_stale_with_the_reason(
    reader: Reader, client: TestClient
) -> None:
    found = asked(client, "predictions", reader.years[0])
    assert set(found["states"]) == {"s"}
    assert all(found["why"].values())


@pytest.mark.parametrize(
    ("query", "status", "words"),
    [
        ("asset=predictions&year=1999", 404, "year 1999: is not there"),
        ("asset=prediction&year=2023", 404, "the nearest is predictions"),
        ("asset=model&year=2023", 404, "is no asset with patches"),
        ("asset=predictions", 404, "is not there"),
        ("asset=predictions&year=nan", 422, "year"),
        ("year=2023", 422, "asset"),
    ],
)
def test_what_is_no_asset_or_year_is_told(
    client: TestClient, query: str, status: int, words: str
) -> None:
    answer = client.get(f"/api/states?{query}")
    assert answer.status_code == status
    assert words in answer.json()["detail"]


@pytest.mark.slow
def test_ten_thousand_patches_are_asked_for_again_in_a_fraction_of_the_time(
    tmp_path: Path,
) -> None:
    store = Store(str(tmp_path))
    grid = stores.country(store, 100, 100, ())
    (tmp_path / "predictions").mkdir()
    folder = tmp_path / "predictions" / str(YEAR)
    records = tmp_path / ".records" / "predictions" / str(YEAR)
    folder.mkdir()
    records.mkdir(parents=True)
    for patch in grid.keys[::2]:
        (folder / f"{patch}.tif").touch()
        (records / f"{patch}.{'.'.join(stores.MADE)}.json").touch()
    client = TestClient(create_app(lc_platform.open(str(tmp_path))))
    query = {"asset": "predictions", "year": YEAR}
    started = time.perf_counter()
    first = client.get("/api/states", params=query)
    looked = time.perf_counter() - started
    assert first.json()["states"] == "cm" * 5000
    took = []
    for _ in range(5):
        started = time.perf_counter()
        again = client.get(
            "/api/states", params=query, headers={"If-None-Match": first.headers["etag"]}
        )
        took.append(time.perf_counter() - started)
        assert (again.status_code, again.content) == (304, b"")
    assert min(took) < looked / 5
    # One more is made: the next look sees it.
    (folder / f"{grid.keys[1]}.tif").touch()
    (records / f"{grid.keys[1]}.{'.'.join(stores.MADE)}.json").touch()
    deadline = time.monotonic() + 300
    while client.get("/api/states", params=query).json()["states"][:2] != "cc":
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_database_that_cannot_be_asked_is_told_and_asked_again(
    unseen: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = worker_of(unseen)
    assert not worker.run(Task("grid", JOBS["grid"])).errors
    client = map_of(unseen)
    assert asked(client)["message"] is None
    monkeypatch.setattr(compared_status, "_AGAIN", 0.2)
    with monkeypatch.context() as patch:

        def refused(*_: Any, **__: Any) -> Any:
            raise dg.DagsterError("the database is away")

        patch.setattr(dg.DagsterInstance, "get_run_records", refused)
        patch.setattr(dg.DagsterInstance, "get_runs", refused)
        patch.setattr("lc_platform.monitoring.partition_status._statuses", refused)
        told = in_time(client, lambda found: found["message"] is not None)
        assert told["states"] == "mmm"
        assert "the database is away" in told["message"]
    in_time(client, lambda found: found["message"] is None)


def test_a_stores_records_are_looked_for_by_their_names(reader: Reader) -> None:
    """What the test of ten thousand patches lays is what the platform would write."""
    (name,) = Records(reader.store).of_year("mosaic", reader.years[0]).values()
    assert name == stores.MADE
    assert reader.store.exists(key("mosaic", year=reader.years[0]))
