"""Jobs, schedules, sensors and completeness checks."""

from lc_platform.assets.jobs import COMPLETENESS, DESCRIPTIONS, JOBS, jobs
from lc_platform.automation.schedules import schedules
from lc_platform.automation.sensors import sensors
from lc_platform.monitoring.completeness import completeness_checks, freshness

__all__ = [
    "COMPLETENESS",
    "DESCRIPTIONS",
    "JOBS",
    "completeness_checks",
    "freshness",
    "jobs",
    "schedules",
    "sensors",
]
