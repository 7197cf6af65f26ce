"""Worker processes that share the cores, each with a pipe to the parent process.

No worker affects another: a process that is lost takes one task with it. Tasks and results,
progress and the request to stop all go through the pipe. A worker whose pipe is closed ends, so
that none is left when the parent process is gone.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from queue import SimpleQueue
from typing import Any, Generic, Self, TypeVar

from lc_platform.runtime import cores, interruption, progress

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")
Run = Callable[[_Task], _Result]

_CONTEXT = multiprocessing.get_context("spawn")
_BEAT = 0.2
"""Seconds between two checks whether the work must end, and between two reports of progress."""
_OF_THE_TRACKER = "ignore:resource_tracker:UserWarning"
_END = 10.0
"""Seconds in which an idle process must end by itself."""


class LostWorkerError(Exception):
    """A worker's process was lost with its task."""


@dataclass(frozen=True)
class _Ready:
    """A worker can be given a task."""


@dataclass(frozen=True)
class _Stopped:
    """A worker's task was stopped on request."""


class _Process(Generic[_Task]):
    """A worker in the parent process."""

    def __init__(self, number: int, start: Callable[..., Any], given: Sequence[Any]) -> None:
        self.number = number
        self.ready = False
        self.stopping = False
        self.task: _Task | None = None
        self.pipe, other = _CONTEXT.Pipe()
        self.process: BaseProcess = _CONTEXT.Process(
            target=_work, args=(other, number, start, given), name=f"lc-platform worker {number}"
        )
        with _starting:
            self.process.start()
            _living.add(self.process)
        other.close()

    def give(self, task: _Task) -> None:
        self.task = task
        self.pipe.send(task)

    def stop(self) -> None:
        """Ask the worker to stop its task at the next checkpoint; kill it if it has not begun."""
        if not self.ready:
            self.process.kill()
        elif not self.stopping:
            self.stopping = True
            with contextlib.suppress(OSError):
                self.pipe.send(None)

    def close(self, seconds: float = _END) -> None:
        self.pipe.close()
        self.process.join(seconds)
        if self.process.is_alive():
            self.process.kill()
            self.process.join()
        _living.discard(self.process)


_living: set[BaseProcess] = set()
_starting = threading.Lock()
"""Held while a process is started that is not in the set yet."""


def kill_all() -> None:
    """End all workers of this process at once."""
    began = _starting.acquire(timeout=_END)
    for process in tuple(_living):
        process.kill()
    if began:
        _starting.release()


class Workers(Generic[_Task, _Result]):
    """``count`` processes that live as long as the block.

    start  returns in each process the function that runs tasks; it, its arguments and all tasks and
           results must be picklable
    """

    def __init__(self, count: int, start: Callable[..., Run[_Task, _Result]], *given: Any) -> None:
        self.count = count
        self._start, self._given = start, given
        self._processes = [self._started(number) for number in range(1, count + 1)]

    def _started(self, number: int) -> _Process[_Task]:
        with cores.shared(self.count), _ctrl_c_kept_from_children():
            return _Process(number, self._start, self._given)

    def run(self, tasks: Sequence[_Task]) -> Iterator[tuple[_Task, _Result | LostWorkerError]]:
        """Yield each task with its result, as they end.

        Raises StopRequested if the work must end, when each worker's task has ended.
        """
        waiting, working = deque(tasks), 0
        while waiting or working:
            if interruption.requested():
                waiting.clear()
                for one in self._processes:
                    one.stop()
            for one in self._processes:
                if waiting and one.ready and one.task is None:
                    one.give(waiting.popleft())
            of = {one.pipe: one for one in self._processes}
            for pipe in wait(list(of), _BEAT):
                one = of[pipe]  # type: ignore[index]
                yield from self._receive(one)
            working = sum(one.task is not None for one in self._processes)
        interruption.checkpoint()

    def _receive(self, one: _Process[_Task]) -> Iterator[tuple[_Task, _Result | LostWorkerError]]:
        try:
            message = one.pipe.recv()
        except (EOFError, OSError):
            yield from self._replaced(one)
            return
        if isinstance(message, progress.Step):
            progress.forward(message)
            return
        one.ready = True
        if isinstance(message, _Ready):
            return
        task, one.task = one.task, None
        progress.forward(progress.Step(source=one.number))
        if isinstance(message, _Stopped):
            if not interruption.requested():  # a signal to this worker alone
                one.task = task
                yield from self._replaced(one)
            return
        assert task is not None
        yield task, message

    def _replaced(self, one: _Process[_Task]) -> Iterator[tuple[_Task, _Result | LostWorkerError]]:
        one.close()
        position = self._processes.index(one)
        progress.forward(progress.Step(source=one.number))
        if interruption.requested():
            self._processes.remove(one)
        elif not one.ready:
            raise LostWorkerError(
                f"a worker's process ended before it began, with status {one.process.exitcode}"
            )
        else:
            self._processes[position] = self._started(one.number)
        if one.task is not None:
            yield one.task, LostWorkerError()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._processes:
            if not one.ready or one.task is not None:
                one.process.kill()
        for one in self._processes:
            one.close()


@contextlib.contextmanager
def _ctrl_c_kept_from_children() -> Iterator[None]:
    """Keep the terminal's Ctrl+C, which goes to a whole group, from processes that are started in
    the block: the parent process stops them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    # It removes the locks of a killed worker, and would warn of them.
    sys.warnoptions.append(_OF_THE_TRACKER)
    try:
        resource_tracker.ensure_running()  # which unblocks it
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        yield
    finally:
        sys.warnoptions.remove(_OF_THE_TRACKER)
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# In the worker's process


def _work(
    pipe: Connection, number: int, start: Callable[..., Run[Any, Any]], given: Sequence[Any]
) -> None:
    """Run tasks in a thread, while the main thread reads the pipe.

    In a thread of its own Dagster does not replace the signal handlers.
    """
    signal.signal(signal.SIGTERM, lambda *_: interruption.request())
    tasks: SimpleQueue[Any] = SimpleQueue()
    sending = threading.Lock()

    def send(message: Any) -> None:
        with sending, contextlib.suppress(OSError):
            pipe.send(message)

    last = [0.0]

    def report(step: progress.Step) -> None:
        now = time.monotonic()
        if now - last[0] >= _BEAT or step.done == step.total:
            last[0] = now
            send(replace(step, source=number))

    def work() -> None:
        run = start(*given)
        send(_Ready())
        with progress.listen(report):
            while True:
                task = tasks.get()
                try:
                    send(run(task))
                except interruption.StopRequested:
                    send(_Stopped())

    threading.Thread(target=_or_end(work), daemon=True).start()
    while True:
        try:
            message = pipe.recv()
        except (EOFError, OSError):
            os._exit(0)  # nobody waits for the task any more
        if message is None:
            interruption.request()
        else:
            tasks.put(message)


def _or_end(work: Callable[[], None]) -> Callable[[], None]:
    """End the process if the thread ends with an error."""

    def worked() -> None:
        try:
            work()
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(1)

    return worked
