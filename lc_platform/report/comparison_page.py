"""A comparison of configurations as one HTML file that needs no other."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from lc_platform.report.report_page import SCORES, rendered


def write_comparison(found: Mapping[str, Any]) -> str:
    """Return the page of what `lc_platform.commands.compare` has found."""
    return rendered(
        "comparison.html",
        {
            **found,
            "names": list(found["configurations"]),
            "differing": list(found["configurations"][found["first"]]["settings"]),
            "scores": SCORES,
            "made": datetime.now(UTC).date().isoformat(),
            "release": version("lc-platform"),
        },
    )
