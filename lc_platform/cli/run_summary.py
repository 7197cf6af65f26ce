"""The summary of a run in a sentence or two."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lc_platform.commands.run import Report


def summary(report: Report) -> str:
    """Return what was made, was current already, and failed, and how long it took."""
    made, current, failed = len(report.made), len(report.current), len(report.failures)
    seconds = f"{report.seconds:.0f} s"
    if current and not made and not failed and not report.stopped:
        return f"Nothing had to be made: all {current} artefacts are current ({seconds})."
    already = f", {current} were current already" if current else ""
    text = f"{made} artefacts made{already}, in {seconds}, {failed} failed."
    per_patch, count = report.orchestration()
    if not count:
        return text
    if len(report.years) > 1:
        each = f"patch in each year ({count} of these)"
    else:
        each = f"patch ({count} {'patch' if count == 1 else 'patches'})"
    return f"{text} Dagster itself took {per_patch:.2f} s of that for each {each}."
