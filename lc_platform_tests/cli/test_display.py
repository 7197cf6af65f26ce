"""Progress as a person sees it, at a terminal and in a file."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Iterator

import pytest
from rich.console import Console

from lc_platform.cli import display as displays
from lc_platform.cli.display import Display
from lc_platform.runtime.progress import Step, at, at_task, track


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=160, highlight=False)


def written(display: Display) -> str:
    file = display.console.file
    assert isinstance(file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", file.getvalue())


def acquired(patches: int) -> Iterator[int]:
    """The work: of each patch ten acquisitions."""
    for patch in range(patches):
        with at_task(1, 1), at("raw_bands", f"p{patch} 2021", last=True):
            list(track(range(10), "acquisitions", 10))
        yield patch


def test_a_file_gets_a_line_for_each_item_and_none_that_moves_a_cursor() -> None:
    display = Display(console(terminal=False))
    with display:
        items = display.stage("imagery", 3, acquired(3), said=lambda item, done: f"{item}: {done}")
        assert list(items) == [0, 1, 2]
    assert written(display) == "0: 1\n1: 2\n2: 3\n"


def test_a_file_is_told_what_is_being_done_where_nothing_ends_for_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(displays, "_SILENT", 0.01)

    def until_told() -> Iterator[int]:
        with at_task(1, 4), at("raw_bands", "p0 2021"):
            for _ in track(range(10), "acquisitions", 10):
                while "5 of 10 acquisitions" not in written(display) and _ == 5:
                    time.sleep(0.005)
        yield 0

    display = Display(console(terminal=False))
    with display:
        list(display.stage("imagery", 4, until_told()))
    # Half of one of four.
    line = r"imagery: 0\.5 of 4; raw_bands p0 2021: 5 of 10 acquisitions"
    assert re.search(line, written(display))


def test_a_terminal_gets_a_bar_with_what_each_worker_is_at() -> None:
    display = Display(console(terminal=True))
    seen = []
    with display:
        for item in display.stage("imagery", 2, acquired(2)):
            display.step(Step("features", "p7 2021", "windows", 3, 8, 0.0, source=item + 1))
            display._lines._bars.refresh()
            seen.append(written(display))
    assert "imagery" in seen[0]
    assert "1 of 2" in seen[0]
    assert "features p7 2021" in seen[0]
    assert "3 of 8 windows" in seen[0]
    # What stays when all is done.
    assert re.search(r"imagery: 2 of 2 in 0:00:0\d", written(display))


def test_a_bar_is_not_full_before_the_work_has_ended() -> None:
    # All steps of a task are done before it ends: Dagster has yet to record it.
    display = Display(console(terminal=True))

    def all_but_ended() -> Iterator[int]:
        display.step(Step("predictions", "p1 2021", "windows", 4, 4, share=2.0))
        assert 0.9 < display.share < 1.0
        yield 0
        assert display.share == 1.0

    with display:
        list(display.stage("predictions", 2, all_but_ended(), counted=lambda _: 2))


def test_what_is_shown_never_goes_back() -> None:
    display = Display(console(terminal=False))
    shares = []

    def work() -> Iterator[int]:
        for share in (0.2, 0.6, 0.1):  # a worker that begins its next task counts from nothing
            display.step(Step("features", "p1", "windows", 1, 4, share))
            shares.append(display.share)
        yield 0

    with display:
        list(display.stage("imagery", 1, work()))
    assert shares == [0.2, 0.6, 0.6]


def test_the_time_left_is_said_at_the_pace_of_what_is_done() -> None:
    display = Display(console(terminal=False))

    def work() -> Iterator[int]:
        assert display.left == ""  # nothing is known yet
        display._began -= 60
        display.step(Step("features", "p1", "windows", 1, 4, 1.0))
        assert display.left == "0:01:00 left"  # half of two took a minute
        yield 0

    with display:
        list(display.stage("imagery", 2, work()))


def test_no_time_is_said_by_the_first_steps_alone() -> None:
    display = Display(console(terminal=False))

    def work() -> Iterator[int]:
        display._began -= 60
        display.step(Step("raw_bands", "p1", "acquisitions", 9, 10, 1.0))
        assert display.left == ""  # of eight none has ended, and the rest may be sooner done
        display.step(Step())
        yield 1
        assert display.left == "0:07:00 left"

    with display:
        list(display.stage("imagery", 8, work(), counted=lambda count: count))


def test_a_worker_that_has_ended_is_not_told_of_any_more() -> None:
    display = Display(console(terminal=False))
    with display:
        display.step(Step("features", "p1", source=1))
        display.step(Step("raw_bands", "p2", source=2))
        assert display.doing == "features p1, raw_bands p2"
        display.step(Step(source=1))
        assert display.doing == "raw_bands p2"
