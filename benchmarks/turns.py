"""Peers and platform timed in turn, so that what disturbs the machine disturbs all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TypeVar

Result = TypeVar("Result")
Theirs = TypeVar("Theirs")
Ours = TypeVar("Ours")


def timed(work: Callable[..., Result], *given: object) -> tuple[float, Result]:
    """Seconds, and what came out."""
    started = time.perf_counter()
    result = work(*given)
    return time.perf_counter() - started, result


def in_turn(
    rounds: int, contestants: Mapping[str, Callable[[int], float]]
) -> dict[str, list[float]]:
    """Seconds of each round by contestant.

    A contestant is given the round's number and returns its seconds.
    """
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for number in range(rounds):
        for name, contestant in contestants.items():
            times[name].append(contestant(number))
    return times


def in_pairs(
    pairs: int,
    given: Callable[[int], tuple[Theirs, Ours]],
    theirs: Callable[[Theirs], Result],
    ours: Callable[[Ours], Result],
    check: Callable[[Result, Result], object],
) -> tuple[list[float], list[float]]:
    """Seconds of a peer's function and of the platform's, with what both return checked.

    given  what each is given in a pair, in the layout that suits it; the time is not counted
    check  is called with ours, then theirs
    """
    took: tuple[list[float], list[float]] = [], []
    for pair in range(pairs):
        for_them, for_us = given(pair)
        their_time, expected = timed(theirs, for_them)
        our_time, found = timed(ours, for_us)
        check(found, expected)
        took[0].append(their_time)
        took[1].append(our_time)
    return took
