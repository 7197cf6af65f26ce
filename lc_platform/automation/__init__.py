"""What the platform does by itself: jobs, schedules, sensors, standing checks."""

from lc_platform.assets.jobs import DESCRIPTIONS, JOBS, STANDING, jobs
from lc_platform.automation.schedules import schedules
from lc_platform.automation.sensors import sensors
from lc_platform.monitoring.completeness import freshness, standing_checks

__all__ = [
    "DESCRIPTIONS",
    "JOBS",
    "STANDING",
    "freshness",
    "jobs",
    "schedules",
    "sensors",
    "standing_checks",
]
