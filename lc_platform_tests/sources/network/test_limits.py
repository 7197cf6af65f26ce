import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from statistics import median
from uuid import uuid4

import pytest

from lc_platform.sources.network import limits as limits_module
from lc_platform.sources.network.limits import Limits, Refused
from lc_platform.sources.protocol import QuotaError, SourceError, TransientSourceError


@pytest.fixture(autouse=True)
def quick_and_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(limits_module, "FIRST_WAIT", 0.02)
    monkeypatch.setattr(limits_module, "gettempdir", lambda: str(tmp_path))


def failing(*errors: Exception) -> Callable[[], str]:
    """A request that fails with each error once, and then answers."""
    left = list(errors)

    def request() -> str:
        if left:
            raise left.pop(0)
        return "answer"

    return request


def test_an_answer_is_handed_on() -> None:
    assert Limits(uuid4().hex, connections=1).send("patch", lambda: 7) == 7


def test_no_more_requests_than_connections_are_under_way_at_the_same_time() -> None:
    limits = Limits(uuid4().hex, connections=3)
    under_way: list[int] = []
    most: list[int] = []

    def request() -> None:
        under_way.append(1)
        most.append(len(under_way))
        time.sleep(0.02)
        under_way.pop()

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(lambda _: limits.send("patch", request), range(24)))
    assert max(most) == 3


def test_what_may_succeed_later_is_tried_again() -> None:
    limits = Limits(uuid4().hex, connections=1, retries=2)
    errors = (TransientSourceError("no answer."), Refused(500, "an error."))
    assert limits.send("patch", failing(*errors)) == "answer"


def test_after_the_last_attempt_the_error_says_what_and_how_often() -> None:
    limits = Limits(uuid4().hex, connections=1, retries=2)
    with pytest.raises(TransientSourceError, match=r"patch P1: no answer\. \(tried 3 times\)"):
        limits.send("patch P1", failing(*[TransientSourceError("no answer.")] * 3))


@pytest.mark.parametrize("error", [SourceError("wrong"), QuotaError("spent"), KeyError("other")])
def test_what_a_retry_does_not_mend_is_not_tried_again(error: Exception) -> None:
    with pytest.raises(type(error)):
        Limits(uuid4().hex, connections=1, retries=5).send("patch", failing(error))


def test_retry_after_is_waited_for() -> None:
    limits = Limits(uuid4().hex, connections=1, retries=1)
    started = time.monotonic()
    limits.send("patch", failing(Refused(503, "busy.", 0.3)))
    assert 0.3 <= time.monotonic() - started < 30


def test_who_is_to_wait_for_an_hour_is_told_at_once_and_so_are_the_others() -> None:
    limits = Limits(uuid4().hex, connections=2, retries=5)
    asked = []
    with pytest.raises(TransientSourceError, match=r"busy\. It asks to wait for 3\d{3} s"):
        limits.send("patch P1", failing(Refused(429, "busy.", 3600.0)))
    with pytest.raises(TransientSourceError, match="patch P2: not asked for"):
        limits.send("patch P2", lambda: asked.append(1))
    assert asked == []


def test_while_one_request_was_told_to_wait_the_others_wait_too() -> None:
    limits = Limits(uuid4().hex, connections=4, retries=1)
    begun, refused = time.monotonic(), threading.Event()

    def refuse_once() -> None:
        if not refused.is_set():
            refused.set()
            raise Refused(429, "too many.", 0.4)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(limits.send, "first", refuse_once)
        assert refused.wait(5)
        time.sleep(0.05)
        other = limits.send("other", lambda: time.monotonic() - begun)
        first.result()
    assert other >= 0.4


def test_two_sources_of_one_account_wait_for_one_another() -> None:
    one, other, stranger = (
        Limits(name, connections=1, retries=0) for name in ("same", "same", "another")
    )
    begun = time.monotonic()
    with pytest.raises(TransientSourceError):
        one.send("patch", failing(Refused(429, "too many.", 1.5)))
    assert stranger.send("patch", time.monotonic) < begun + 1.5
    assert other.send("patch", time.monotonic) >= begun + 1.5


def test_a_failure_without_retry_after_leaves_the_others_alone() -> None:
    limits = Limits(uuid4().hex, connections=2, retries=0)
    with pytest.raises(TransientSourceError):
        limits.send("first", failing(Refused(500, "an error.")))
    begun = time.monotonic()
    limits.send("other", lambda: None)
    assert time.monotonic() - begun < 10


