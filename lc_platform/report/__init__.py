"""What people see: metadata in the UI, small pictures, figures.

Each is imported when it is first used: figures need a library that takes its time.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lc_platform.report.comparison_page import write_comparison
    from lc_platform.report.evaluation_figures import with_evaluation_figures
    from lc_platform.report.figures import with_figure
    from lc_platform.report.label_errors import with_label_errors
    from lc_platform.report.map_links import MapLinks
    from lc_platform.report.map_picture import with_map_picture
    from lc_platform.report.metadata import Describer
    from lc_platform.report.report_facts import Contents, versions
    from lc_platform.report.report_page import write_report

__all__ = [
    "Contents",
    "Describer",
    "MapLinks",
    "versions",
    "with_evaluation_figures",
    "with_figure",
    "with_label_errors",
    "with_map_picture",
    "write_comparison",
    "write_report",
]
_MODULES = {
    "Contents": "report_facts",
    "versions": "report_facts",
    "write_report": "report_page",
    "write_comparison": "comparison_page",
    "Describer": "metadata",
    "MapLinks": "map_links",
    "with_evaluation_figures": "evaluation_figures",
    "with_figure": "figures",
    "with_label_errors": "label_errors",
    "with_map_picture": "map_picture",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
