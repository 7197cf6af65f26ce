"""The count of what workers spend, and its hard stop, with real processes and a real S3 server."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from lc_platform.acquisition import budget as ledgers
from lc_platform.acquisition.budget import Spending, StoreLedger
from lc_platform.artefacts.layout import RECORDS
from lc_platform.config import Budget, ObjectStore
from lc_platform.sources.protocol import Cost, QuotaError
from lc_platform.storage.errors import StorageError
from lc_platform.storage.store import Store
from lc_platform_tests.servers import BUCKET, SeaweedFS

NOVEMBER = datetime(2026, 11, 30, 23, 59, tzinfo=UTC)
DECEMBER = datetime(2026, 12, 1, 0, 1, tzinfo=UTC)


def units(count: float) -> Budget:
    return Budget(processing_units=count)


def one(price: float) -> Cost:
    return Cost(requests=1, processing_units=price, bytes=1000)


def spend(ledger: StoreLedger, price: float, charged: float | None = None) -> None:
    ledger.reserve(one(price))
    ledger.settle(one(price), one(price if charged is None else charged))


def spent(store: Store) -> Spending:
    return StoreLedger(store, Budget()).spending()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(str(tmp_path / "store"))


# One process


def test_what_the_archive_charged_is_what_counts(store: Store) -> None:
    ledger = StoreLedger(store, units(100))
    spend(ledger, 7.5, charged=5.25)
    spend(ledger, 7.5, charged=8.0)
    assert ledger.spending().spent == Cost(2, 13.25, 2000)


def test_without_a_budget_nothing_is_refused_and_all_is_counted(store: Store) -> None:
    ledger = StoreLedger(store, Budget())
    for _ in range(1000):
        spend(ledger, 3.0)
    ledger.flush()
    assert spent(store).spent == Cost(1000, 3000.0, 1_000_000)
    assert spent(store).left == {}


@pytest.mark.parametrize(
    ("budget", "key"),
    [
        (Budget(processing_units=10), "processing_units"),
        (Budget(requests=10, processing_units=10_000), "requests"),
    ],
)
def test_the_budget_can_be_spent_to_its_end_and_not_beyond(
    store: Store, budget: Budget, key: str
) -> None:
    ledger = StoreLedger(store, budget, now=lambda: NOVEMBER)
    for _ in range(10):
        spend(ledger, 1.0)
    with pytest.raises(QuotaError) as refused:
        spend(ledger, 1.0)
    assert str(refused.value) == (
        f"imagery.budget.{key}: what is left of 10 in November 2026 does not suffice for the next "
        f"request. Raise imagery.budget.{key}, or run again from 1 December 2026 (UTC) on; "
        "`lc-platform plan` tells what is spent"
    )
    assert ledger.spending().spent.requests == 10
    assert ledger.spending().left[key] == 0


@pytest.mark.slow
def test_what_is_set_aside_and_not_charged_can_be_spent_by_another(store: Store) -> None:
    dear = StoreLedger(store, units(10))
    spend(dear, 9.0, charged=1.0)
    spend(StoreLedger(store, units(10)), 9.0)
    assert spent(store).spent.processing_units == 10


def test_a_refusal_is_remembered_without_looking_at_the_store(store: Store) -> None:
    ledger = StoreLedger(store, units(1))
    with pytest.raises(QuotaError) as first:
        spend(ledger, 2.0)
    folder = Path(store.path(RECORDS))
    before = sorted(folder.rglob("*")), folder.stat().st_mtime_ns
    with pytest.raises(QuotaError) as second:
        spend(ledger, 0.5)
    assert str(second.value) == str(first.value) == str(ledger.refused)
    assert (sorted(folder.rglob("*")), folder.stat().st_mtime_ns) == before


def test_what_costs_nothing_of_what_is_spent_may_still_be_asked(store: Store) -> None:
    ledger = StoreLedger(store, Budget(processing_units=1, requests=3))
    spend(ledger, 1.0)
    with pytest.raises(QuotaError, match="processing_units"):
        spend(ledger, 1.0)
    for _ in range(2):
        spend(ledger, 0.0)
    with pytest.raises(QuotaError, match=r"budget\.requests: what is left of 3 "):
        spend(ledger, 0.0)


def test_a_larger_budget_goes_on_where_the_smaller_one_ended(store: Store) -> None:
    small = StoreLedger(store, units(2))
    spend(small, 2.0)
    with pytest.raises(QuotaError):
        spend(small, 1.0)
    large = StoreLedger(store, units(3))
    spend(large, 1.0)
    with pytest.raises(QuotaError):
        spend(large, 0.5)
    assert spent(store).spent.processing_units == 3


def test_a_new_month_begins_with_the_whole_budget(store: Store) -> None:
    now = [NOVEMBER]
    ledger = StoreLedger(store, units(10), now=lambda: now[0])
    spend(ledger, 10.0)
    with pytest.raises(QuotaError, match="November 2026"):
        spend(ledger, 1.0)
    now[0] = DECEMBER
    spend(ledger, 10.0)
    with pytest.raises(QuotaError, match=r"December 2026 .* from 1 January 2027"):
        spend(ledger, 1.0)
    for month in (NOVEMBER, DECEMBER):
        found = StoreLedger(store, Budget(), now=lambda month=month: month).spending()  # type: ignore[misc]
        assert found.spent.processing_units == 10
        assert found.set_aside.processing_units == 0


def test_a_request_under_way_at_midnight_counts_in_the_month_that_ends_it(store: Store) -> None:
    now = [NOVEMBER]
    ledger = StoreLedger(store, units(10), now=lambda: now[0])
    ledger.reserve(one(4.0))
    now[0] = DECEMBER
    ledger.settle(one(4.0), one(4.0))
    assert ledger.spending().spent.processing_units == 4
    november = StoreLedger(store, Budget(), now=lambda: NOVEMBER).spending()
    assert november.spent.processing_units == november.set_aside.processing_units == 0


def test_threads_share_a_ledger(store: Store) -> None:
    ledger = StoreLedger(store, units(500))

    def work(_: int) -> int:
        try:
            spend(ledger, 1.0)
        except QuotaError:
            return 0
        return 1

    with ThreadPoolExecutor(16) as pool:
        done = sum(pool.map(work, range(600)))
    assert done == 500
    assert ledger.spending().spent == Cost(500, 500.0, 500_000)


def test_what_is_not_needed_is_given_back_after_a_while(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledgers, "IDLE_SECONDS", 0.2)
    ledger = StoreLedger(store, units(10_000))
    spend(ledger, 1.0)
    assert ledger.spending().set_aside.processing_units > 0
    deadline = time.monotonic() + 5
    while spent(store).set_aside.processing_units and time.monotonic() < deadline:
        time.sleep(0.05)
    assert spent(store).spent.processing_units == 1
    assert spent(store).set_aside.processing_units == 0


@pytest.mark.slow
def test_requests_far_from_the_end_seldom_read_the_store(store: Store) -> None:
    """A claim is for a request and the 16 after it."""
    StoreLedger(store, units(1e9)).flush()
    spend(StoreLedger(store, units(1e9)), 1.0)
    ledger = StoreLedger(store, units(1e9))
    reads = 0
    ranges = store.fs.cat_ranges

    def counted(*given: Any, **options: Any) -> Any:
        nonlocal reads
        reads += 1
        return ranges(*given, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store.fs, "cat_ranges", counted)
        for _ in range(1000):
            spend(ledger, 1.0)
    assert reads == -(-1000 // 17)


def test_a_month_of_thousands_of_processes_is_read_quickly(store: Store) -> None:
    """Files that have not changed for ten minutes are looked at, and not read again."""
    ledger = StoreLedger(store, units(1e6), now=lambda: NOVEMBER)
    spend(ledger, 1.0)
    folder = Path(store.path(f"{RECORDS}/spending/2026-11"))
    part = {"requests": 1, "processing_units": 2.0, "bytes": 3}
    text = json.dumps({"spent": part, "begun": part, "claimed": part})
    for number in range(2000):
        file = folder / f"{number % 256:02x}" / f"other-1-1-{number:06x}{number % 256:02x}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        os.utime(file, (1.7e9, 1.7e9))
    assert ledger.spending().spent == Cost(2001, 4001.0, 7000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store.fs, "cat_file", lambda *_, **__: pytest.fail("read again"))
        assert ledger.spending().spent == Cost(2001, 4001.0, 7000)


def test_a_store_that_cannot_be_written_stops_spending(store: Store, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / RECORDS).write_text("in the way")
    with pytest.raises(StorageError, match="where a folder should be"):
        spend(StoreLedger(store, units(10)), 1.0)


def test_a_damaged_count_is_named_and_stops_spending(store: Store) -> None:
    ledger = StoreLedger(store, units(10), now=lambda: NOVEMBER)
    store.put(f"{RECORDS}/spending/2026-11/bc/elsewhere-1-1-abc.json", b'{"spent": 3}')
    with pytest.raises(StorageError, match=r"elsewhere-1-1-abc\.json: is no count"):
        spend(ledger, 1.0)


def test_what_could_not_be_compared_with_the_others_is_not_set_aside(store: Store) -> None:
    other = StoreLedger(store, units(10), now=lambda: NOVEMBER)
    spend(other, 9.5)
    ledger = StoreLedger(store, units(10), now=lambda: NOVEMBER)
    damaged = f"{RECORDS}/spending/2026-11/bc/elsewhere-1-1-abc.json"
    store.put(damaged, b"")
    with pytest.raises(StorageError):
        spend(ledger, 1.0)
    store.remove(damaged)
    with pytest.raises(QuotaError):
        spend(ledger, 1.0)
    assert ledger.spending().spent.processing_units == 9.5


# Several processes


def worker(url: str, budget: float, seed: int, barrier: Any, results: Any) -> None:
    """Spend until it is refused; each request is charged its price or half of it."""
    ledgers.IDLE_SECONDS = 0.2  # type: ignore[misc]
    chance = random.Random(seed)
    ledger = StoreLedger(Store(url), units(budget))
    charged = 0.0
    barrier.wait()
    while True:
        price = chance.choice([0.5, 1.0, 2.0])
        try:
            ledger.reserve(one(price))
        except QuotaError:
            break
        time.sleep(chance.uniform(0, 0.004))
        paid = price * chance.choice([0.5, 1.0])
        ledger.settle(one(price), one(paid))
        charged += paid
    results.put(charged)


@pytest.mark.slow
def test_four_processes_spend_no_more_than_the_budget_and_most_of_it(store: Store) -> None:
    budget = 800.0
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(4), spawn.Queue()
    processes = [
        spawn.Process(target=worker, args=(str(store), budget, i, barrier, results))
        for i in range(4)
    ]
    for process in processes:
        process.start()
    charged = [results.get(timeout=600) for _ in processes]
    for process in processes:
        process.join()
    assert 0.9 * budget <= sum(charged) <= budget
    found = spent(store)
    assert found.spent.processing_units == pytest.approx(sum(charged))
    assert found.set_aside.processing_units == 0


KILLED = """
import sys, time
from lc_platform.config import Budget
from lc_platform.sources.protocol import Cost
from lc_platform.acquisition.budget import StoreLedger
from lc_platform.storage.store import Store
ledger = StoreLedger(Store(sys.argv[1]), Budget(processing_units=1000))
for _ in range(50):
    ledger.reserve(Cost(1, 2.0))
    ledger.settle(Cost(1, 2.0), Cost(1, 2.0))
