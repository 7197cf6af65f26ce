"""Work that is asked to stop, by a call and by real signals: what ends, and what goes on."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import numpy as np
import psutil
import pytest

from lc_platform import config
from lc_platform.assets.declaration import RETRIES
from lc_platform.commands import run as running
from lc_platform.commands.status import status
from lc_platform.eo import classification_methods
from lc_platform.runtime import interruption, progress
from lc_platform.runtime.interruption import StopRequested
from lc_platform.runtime.progress import Step
from lc_platform.storage.store import Store
from lc_platform_tests.production import artefacts
from lc_platform_tests.sites import Site, half_written, site
from lc_platform_tests.terminal import CTRL_C, started

_PROOF = (pytest.mark.slow, pytest.mark.proof)
"""Of the same promise at another moment, which takes as long again."""

SECONDS = 600.0
"""In which a process must be gone: many times what a quiet machine takes."""


@pytest.fixture(autouse=True)
def _nothing_is_asked_for_later() -> Iterator[None]:
    yield
    interruption.withdraw()


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """Two patches of 16 x 16 pixels, four acquisitions."""
    monkeypatch.delenv(running.HOME_VARIABLE, raising=False)
    return site(tmp_path, patches=2)


def stopped_at(one: Site, moment: str) -> running.Report:
    """A run that is asked to stop when it says that it is at a moment."""

    def listener(step: Step) -> None:
        if moment in str(step):
            interruption.request()

    with progress.listen(listener):
        report = one.run()
    interruption.withdraw()
    return report


@pytest.mark.proof
@pytest.mark.slow
@pytest.mark.parametrize(
    "moment",
    [
        pytest.param("patch_grid", marks=_PROOF),
        "cloud_masks 33N-r094000-c129001 2021: 1 of 4 acquisitions",
        pytest.param("model 2021: 2 of 3 rounds", marks=_PROOF),
        pytest.param("mosaic 2021: 1 of 2 windows of class", marks=_PROOF),
    ],
)
def test_a_run_that_was_asked_to_stop_ends_at_its_next_step_and_the_next_one_goes_on(
    small: Site, moment: str
) -> None:
    report = stopped_at(small, moment)
    assert report.interrupted
    assert not report.succeeded
    assert report.failures == []
    assert report.stopped is None
    assert half_written(small.store) == []
    settings = config.load(small.folder / "lc.yaml")
    instance = dg.DagsterInstance.from_config(str(running.dagster_home(settings)))
    runs = instance.get_runs()
    assert runs[0].status is dg.DagsterRunStatus.CANCELED
    assert {run.status for run in runs[1:]} <= {dg.DagsterRunStatus.SUCCESS}
    if Store.of(settings).exists("patch_grid.parquet"):
        assert not any(row.failed for row in status(settings))
    assert small.run().succeeded


@pytest.mark.proof
@pytest.mark.slow
def test_a_run_that_was_stopped_and_went_on_equals_one_that_was_not(
    small: Site, tmp_path_factory: pytest.TempPathFactory
) -> None:
    undisturbed = site(tmp_path_factory.mktemp("undisturbed"), patches=2)
    assert undisturbed.run().succeeded
    for moment in ("raw_bands", "features", "model 2021: 1 of 3"):
        assert stopped_at(small, moment).interrupted
    assert small.run().succeeded
    settings = [config.load(one.folder / "lc.yaml") for one in (small, undisturbed)]
    assert artefacts.digests(settings[0]) == artefacts.digests(settings[1])


@pytest.mark.slow
def test_acquisitions_that_have_come_are_kept(small: Site) -> None:
    small.configure(imagery={"connections": 1})
    stopped_at(small, "raw_bands 33N-r094000-c129000 2021: 3 of 4 acquisitions")
    told: list[str] = []

    def listener(step: Step) -> None:
        if step.asset == "raw_bands" and "c129000" in step.where and step.unit:
            told.append(f"{step.done} of {step.total}")

    with progress.listen(listener):
        assert small.run(select=["raw_bands"]).succeeded
    assert told == [] or told[-1] in ("1 of 1", "0 of 0")


@pytest.mark.proof
@pytest.mark.slow
def test_patches_of_a_chunk_that_were_finished_are_recorded(small: Site) -> None:
    """Dagster itself records nothing of a step that did not end."""
    stopped_at(small, "observation_stats 33N-r094000-c129001")
    settings = config.load(small.folder / "lc.yaml")
    instance = dg.DagsterInstance.from_config(str(running.dagster_home(settings)))
    made = instance.get_materialized_partitions(dg.AssetKey("observation_stats"))
    assert made <= {"33N-r094000-c129000|2021"}
    assert instance.get_materialized_partitions(dg.AssetKey("raw_bands")) == {
        "33N-r094000-c129000|2021",
        "33N-r094000-c129001|2021",
    }


def test_training_stops_between_two_rounds() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(500, 3)).astype(np.float32)
    rounds: list[int] = []

    def listener(step: Step) -> None:
        rounds.append(step.done)
        if step.done == 3:
            interruption.request()

    with progress.listen(listener), pytest.raises(StopRequested):
        classification_methods.train(
            "lightgbm",
            features,
            np.arange(500) % 2 + 1,
            feature_names=["a", "b", "c"],
            parameters={"num_iterations": 1000},
            seed=1,
        )
    assert rounds == [1, 2, 3]


@pytest.mark.parametrize(
    "interrupt", [KeyboardInterrupt, StopRequested, dg.DagsterExecutionInterruptedError]
)
def test_an_interrupted_step_is_not_started_again(interrupt: type[BaseException]) -> None:
    attempts = []
    an_hour = 3600

    @dg.asset(retry_policy=type(RETRIES)(max_retries=1, delay=an_hour))
    def interrupted() -> None:
        attempts.append(1)
        raise interrupt

    began = time.monotonic()
    with dg.instance_for_test() as instance:
        result = dg.materialize([interrupted], instance=instance, raise_on_error=False)
    assert not result.success
    assert len(attempts) == 1
    assert time.monotonic() - began < an_hour


# Real signals


@pytest.mark.parametrize(
    ("workers", "terminal", "which", "status"),
    [
        pytest.param(1, True, CTRL_C, 130, marks=pytest.mark.slow),
        pytest.param(1, False, signal.SIGTERM, 143, marks=_PROOF),
        pytest.param(2, False, CTRL_C, 130, marks=_PROOF),
        pytest.param(2, True, signal.SIGTERM, 143, marks=_PROOF),
    ],
)
def test_the_first_signal_says_what_is_being_finished_and_ends_the_run(
    small: Site, workers: int, terminal: bool, which: str, status: int
) -> None:
    file = small.folder / "lc.yaml"
    command = ("run", "-c", file, "--workers", str(workers))
    with started(*command, terminal=terminal, folder=small.folder) as one:
        one.until("reference: 2 of 2")
        one.signalled(which)
        assert one.ended(SECONDS) == status
        assert one.left() == []
        assert "Stopping: " in one.words
        assert "is being finished. Ctrl+C again ends at once" in one.words
        assert one.lines[-1] == "stopped; the same command goes on from here."
        assert "Traceback" not in one.words
    assert half_written(small.store) == []
    report = small.run()
    assert report.succeeded, report.failures


@pytest.mark.proof
@pytest.mark.slow
def test_a_demo_that_is_stopped_while_its_reference_is_written_makes_no_map(tmp_path: Path) -> None:
    with started("demo", tmp_path / "demo", terminal=True, folder=tmp_path) as one:
        one.until("reference.gpkg")
        one.signalled(CTRL_C)
        assert one.ended(SECONDS) == 130
        assert one.left() == []
        assert "patch grid" not in one.words
        assert "Traceback" not in one.words


@pytest.mark.proof
@pytest.mark.slow
@pytest.mark.parametrize(("workers", "terminal"), [(1, False), pytest.param(2, True, marks=_PROOF)])
def test_the_second_signal_ends_at_once_and_leaves_no_process(
    small: Site, workers: int, terminal: bool
) -> None:
    file = small.folder / "lc.yaml"
    command = ("run", "-c", file, "--workers", str(workers))
    with started(*command, terminal=terminal, folder=small.folder) as one:
        one.until("reference: 2 of 2")
        one.signalled(CTRL_C)
        one.until("Stopping")
        one.signalled(CTRL_C)
        assert one.ended(SECONDS) == 130
        assert one.left() == []
        assert "Traceback" not in one.words
    assert small.run().succeeded
    assert half_written(small.store) == []


@pytest.mark.slow
def test_workers_end_where_who_started_them_is_killed(small: Site) -> None:
    command = ("run", "-c", small.folder / "lc.yaml", "--workers", "2")
    with started(*command, terminal=False, folder=small.folder) as one:
        one.until("reference: 2 of 2")
        one.process.kill()
        one.ended(SECONDS)
        assert one.left(SECONDS) == []


@pytest.mark.proof
@pytest.mark.slow
def test_the_task_of_a_worker_that_is_killed_is_done_by_another(tmp_path: Path) -> None:
    lots = site(tmp_path, patches=6)
    lots.configure(processing={"chunk": 1})
    command = ("run", "-c", lots.folder / "lc.yaml", "--workers", "2", "--select", "raw_bands")
    with started(*command, terminal=False, folder=lots.folder) as one:
        one.until("imagery and features 2021: 1 of 6")
        children = psutil.Process(one.process.pid).children()
        workers = [c for c in children if "spawn_main" in " ".join(c.cmdline())]
        workers[0].kill()
        assert one.ended(2 * SECONDS) == 0
        assert re.search(r"artefacts made.*, in \d+ s, 0 failed", one.words)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "said"),
    [
        pytest.param(("ui", "--port"), "Dagster's UI comes up", marks=_PROOF),
        pytest.param(("metrics", "--every", "0.1", "--port"), "Metrics at", marks=_PROOF),
        (("map", "--port"), "The map is at"),
    ],
)
@pytest.mark.parametrize(
    ("terminal", "which", "status"),
    [(True, CTRL_C, 130), pytest.param(False, signal.SIGTERM, 143, marks=_PROOF)],
)
def test_what_serves_until_it_is_stopped_leaves_no_process(
    small: Site, command: tuple[str, ...], said: str, terminal: bool, which: str, status: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    asked = (*command, str(port), "-c", small.folder / "lc.yaml")
    with started(*asked, terminal=terminal, folder=small.folder) as one:
        one.until(said)
        if command[0] == "ui":
            one.until("Serving Dagster's UI")
            assert "superseded" not in one.words
        one.signalled(which)
        assert one.ended(SECONDS) == status
        assert one.left() == []
        assert "Traceback" not in one.words


def test_a_signal_while_the_command_is_loaded_ends_it_without_a_traceback(small: Site) -> None:
    with started(
        "check", "-c", small.folder / "lc.yaml", terminal=True, folder=small.folder
    ) as one:
        # From its first own line on; before, it is Python that is loaded.
        while not (held := _handles(one.process.pid)) and one.process.poll() is None:
            time.sleep(0.005)
        assert held
        one.signalled(CTRL_C)
        assert one.ended(SECONDS) == 130
        assert "Traceback" not in one.words


def _handles(process: int) -> bool:
    """Whether a process has a handler of SIGTERM of its own."""
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False
    caught = next(line.split()[1] for line in text.splitlines() if line.startswith("SigCgt"))
    return bool(int(caught, 16) & 1 << (signal.SIGTERM - 1))


@pytest.mark.proof
@pytest.mark.slow
def test_a_signal_that_was_ignored_before_stays_ignored(small: Site) -> None:
    """As under `nohup`, or in a shell's background."""
    with started(
        "run",
        "-c",
        small.folder / "lc.yaml",
        "--select",
        "reference_rasters",
        terminal=False,
        folder=small.folder,
        environment={"PYTHONSTARTUP": os.devnull},
        ignored=[signal.SIGINT],
    ) as one:
        one.until("patch grid: 1 of 1")
        one.process.send_signal(signal.SIGINT)
        assert one.ended(SECONDS) == 0
