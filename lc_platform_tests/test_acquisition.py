"""A patch's year from Sentinel Hub into the store, with faults in the middle of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from lc_platform.errors import PlatformError
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.sources.network import limits
from lc_platform.sources.protocol import QuotaError, TransientSourceError
from lc_platform_tests.sentinel_hub_server import (
    Cut,
    Damaged,
    ExpiredTokens,
    Fault,
    Refuse,
    Reset,
    SentinelHubServer,
    Slow,
    started,
)
from lc_platform_tests.sentinel_hub_site import IMAGERY, SEED, made, site
from lc_platform_tests.storage.growing import same

AT = 5
"""The request that the fault is at: of the third acquisition, for the patch's own bands."""


@pytest.fixture(scope="module")
def server() -> Iterator[SentinelHubServer]:
    with started(seed=SEED, remembers=True) as running:
        yield running


@pytest.fixture(autouse=True)
def well(
    server: SentinelHubServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """The stand-in as it was, and what leads to it."""
    monkeypatch.setattr(limits, "FIRST_WAIT", 0.02)
    for name, value in server.environment(tmp_path / "account", timeout=2.0).items():
        monkeypatch.setenv(name, value)
    server.requests.clear()
    server.processing_units = 0.0
    yield
    server.behave()
    server.gone.clear()


@pytest.fixture(scope="module")
def undisturbed(
    server: SentinelHubServer, tmp_path_factory: pytest.TempPathFactory
) -> AcquisitionStack:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("undisturbed")
        for name, value in server.environment(folder).items():
            patch.setenv(name, value)
        whole = site(folder)
        made(whole)
        return whole.stack()


def requests(stack: AcquisitionStack) -> int:
    """Of an undisturbed acquiring: one on the patch's grid and one on the detector's."""
    return 2 * len(stack)


@pytest.mark.slow
def test_a_year_that_is_there_costs_a_search(
    server: SentinelHubServer,
    tmp_path: Path,
    undisturbed: AcquisitionStack,
    record_property: Callable[[str, object], None],
) -> None:
    assert len(undisturbed) >= 6
    whole = site(tmp_path)
    facts = made(whole)
    same(whole.stack(), undisturbed)
    assert facts["requests"] == server.count("process") == requests(undisturbed)
    assert facts["processing_units"] == pytest.approx(server.processing_units, abs=1e-3)
    searches = server.count("search")  # a page each
    server.requests.clear()
    started_at = time.perf_counter()
    again = made(whole)
    seconds = time.perf_counter() - started_at
    record_property(
        "figure",
        f"a patch's year of {len(undisturbed)} acquisitions that is there: searched and taken "
        f"over in {seconds:.2f} s",
    )
    assert again["acquisitions_new"] == 0
    assert server.count("process") == 0
    assert server.count("search") == searches
    same(whole.stack(), undisturbed)


@pytest.mark.parametrize(
    ("fault", "times"),
    [
        pytest.param(
            Refuse(429, "Rate limit exceeded", "RATE_LIMIT_EXCEEDED", retry_after=50),
            2,
            marks=pytest.mark.slow,
        ),
        (Refuse(500), 1),
        pytest.param(Refuse(503, retry_after=50), 1, marks=pytest.mark.slow),
        (Reset(), 1),
        pytest.param(Cut(), 1, marks=pytest.mark.slow),
        pytest.param(Slow(4.0), 1, marks=pytest.mark.slow),
        pytest.param(Damaged(), 1, marks=pytest.mark.slow),
    ],
    ids=["429 storm", "500", "503", "reset", "cut body", "slow", "invalid TIFF"],
)
def test_what_passes_is_waited_for(
    server: SentinelHubServer,
    tmp_path: Path,
    undisturbed: AcquisitionStack,
    fault: Fault,
    times: int,
) -> None:
    server.misbehave(fault, at=AT, times=times)
    disturbed = site(tmp_path)
    facts = made(disturbed)
    same(disturbed.stack(), undisturbed)
    assert facts["requests"] == server.count("process") == requests(undisturbed) + times


def test_a_token_that_expires_on_the_way_is_renewed(
    server: SentinelHubServer, tmp_path: Path, undisturbed: AcquisitionStack
) -> None:
    server.misbehave(ExpiredTokens(), at=AT)
    disturbed = site(tmp_path)
    made(disturbed)
    same(disturbed.stack(), undisturbed)
    assert server.count("token") == 2
    assert server.count("process") == requests(undisturbed) + 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Refuse(403, "Insufficient processing units", "ACCESS_INSUFFICIENT_PROCESSING_UNITS"),
         QuotaError),
        pytest.param(Refuse(500), TransientSourceError, marks=pytest.mark.slow),
    ],
    ids=["quota", "500 that stays"],
)  # fmt: skip
def test_after_what_stays_a_second_run_asks_for_the_rest_alone(
    server: SentinelHubServer,
    tmp_path: Path,
    undisturbed: AcquisitionStack,
    fault: Fault,
    error: type[PlatformError],
) -> None:
    server.misbehave(fault, at=AT, times=100)
    disturbed = site(tmp_path)
    with pytest.raises(error):
        made(disturbed)
    # A quota that is spent is asked of once; what may pass, as often as the configuration says.
    tried = 1 if error is QuotaError else 1 + IMAGERY["retries"]
    assert server.count("process") == AT - 1 + tried
    server.behave()
    made(disturbed)
    same(disturbed.stack(), undisturbed)
    assert server.count("process") == requests(undisturbed) + tried