def test_waits_can_be_ended() -> None:
    limits = Limits(uuid4().hex, connections=1, retries=1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(limits.send, "patch P1", failing(Refused(503, "busy.", 60.0)))
        time.sleep(0.1)
        limits.stop()
        with pytest.raises(TransientSourceError, match="patch P1: given up"):
            waiting.result(timeout=30)  # and not a minute
    limits = Limits(uuid4().hex, connections=1)
    limits.stop()
    assert limits.send("later work", lambda: 1) == 1


def reached(times: list[float], requests_per_minute: float) -> bool:
    """Whether most requests followed one another at a rate.

    A machine that stands still for a moment makes one long gap, whatever else it makes.
    """
    return median(b - a for a, b in pairwise(sorted(times))) <= 60 / (0.9 * requests_per_minute)


def crossed(times: list[float], begun: float, requests_per_minute: float) -> bool:
    """Whether there was a request before its time at a rate that has begun at a time."""
    return any(
        time < begun + number * 60 / requests_per_minute
        for number, time in enumerate(sorted(times))
    )


def test_the_rate_is_reached_and_not_crossed() -> None:
    limits = Limits(uuid4().hex, connections=8, requests_per_minute=3000)
    begun = time.monotonic()
    with ThreadPoolExecutor(8) as pool:
        times = list(pool.map(lambda _: limits.send("patch", time.monotonic), range(75)))
    assert reached(times, 3000)
    assert not crossed(times, begun, 3000)


def test_of_an_archive_that_refuses_everything_all_soon_give_up() -> None:
    """Each refusal takes their turns from those that wait for theirs: seven threads with four
    attempts each do not make 28 requests one after another."""
    limits = Limits(uuid4().hex, connections=7, requests_per_minute=3000, retries=3)
    asked: list[float] = []

    def refuse() -> None:
        asked.append(time.monotonic())
        raise Refused(429, "too many.", 0.05)

    with ThreadPoolExecutor(7) as pool:
        sent = [pool.submit(limits.send, "patch", refuse) for _ in range(7)]
        assert all(isinstance(one.exception(), TransientSourceError) for one in sent)
    assert 4 <= len(asked) <= 14


def test_who_refuses_again_and_again_is_waited_for_longer_than_it_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    longest: list[float] = []

    def uniform(_: float, high: float) -> float:
        longest.append(high)
        return high

    monkeypatch.setattr(limits_module.random, "uniform", uniform)
    limits = Limits(uuid4().hex, connections=1, retries=4)
    asked: list[float] = []

    def refuse() -> None:
        asked.append(time.monotonic())
        raise Refused(503, "busy.", 0.01)

    with pytest.raises(TransientSourceError, match="tried 5 times"):
        limits.send("patch", refuse)
    waits = [later - before for before, later in pairwise(asked)]
    # The limit of 0.02 s doubles to 0.04, 0.08 and 0.16 s.
    assert waits[2] >= 0.09
    assert waits[3] >= 0.17
    assert longest[0] < 0.1 < longest[3]


WORKER = """
import sys, time
from lc_platform.sources.network import limits
limits.gettempdir = lambda: sys.argv[2]
one = limits.Limits(sys.argv[1], connections=2, requests_per_minute=1200)
print("ready", flush=True)
sys.stdin.readline()
print(*(one.send("patch", time.monotonic) for _ in range(20)))
"""


@pytest.mark.slow
def test_the_rate_holds_across_processes(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WORKER, uuid4().hex, str(tmp_path)]
    pipe = subprocess.PIPE
    workers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(2)]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    begun = time.monotonic()
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    outputs = [worker.communicate(timeout=600)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0]
    times = [float(time_) for output in outputs for time_ in output.split()]
    assert len(times) == 40
    assert not crossed(times, begun, 1200)


@pytest.mark.parametrize("content", [b"", b"nonsense", b"nan", b"inf", b"9e99", b"-5.0"])
def test_a_damaged_or_stale_state_does_not_stop_anybody(tmp_path: Path, content: bytes) -> None:
    limits = Limits(uuid4().hex, connections=1, requests_per_minute=6000)
    limits.send("patch", lambda: None)
    (state,) = tmp_path.glob("lc-platform-rate-*")
    state.write_bytes(content)
    begun = time.monotonic()
    limits.send("patch", lambda: None)
    limits.send("patch", lambda: None)
    assert time.monotonic() - begun < 10
    assert float(state.read_bytes()) > begun


def test_the_name_is_not_told_by_the_state(tmp_path: Path) -> None:
    Limits("account-4711", connections=1, requests_per_minute=6000).send("patch", lambda: None)
    (state,) = tmp_path.glob("lc-platform-rate-*")
    assert "4711" not in state.name + state.read_text()
    assert state.stat().st_mode & 0o077 == 0


def test_a_state_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits_module, "gettempdir", lambda: "/nowhere")
    limits = Limits(uuid4().hex, connections=1, requests_per_minute=60)
    with pytest.raises(SourceError, match=r"requests_per_minute: /nowhere.*TMPDIR"):
        limits.send("patch", lambda: None)
