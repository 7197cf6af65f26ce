"""How far the work is, as the loops that do it tell.

A loop over acquisitions, windows or trees takes them through `track`: each is a step of the work,
before which it ends where it was asked to stop. Who shows progress listens with `listen`; nothing
is told where nobody does.
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
    """What a process is at."""

    asset: str = ""
    """Or another name of what is being done; empty where nothing is."""
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
    """The task of this process, of which one is at work at a time."""

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
    """What this process is at."""
    return _work.step


def forward(step: Step) -> None:
    """Tell who listens what another process is at."""
    for listener in tuple(_work.listeners):
        listener(step)


@contextmanager
def listen(listener: Listener) -> Iterator[None]:
    """Have ``listener`` called with each step while the block lasts, in the thread that works."""
    _work.listeners.append(listener)
    try:
        yield
    finally:
        _work.listeners.remove(listener)


@contextmanager
def at_task(assets: int, partitions: int) -> Iterator[None]:
    """A number of assets of a number of partitions are worked on in the block."""
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
    """An asset of a partition, or what else is named, is worked on in the block.

    last  whether it is done at the end of the block

    Raises StopRequested where the work is to end.
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
    """Tell how far a loop is that somebody else runs. Raises StopRequested where the work is to
    end."""
    checkpoint()
    if not _work.tracked:
        _work.tell(unit=unit, done=done, total=total)


def track(items: Iterable[_Item], unit: str, total: int, *, stops: bool = True) -> Iterator[_Item]:
    """Pass items on, and tell how many of them are done.

    unit   what they are, in the plural. Within another tracked loop they are not told
    stops  whether an item may be left where the work is to end: StopRequested is raised before it
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
