"""Handling of Ctrl+C and SIGTERM in commands."""

from __future__ import annotations

import contextlib
import contextvars
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import FrameType
from typing import Any, NoReturn, TypeVar

from lc_platform.runtime import interruption

_Result = TypeVar("_Result")
_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_WAKING = 0.1
"""Seconds."""
_SHOW_CURSOR = "\x1b[?25h"


class Ended:
    """The signal that has stopped the work; 0 if none has."""

    signal = 0


def status() -> int:
    """Return the exit status of a process that a signal has stopped: 130 or 143."""
    return 128 + Ended.signal


def end_at_once(number: int = signal.SIGINT) -> NoReturn:
    """End the process and its workers at once, without a traceback and without waiting for
    threads."""
    processes = sys.modules.get("lc_platform.runtime.processes")
    if processes is not None:
        processes.kill_all()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, RuntimeError):
            if stream.isatty():
                stream.write(f"{_SHOW_CURSOR}\n")
            stream.flush()
    os._exit(128 + number)


def end_at_first() -> None:
    """Let the first signal end the process, where nothing can be left half-done."""

    def end(number: int, _: FrameType | None) -> None:
        end_at_once(number)

    for one in _SIGNALS:
        if signal.getsignal(one) is not signal.SIG_IGN:
            signal.signal(one, end)


def stoppable(work: Callable[[], _Result], on_signal: Callable[[int], None]) -> _Result:
    """Return the result of ``work``, which the first signal stops and the second ends at once.

    on_signal  is called with the first signal

    The work runs in a thread of its own: there Dagster leaves the signal handlers as they are, and
    the main thread can handle signals at any time. If this is not the main thread, the work runs in
    it, and no signal is handled.
    """
    if threading.current_thread() is not threading.main_thread():
        return work()

    def handle(number: int, _: FrameType | None) -> None:
        if interruption.requested():
            end_at_once(number)
        Ended.signal = number
        interruption.request()
        on_signal(number)

    done: list[_Result] = []
    failed: list[BaseException] = []

    def worked() -> None:
        # Ctrl+C goes to all processes of a terminal's group: those of Dagster, which are started
        # from here, never see it.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            done.append(work())
        except BaseException as error:
            failed.append(error)

    context = contextvars.copy_context()
    thread = threading.Thread(target=context.run, args=(worked,), name="command", daemon=True)
    try:
        with _handled_by(handle):
            thread.start()
            while thread.is_alive():
                # Not without end: a signal that another thread receives wakes this one up late.
                thread.join(_WAKING)
    finally:
        interruption.withdraw()
    if failed:
        raise failed[0]
    return done[0]


@contextlib.contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Set a handler in the block. A signal that is ignored, as by `nohup`, stays ignored."""
    before = {one: signal.getsignal(one) for one in _SIGNALS}
    for one, was in before.items():
        if was is not signal.SIG_IGN:
            signal.signal(one, handler)
    try:
        yield
    finally:
        for one, was in before.items():
            signal.signal(one, was)


def supervised(
    programs: Sequence[Sequence[str]], environment: Mapping[str, str], seconds: float
) -> int:
    """Run programs that start processes of their own, until one of them ends or a signal comes.

    seconds  that they have to end by themselves then; a second signal gives them none

    Returns the exit status of the one that ended, or that of a stopped process. None of their
    processes is left.
    """
    running: list[subprocess.Popen[bytes]] = []

    def handle(number: int, _: FrameType | None) -> None:
        if Ended.signal:
            _kill_groups(running)
            end_at_once(number)
        Ended.signal = number

    try:
        with _handled_by(handle):
            for program in programs:
                running.append(subprocess.Popen(program, env=dict(environment), process_group=0))
            while not Ended.signal and all(one.poll() is None for one in running):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    running[0].wait(_WAKING)
            ended = next((one for one in running if one.returncode is not None), None)
            for one in running:
                # To the program alone: it ends its own processes, in their order.
                one.send_signal(signal.SIGINT)
            last = time.monotonic() + seconds
            for one in running:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    one.wait(max(0.0, last - time.monotonic()))
    finally:
        _kill_groups(running)
    return status() if Ended.signal or ended is None else ended.returncode


def _kill_groups(leaders: Sequence[subprocess.Popen[bytes]]) -> None:
    for one in leaders:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(one.pid, signal.SIGKILL)
        one.wait()
