"""The rooms of the package, and where it lies."""

from __future__ import annotations

from pathlib import Path

import lc_platform

PACKAGE = Path(lc_platform.__file__).parent
PROJECT = PACKAGE.parent
ROOMS = (
    "__main__",
    "cli",
    "definitions",
    "viewer",
    "reading",
    "commands",
    "graph",
    "automation",
    "monitoring",
    "assets",
    "platform",
    "acquisition",
    "report",
    "stac",
    "artefacts",
    "products",
    "sources",
    "storage",
    "area",
    "config",
    "eo",
    "catalogue",
    "cube",
    "logs",
    "errors",
    "runtime",
)
"""The parts of the package from the top to the bottom: each may import those below it."""
