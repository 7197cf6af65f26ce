"""What people see: metadata in the UI, small pictures, figures."""

from lc_platform.report.figures import with_confusion_matrix, with_figure
from lc_platform.report.metadata import describer

__all__ = ["describer", "with_confusion_matrix", "with_figure"]
