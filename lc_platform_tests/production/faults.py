"""SIGKILL to one service after the other at random moments of a backfill, and what came of it."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import psutil  # type: ignore[import-untyped]

from lc_platform.artefacts.layout import Partition
from lc_platform_tests.production import artefacts, history
from lc_platform_tests.production.artefacts import Finished
from lc_platform_tests.production.deployment import Deployment
from lc_platform_tests.production.history import History
from lc_platform_tests.production.supervisor import Service, wait_until

RUN = "run"
"""A run's own process; the other targets are services."""
TARGETS = (RUN, "daemon", "code-location", "object-store", "postgres")
_LATEST = 0.95
"""Part of a backfill's artefacts that are finished at the last kill, at most."""
_WAIT = 5.0
"""Seconds between the moment that so many are finished and the kill, at most."""
_LOOK = 3.0
"""Seconds between two looks at what is finished."""
_AWAY = 20.0
"""Seconds that a service is away at most, beside the time that it takes to start."""
_RECOVERY_SECONDS = 180.0


@dataclass(frozen=True)
class Kill:
    """One SIGKILL."""

    target: str
    at: float
    """Seconds after the backfill was launched."""
    back_after: float
    """Seconds until what was killed was ready again; of a run, until it was gone."""


@dataclass
class Outcome:
    """How a backfill went that was shot at."""

    kills: list[Kill]
    seconds: float
    status: str
    history: History
    again: dict[str, str] = field(default_factory=dict)
    """What was finished before a kill and made again or lost after it, and the kill."""
    not_current: list[tuple[str, Partition]] = field(default_factory=list)
    differing: list[tuple[str, Partition]] = field(default_factory=list)
    """What is not as one process makes it, where that was looked at."""

    def told(self) -> str:
        """What was counted, a line each."""
        made, found = self.history.made, self.history.found
        lines = [
            f"backfill: {self.status} after {self.seconds:.0f} s",
            *(
                f"killed: {kill.target} at {kill.at:.0f} s, all well {kill.back_after:.1f} s later"
                for kill in self.kills
            ),
            f"runs: {', '.join(f'{n} {how}' for how, n in sorted(self.history.runs.items()))}",
            f"runs that took up another one's work: {self.history.retries}",
            f"artefacts made: {len(made)}, in {made.total()} writings that were told",
            f"artefacts found as they should be by a retry: {found.total()}",
            f"told as made twice: {self.history.made_twice or 'none'}",
            f"finished before a kill and made again: {self.again or 'none'}",
            f"not as they should be at the end: {self.not_current or 'none'}",
        ]
        return "\n".join(lines)


def runs_at_work(deployment: Deployment) -> list[psutil.Process]:
    """The processes that runs are in: of the code server, or of Celery workers."""
    if deployment.workers:
        pids = deployment.tasks(deployment.workers).values()
        return [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    return [p for p in deployment.service("code-location").children() if _is_spawned(p)]


def _is_spawned(process: psutil.Process) -> bool:
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return any("spawn_main" in word for word in process.cmdline())
    return False


def kill_one_after_the_other(
    deployment: Deployment, backfill_id: str, targets: Sequence[str], seed: int
) -> Iterator[tuple[Kill, Finished]]:
    """Kill targets in a random order at random moments of the work, each when all is well again
    after the one before; ends early where the backfill does.

    Yields each kill, and what was finished before it.
    """
    rng = random.Random(seed)
    launched = time.monotonic()
    total = len(artefacts.states(deployment.config))
    moments = sorted(rng.uniform(0, _LATEST) * total for _ in targets)
    for target, moment in zip(rng.sample(targets, len(targets)), moments, strict=True):
        if not _so_much_is_done(deployment, backfill_id, moment):
            return
        time.sleep(rng.uniform(0, _WAIT))
        if target == RUN and not _runs_come(deployment, backfill_id):
            return
        before = artefacts.finished(deployment.config)
        now = time.monotonic()
        if target == RUN:
            _kill_some_run(deployment, rng)
        else:
            _kill_service(deployment.service(target), rng.uniform(0, _AWAY))
        wait_until(lambda: deployment.ready, "all is well again", _RECOVERY_SECONDS)
        yield Kill(target, now - launched, time.monotonic() - now), before


def _so_much_is_done(deployment: Deployment, backfill_id: str, artefacts_done: float) -> bool:
    """Wait for so many artefacts to be finished; False where the backfill ends before."""
    while not deployment.graphql.is_over(backfill_id):
        if len(artefacts.finished(deployment.config)) >= artefacts_done:
            return True
        time.sleep(_LOOK)
    return False


def _kill_service(service: Service, away: float) -> None:
    starts = service.starts
    service.kill(away)
    wait_until(lambda: service.starts > starts, f"{service.name} is started again", 60 + away)


def _runs_come(deployment: Deployment, backfill_id: str) -> bool:
    """Wait for runs to be at work; False where the backfill ends before."""
    while not deployment.graphql.is_over(backfill_id):
        if runs_at_work(deployment):
            return True
        time.sleep(0.2)
    return False


def _kill_some_run(deployment: Deployment, rng: random.Random) -> None:
    for process in rng.sample(found := runs_at_work(deployment), len(found)):
        with suppress(psutil.NoSuchProcess):
            process.kill()
            return


def shoot_at(
    deployment: Deployment,
    backfill_id: str,
    targets: Sequence[str],
    seed: int,
    *,
    seconds: float,
    tell: Callable[[Kill], object] = print,
) -> Outcome:
    """Kill targets while a backfill runs, and see it through. Raises TimeoutError after
    ``seconds``."""
    started = time.monotonic()
    kills, before = [], []
    for kill, done in kill_one_after_the_other(deployment, backfill_id, targets, seed):
        tell(kill)
        kills.append(kill)
        before.append(done)
    left = seconds - (time.monotonic() - started)
    wait_until(lambda: deployment.graphql.is_over(backfill_id), "the backfill is over", left)
    took = time.monotonic() - started
    wait_until(lambda: deployment.ready, "all is well", _RECOVERY_SECONDS)
    after = artefacts.finished(deployment.config)
    again = {
        name: f"{kill.target} at {kill.at:.0f} s"
        for kill, done in zip(kills, before, strict=True)
        for name in artefacts.made_again(done, after)
    }
    with deployment.instance() as instance:
        past = history.read(instance, backfill_id)
    status = deployment.graphql.backfill_status(backfill_id)
    states = artefacts.states(deployment.config)
    wrong = [where for where, state in states.items() if state.kind != "current"]
    return Outcome(kills, took, status, past, again, wrong)