for _ in range(3):
    ledger.reserve(Cost(1, 2.0))
print("spent", flush=True)
time.sleep(60)
"""


@pytest.fixture
def other(store: Store) -> Iterator[subprocess.Popen[str]]:
    """A process that has spent 100 of 1000 units and has three requests of 2 under way."""
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(store)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "spent\n"
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_killed_process_leaves_what_it_spent_and_what_was_under_way(
    store: Store, other: subprocess.Popen[str]
) -> None:
    alive = spent(store)
    assert alive.spent.processing_units == 100
    assert alive.set_aside.processing_units >= 6
    other.send_signal(signal.SIGKILL)
    other.wait()
    after = StoreLedger(store, units(1000)).spending()
    assert after.spent.processing_units == 100
    assert after.set_aside.processing_units == 6
    assert after.left == {"processing_units": 894}


def test_of_another_machine_what_is_set_aside_counts_until_the_month_ends(
    store: Store, other: subprocess.Popen[str]
) -> None:
    other.send_signal(signal.SIGKILL)
    other.wait()
    (file,) = Path(store.path(RECORDS)).rglob("*.json")
    told = json.loads(file.read_text())["claimed"]["processing_units"]
    assert told >= 106
    file.rename(file.with_name(f"elsewhere-{file.name}"))
    found = spent(store)
    assert found.spent.processing_units + found.set_aside.processing_units == told


def test_a_process_that_ends_leaves_nothing_set_aside(store: Store) -> None:
    ended = KILLED.replace("time.sleep(60)", "").replace("range(3)", "range(0)")
    subprocess.run([sys.executable, "-c", ended, str(store)], check=True, capture_output=True)
    assert spent(store).spent.processing_units == 100
    assert spent(store).set_aside.processing_units == 0


# An object store


@pytest.fixture
def bucket(server: SeaweedFS) -> Store:
    settings = ObjectStore(endpoint=server.endpoint, profile="owner", region="us-east-1")
    return Store(f"s3://{BUCKET}/{uuid.uuid4().hex}", settings)


def test_in_an_object_store_the_budget_ends_all_ledgers(bucket: Store) -> None:
    budget = 300.0
    charged = [0.0] * 4
    start = threading.Barrier(4)

    def work(index: int) -> None:
        ledger = StoreLedger(bucket, units(budget))
        start.wait()
        while True:
            try:
                spend(ledger, 1.0)
            except QuotaError:
                ledger.flush()
                return
            charged[index] += 1.0

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0.9 * budget <= sum(charged) <= budget
    assert spent(bucket).spent.processing_units == sum(charged)


def test_in_an_object_store_requests_seldom_write(bucket: Store) -> None:
    ledger = StoreLedger(bucket, units(1e9))
    writes = 0
    put = bucket.put

    def counted(key: str, content: bytes) -> None:
        nonlocal writes
        writes += 1
        put(key, content)

    bucket.put = counted  # type: ignore[method-assign]
    for _ in range(500):
        spend(ledger, 1.0)
    ledger.flush()
    assert writes <= 500 // 17 + 1 + 5  # the claims, one each three seconds, and the flush
    assert spent(bucket).spent.processing_units == 500
