"""Work that a signal stops."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import typer

from lc_platform.cli.console import out
from lc_platform.cli.display import Display
from lc_platform.runtime import signals
from lc_platform.runtime.interruption import StopRequested

_Result = TypeVar("_Result")


def stoppable(work: Callable[[], _Result], display: Display | None = None) -> _Result:
    """Return the result of some work, with its progress shown; a signal stops it."""
    display = display or Display(out)

    def shown() -> _Result:
        with display:
            return work()

    def on_signal(_: int) -> None:
        at = display.doing or "the current step"
        display.note(
            f"Stopping: {at} is being finished. Ctrl+C again ends at once; what is finished stays."
        )

    try:
        return signals.stoppable(shown, on_signal)
    except StopRequested:
        raise typer.Exit(signals.status()) from None


def end_if_asked() -> None:
    """Exit if there was a signal that the work before has not noticed."""
    if signals.Ended.signal:
        raise typer.Exit(signals.status())
