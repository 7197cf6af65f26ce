"""A plan as tables and sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table

AMOUNTS = ("acquisitions", "existing", "requests", "units", "transfer", "storage", "hours")


_OF_THE_NETWORK = {"requests", "units", "transfer", "hours"}


def amounts(plan: Any, need: Any) -> tuple[str, ...]:
    return (
        f"{need.acquisitions:,}",
        f"{need.existing:,}",
        f"{need.cost.requests:,}",
        f"{need.cost.processing_units:,.0f}",
        _bytes(need.cost.bytes),
        _bytes(need.bytes_kept),
        f"{plan.hours(need):,.1f}",
    )


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:,.3g} TB" if count < 999.5 else f"{count:,.0f} TB"


def table_of(titles: Sequence[str], rows: Sequence[Sequence[str]], remote: bool) -> Table:
    shown = [i for i, title in enumerate(titles) if remote or title not in _OF_THE_NETWORK]
    table = Table(box=None, padding=(0, 2, 0, 0))
    for i in shown:
        table.add_column(titles[i], justify="right" if i else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(row[i] for i in shown))
    return table


def notes_on(plan: Any) -> Iterator[str]:
    """Return the assumptions of a plan, and whether the budget suffices."""
    from lc_platform.commands import plan as planning

    imagery = plan.config.imagery
    yield (
        f"Storage: raw bands and cloud masks, at {planning.BYTES_KEPT:g} bytes a digital number, "
        "as measured."
    )
    if not plan.remote:
        yield "Nothing is transferred over the network."
        return
    pace = f"{imagery.connections} at a time"
    if imagery.requests_per_minute:
        pace += f", at most {imagery.requests_per_minute} a minute"
    yield f"Hours: of one worker, at {plan.seconds_a_request:g} s a request, {pace}."
    if plan.estimated:
        yield f"Estimated without searching the archive: {plan.estimated}."
    for limit in plan.budget:
        what = limit.key.replace("_", " ")
        yield (
            f"Budget of {plan.spending.month}: {limit.left:,.0f} of {limit.most:,.0f} {what} are "
            f"left, {limit.needed:,.0f} are needed: "
            + ("that suffices." if limit.suffices else f"that takes {limit.months} months.")
        )
    spent = plan.spending.spent
    if not plan.budget and spent.requests:
        yield (
            f"Spent in {plan.spending.month}: {spent.requests:,} requests, "
            f"{spent.processing_units:,.0f} processing units. There is no imagery.budget."
        )
