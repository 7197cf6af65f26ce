"""Progress of the work, reported by its loops.

A loop over acquisitions, windows or trees takes them through `track`: each is a step of the work,
before which it ends if a stop was requested. A display listens with `listen`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TypeVar

from lc_platform.runtime.interruption import checkpoint

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class Step:
    """The present step of a process."""

    asset: str = ""
    """The asset, or another name of the work; empty if there is none."""
    where: str = ""
    """The partition: a patch and year."""
    unit: str = ""
    """What is counted, in the plural; empty where it is not known how far it is."""
    done: int = 0
    total: int = 0
    share: float = 0.0
    """How many of its task's partitions the process has done: each asset of each counts the
    same."""
    source: int = 0
    """The worker that tells."""

    def __str__(self) -> str:
        words = f"{self.asset} {self.where}".strip()
        return f"{words}: {self.done} of {self.total} {self.unit}" if self.unit else words


Listener = Callable[[Step], None]


class _Work:
    """The task of this process, which has one at a time."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.step = Step()
        self.artefacts = self.partitions = self.finished = 0
        self.tracked = False
        self.listeners: list[Listener] = []

    def tell(self, **changes: object) -> None:
        with self.lock:
            step = replace(self.step, **changes)  # type: ignore[arg-type]
            done = self.finished + (step.done / step.total if step.total else 0.0)
            share = min(done / self.artefacts, 1.0) * self.partitions if self.artefacts else 0.0
            self.step = replace(step, share=share)
            told, listeners = self.step, tuple(self.listeners)
        for listener in listeners:
            listener(told)


_work = _Work()


def current() -> Step:
    """Return the present step of this process."""
    return _work.step


def forward(step: Step) -> None:
    """Pass the step of another process on to the listeners."""
    for listener in tuple(_work.listeners):
        listener(step)


@contextmanager
def listen(listener: Listener) -> Iterator[None]:
    """Call ``listener`` with each step while the block lasts, in the working thread."""
    _work.listeners.append(listener)
    try:
        yield
    finally:
        _work.listeners.remove(listener)


@contextmanager
def at_task(assets: int, partitions: int) -> Iterator[None]:
    """Mark the block as work on a number of assets of a number of partitions."""
    if _work.artefacts:  # a part of a task
        yield
        return
    _work.artefacts, _work.partitions, _work.finished = assets * partitions, partitions, 0
    try:
        yield
    finally:
        _work.artefacts = _work.partitions = _work.finished = 0
        _work.tell(asset="", where="", unit="", done=0, total=0)


@contextmanager
def at(asset: str, where: str = "", *, last: bool = False) -> Iterator[None]:
    """Mark the block as work on an asset of a partition, or on what else is named.

    last  whether the asset is done at the end of the block

    Raises StopRequested if the work must end.
    """
    checkpoint()
    before = _work.step
    _work.tell(asset=asset, where=where, unit="", done=0, total=0)
    try:
        yield
    finally:
        _work.finished += last
        _work.tell(asset=before.asset, where=before.where, unit="", done=0, total=0)


def tell(unit: str, done: int, total: int) -> None:
    """Report the progress of a loop in a library. Raises StopRequested if the work must end."""
    checkpoint()
    if not _work.tracked:
        _work.tell(unit=unit, done=done, total=total)


def track(items: Iterable[_Item], unit: str, total: int, *, stops: bool = True) -> Iterator[_Item]:
    """Pass items on, and report how many of them are done.

    unit   the name of the items, in the plural; a loop within a tracked loop is not reported
    stops  whether StopRequested is raised before an item if the work must end
    """
    outermost = not _work.tracked
    _work.tracked = True
    try:
        for done, item in enumerate(items):
            if stops:
                checkpoint()
            if outermost:
                _work.tell(unit=unit, done=done, total=total)
            yield item
        if outermost:
            _work.tell(unit=unit, done=total, total=total)
    finally:
        if outermost:
            _work.tracked = False