@pytest.mark.slow
def test_an_acquisition_that_is_listed_and_gone_is_named_and_waited_for(
    server: SentinelHubServer, tmp_path: Path, undisturbed: AcquisitionStack
) -> None:
    key = undisturbed.acquisitions[2]["key"]
    archive = server.archives["sentinel-2-l1c"]
    patch = site(tmp_path).patch
    (lost,) = [found.key for found in archive.search(patch.geobox.extent, *(_days(undisturbed, 2)))]
    server.remembers = False
    server.gone.add(lost)
    disturbed = site(tmp_path)
    try:
        with pytest.raises(TransientSourceError, match=f"{key}.*imagery.exclude"):
            made(disturbed)
        server.gone.clear()
        before = server.count("process")
        made(disturbed)
    finally:
        server.remembers = True
    same(disturbed.stack(), undisturbed)
    assert before == AT + 1  # both of its grids came, without a pixel
    assert server.count("process") - before == requests(undisturbed) - (AT - 1)


def _days(stack: AcquisitionStack, position: int) -> tuple[Any, Any]:
    from datetime import UTC, datetime, timedelta

    when = datetime.fromisoformat(stack.acquisitions[position]["datetime"]).replace(tzinfo=UTC)
    return when - timedelta(hours=1), when + timedelta(hours=1)


KILLED = """
import sys
from pathlib import Path
from lc_platform_tests.sentinel_hub_site import made, site
made(site(Path(sys.argv[1])))
"""


@pytest.mark.slow
def test_a_process_that_was_killed_has_lost_the_acquisition_it_was_at(
    server: SentinelHubServer, tmp_path: Path, undisturbed: AcquisitionStack
) -> None:
    server.misbehave(Slow(60.0), at=2 * AT)  # the fifth's second request
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        env={**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "long")}
        | server.environment(tmp_path / "long", timeout=90.0),
    )
    try:
        stop = time.monotonic() + 600
        while server.count("process") < 2 * AT and time.monotonic() < stop:
            time.sleep(0.05)
        time.sleep(0.5)  # the fourth is on its way to the disk
        process.send_signal(signal.SIGKILL)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        process.wait()
    assert server.count("process") == 2 * AT
    server.behave()
    disturbed = site(tmp_path)
    made(disturbed)
    same(disturbed.stack(), undisturbed)
    assert server.count("process") == requests(undisturbed) + 2
