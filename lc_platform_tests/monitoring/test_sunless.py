"""Acquisitions under a sun below the horizon are told of by a run and by `status`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lc_platform.commands.status import status
from lc_platform.sources.simulated import atmosphere
from lc_platform_tests.artefacts.snapshots import run
from lc_platform_tests.graphs import configured

pytestmark = [pytest.mark.slow, pytest.mark.proof]


def test_a_run_and_status_name_an_acquisition_under_a_sun_below_the_horizon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {"shadows": True, "shadow_reach": 400, "resolution": 80}
    config = configured(tmp_path, 2, 1, clouds=few, imagery={"max_cloud_cover": 60})
    real = atmosphere.sun_angles

    def at_midsummer_it_is_night(now: Any, latitude: Any) -> Any:
        azimuth, elevation = real(now, latitude)
        return azimuth, -2.5 if now.declination > 0.3 else elevation

    monkeypatch.setattr(atmosphere, "sun_angles", at_midsummer_it_is_night)
    report = run(config, select=["patch_grid", "raw_bands", "cloud_masks"])
    assert report.succeeded, report.failures
    assert report.warnings
    for line in report.warnings:
        assert line.startswith(tuple(f"acquisition S2A_20230{month}" for month in (5, 6, 7))), line
        assert ": the sun stands 2.5 degrees below the horizon, and no shadow of a cloud is" in line
        key = line.split()[1]
        assert line.endswith(f"Leave it out by imagery.exclude: [{key}]")
    assert any(" and 1 more patch: " in line for line in report.warnings)
    (row,) = (row for row in status(config) if row.asset == "cloud_masks")
    assert row.warnings == report.warnings
