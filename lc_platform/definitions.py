"""The platform that Dagster loads: the configuration that LC_PLATFORM_CONFIG names."""

from __future__ import annotations

from lc_platform import config
from lc_platform.graph import build

defs = build(config.current())
