"""Progress: bars in a terminal, plain lines elsewhere."""

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
"""Seconds between plain lines that say what is being done."""
_EARLY = 0.05
"""Share of a stage before which no remaining time is shown."""
_HALF = 0.5
"""Likewise, where no item has ended yet: its first steps may take ten times as long as its last."""

_ALMOST = 0.99
"""Share of a stage that is shown where all of its steps are done and it has not ended."""


class Display:
    """Shows the stages of the work and their steps, as a context manager."""

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

        counted  returns how many an item counts for
        said     returns the plain line for an item and the number done; None for no line
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

    def outcomes(self, name: str, total: int, outcomes: Iterable[Any]) -> Iterator[Any]:
        """Pass on the outcomes of a run's tasks (`lc_platform.commands.run.Outcome`), likewise."""
        return self.stage(
            name,
            total,
            outcomes,
            counted=lambda outcome: len(outcome.task.partitions),
            said=lambda outcome, done: (
                f"{name}: {done} of {total}"
                + (f", {len(outcome.errors)} failed" if outcome.errors else "")
                + f" ({outcome.seconds:.1f} s)"
            ),
        )

    def step(self, step: Step) -> None:
        """Show a worker's present step."""
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

    def note(self, text: str) -> None:
        """Print a text beside the progress."""
        self.console.print(text, markup=False)

    @property
    def share(self) -> float:
        """The share of the stage that is done."""
        return self._shown / self._total if self._total else 0.0

    @property
    def left(self) -> str:
        """The remaining time of the stage at its present pace."""
        share, spent = self.share, time.monotonic() - self._began
        if not (_EARLY if self._ended else _HALF) <= share < 1:
            return ""
        return f"{timedelta(seconds=round(spent / share - spent))} left"

    @property
    def doing(self) -> str:
        """The step of each worker; between two tasks, the stage."""
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
    """Return a console with a descriptor of its own: while a step is executed, Dagster redirects
    standard output and error into the step's log."""
    file = console.file
    try:
        own = os.fdopen(os.dup(file.fileno()), "w", encoding=console.encoding)
    except (OSError, io.UnsupportedOperation):
        return console  # it has no descriptor, and is not redirected
    return Console(
        file=own,
        force_terminal=console.is_terminal,
        width=None if console.is_terminal else console.width,
        highlight=False,
        soft_wrap=True,
    )


class _Bars:
    """For a terminal: the stage, and below it each worker's step."""

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
        """Do nothing: the bar shows it."""

    def over(self, stage: str, done: int, total: int, seconds: float) -> None:
        if self._stage is not None:
            self._bars.remove_task(self._stage)
            self._stage = None
        spent = timedelta(seconds=round(seconds))
        self._bars.console.print(f"{stage}: {done} of {total} in {spent}", markup=False)


class _Lines:
    """For other outputs: a line for what has ended, and one now and then for what is being done."""

    def __init__(self, display: Display) -> None:
        self._display = display
        self._last = time.monotonic()
        self._over = threading.Event()

    def begin(self) -> None:
        self._last = time.monotonic()
        threading.Thread(target=self._report_steps, name="progress", daemon=True).start()

    def end(self) -> None:
        self._over.set()

    def _report_steps(self) -> None:
        while not self._over.wait(max(0.1, self._last + _SILENT - time.monotonic())):
            with self._display._lock:
                if time.monotonic() - self._last >= _SILENT and not self._over.is_set():
                    self.said(str(self._display) or "working")

    def show(self, display: Display) -> None:
        """Do nothing: steps are reported at intervals."""

    def said(self, line: str) -> None:
        self._last = time.monotonic()
        self._display.console.print(line, markup=False)
        file: Any = self._display.console.file
        file.flush()

    def over(self, stage: str, done: int, total: int, seconds: float) -> None:
        """Do nothing: the last item's line says it."""
