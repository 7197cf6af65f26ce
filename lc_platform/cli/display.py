"""Progress as a person sees it: bars in a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column

from lc_platform.runtime import progress
from lc_platform.runtime.progress import Step

_Item = TypeVar("_Item")
_SILENT = 5.0
"""Seconds after which a plain line says what is being done."""
_EARLY = 0.05
"""Share of a stage before which nothing is said of the time left."""

_ALMOST = 0.99
"""Share of a stage that is shown where all of its steps are done and it has not ended."""


class Display:
    """Stages of the work and what is being done in them, while the block lasts."""

    def __init__(self, console: Console) -> None:
        self.console = _on_its_own(console)
        self._lock = threading.RLock()
        self._stage = ""
        self._total = self._ended = 0
        self._shown = 0.0
        self._began = time.monotonic()
        self._steps: dict[int, Step] = {}
        self._lines = _Bars(self.console) if self.console.is_terminal else _Lines(self)

    def stage(
        self,
        name: str,
        total: int,
        items: Iterable[_Item],
        *,
        counted: Callable[[_Item], int] = lambda _: 1,
        said: Callable[[_Item, int], str] | None = None,
    ) -> Iterator[_Item]:
        """Pass items on as they come, and show how many of ``total`` are done.

        counted  how many of them an item is
        said     what a plain line says of an item, with how many are done; nothing where None
        """
        with self._lock:
            self._stage, self._total, self._ended = name, total, 0
            self._shown, self._began = 0.0, time.monotonic()
            self._refresh()
        for item in items:
            with self._lock:
                self._ended += counted(item)
                self._refresh()
                if said is not None:
                    self._lines.said(said(item, self._ended))
            yield item
        with self._lock:
            self._lines.over(name, self._ended, total, time.monotonic() - self._began)
            self._stage, self._total = "", 0
            self._refresh()

    def step(self, step: Step) -> None:
        """Show what a worker is at."""
        with self._lock:
            if step.asset:
                self._steps[step.source] = step
            else:
                self._steps.pop(step.source, None)
            self._refresh()

    def _refresh(self) -> None:
        if self._total:
            done = self._ended + sum(step.share for step in self._steps.values())
            # The work's end is told by who does it: until then a full bar would stand still.
            most = self._total if self._ended >= self._total else _ALMOST * self._total
            self._shown = max(self._shown, min(done, most))
        self._lines.show(self)

    def note(self, words: str) -> None:
        """Say something beside the progress."""
        self.console.print(words, markup=False)

    @property
    def share(self) -> float:
        """Of the stage that is done."""
        return self._shown / self._total if self._total else 0.0

    @property
    def left(self) -> str:
        """The time that the rest of the stage takes at the pace of what is done."""
        share, spent = self.share, time.monotonic() - self._began
        if not _EARLY < share < 1:
            return ""
        return f"{timedelta(seconds=round(spent / share - spent))} left"

    @property
    def doing(self) -> str:
        """What each worker is at; between two tasks, the stage."""
        return ", ".join(map(str, self._steps.values())) or self._stage

    def __str__(self) -> str:
        if not self._total:
            return self.doing
        count = f"{self._stage}: {self._shown:.3g} of {self._total}"
        at = self.doing if self._steps else ""
        return "; ".join(part for part in (count, self.left, at) if part)

    def __enter__(self) -> Self:
        self._listening = progress.listen(self.step)
        self._listening.__enter__()
        self._lines.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lines.end()
        self._listening.__exit__(kind, error, traceback)


def _on_its_own(console: Console) -> Console:
    """A console to the same place by a descriptor of its own: while a step is at work, Dagster
    sends what is written to standard output and error into the step's log."""
    file = console.file
    try:
        own = os.fdopen(os.dup(file.fileno()), "w", encoding=console.encoding)
    except (OSError, io.UnsupportedOperation):
        return console  # it is no file of the system's, and stays where it is
    return Console(
        file=own,
        force_terminal=console.is_terminal,
        width=None if console.is_terminal else console.width,
        highlight=False,
        soft_wrap=True,
    )


class _Bars:
    """For a terminal: the stage and below it what each worker is at."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            SpinnerColumn(finished_text=" "),
            TextColumn(
                "{task.description}",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis", ratio=4),
            ),
            BarColumn(bar_width=None, table_column=Column(ratio=2)),
            TextColumn(
                "{task.fields[count]}",
                markup=False,
                table_column=Column(no_wrap=True, overflow="ellipsis", ratio=3),
            ),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", table_column=Column(no_wrap=True, min_width=12)),
            console=console,
            transient=True,
            expand=True,
        )
        self._stage: TaskID | None = None
        self._at: dict[int, tuple[str, TaskID]] = {}

    def begin(self) -> None:
        self._bars.start()

    def end(self) -> None:
        self._bars.stop()

    def show(self, display: Display) -> None:
        bars = self._bars
        if display._total and self._stage is None:
            self._stage = bars.add_task(display._stage, total=display._total, count="", left="")
        if self._stage is not None:
            bars.update(
                self._stage,
                completed=display._shown,
                count=f"{display._ended} of {display._total}",
                left=display.left,
            )
        for source in self._at.keys() - display._steps.keys():
            bars.remove_task(self._at.pop(source)[1])
        for source, step in display._steps.items():
            name = f"  {step.asset} {step.where}".rstrip()
            known = self._at.get(source)
            if known is not None and known[0] != name:
                bars.remove_task(known[1])
                known = None
            if known is None:
                known = self._at[source] = name, bars.add_task(name, total=None, count="", left="")
            bars.update(
                known[1],
                total=step.total or None,
                completed=step.done,
                count=f"{step.done} of {step.total} {step.unit}" if step.unit else "",
            )

    def said(self, line: str) -> None:
        """The bar says it."""

    def over(self, stage: str, done: int, total: int, seconds: float) -> None:
        if self._stage is not None:
            self._bars.remove_task(self._stage)
            self._stage = None
        spent = timedelta(seconds=round(seconds))
        self._bars.console.print(f"{stage}: {done} of {total} in {spent}", markup=False)


class _Lines:
    """For what is no terminal: a line for what has ended, and one now and then for what is being
    done."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._last = time.monotonic()
        self._over = threading.Event()

    def begin(self) -> None:
        self._last = time.monotonic()
        threading.Thread(target=self._tell, name="progress", daemon=True).start()

    def end(self) -> None:
        self._over.set()

    def _tell(self) -> None:
        while not self._over.wait(max(0.1, self._last + _SILENT - time.monotonic())):
            with self._display._lock:
                if time.monotonic() - self._last >= _SILENT and not self._over.is_set():
                    self.said(str(self._display) or "working")

    def show(self, display: Display) -> None:
        """Said in time."""

    def said(self, line: str) -> None:
        self._last = time.monotonic()
        self._display.console.print(line, markup=False)
        file: Any = self._display.console.file
        file.flush()

    def over(self, stage: str, done: int, total: int, seconds: float) -> None:
        """Said of the last item."""
