"""What masks are judged by in the simulated archive: the sun, shadows, and bright ground."""

from __future__ import annotations

import numpy as np
import pytest

from lc_platform.catalogue import SENTINEL2_BANDS
from lc_platform.eo.sun import towards_sun
from lc_platform.sources.simulated import SimulatedArchive
from lc_platform_tests.sources.simulated_patch import acquisitions, archive, grid


def test_the_suns_angles_are_those_that_shadows_are_drawn_by() -> None:
    coarse, size, rim = grid(600_000, 5_200_000, 96, 80.0), 96, 36
    judged = 0
    # Around midsummer no shadow lies further from its cloud than the rim is wide.
    for acquisition in (a for a in acquisitions() if a.datetime.month in (6, 7)):
        thick, thin, shadow = archive().cloud_truth(acquisition, coarse)
        rows, columns = np.nonzero(shadow[rim:-rim, rim:-rim])
        if not 50 < len(rows) < 400:
            continue
        assert acquisition.sun is not None
        east, north = towards_sun(*acquisition.sun)
        shares = []
        for height in np.arange(1000, 5001, 100):
            row = rows + rim - round(north * height / 80)
            column = columns + rim + round(east * height / 80)
            assert max(row.max(), column.max()) < size
            shares.append((thick | thin)[row, column].mean())
        assert max(shares) > 0.97, shares
        judged += 1
        if judged == 2:
            return
    pytest.fail("too few shadows to judge by")


def test_bright_surfaces_are_where_they_are_said_to_be_and_change_nothing_else() -> None:
    town = grid(600_000, 5_200_000, 256)
    bright = SimulatedArchive(bright=0.7)
    where = bright.bright_truth(town)
    assert 0.005 < where.mean() < 0.3
    assert set(np.unique(archive().truth(town)[where])) <= {9, 10}
    assert not archive().bright_truth(town).any()
    np.testing.assert_array_equal(bright.truth(town), archive().truth(town))
    # On a clear day in summer, the latest of a year that is drawn without clouds.
    day = next(a for a in acquisitions() if a.datetime.month == 7)
    here, there = (
        SimulatedArchive(bright=share, cloudiness=0.0).read(day, town, SENTINEL2_BANDS).values
        for share in (0.7, 0.0)
    )
    np.testing.assert_array_equal(here[:, ~where], there[:, ~where])
    blue, cirrus = SENTINEL2_BANDS.index("B02"), SENTINEL2_BANDS.index("B10")
    assert here[blue][where].mean() > 2.5 * there[blue][where].mean()
    assert here[cirrus][where].mean() < 60


def test_a_part_of_a_bright_town_has_the_pixels_of_the_whole() -> None:
    bright = SimulatedArchive(bright=0.7)
    whole = grid(600_000, 5_200_000, 40)
    part = whole[3:11, 5:19]
    day = acquisitions()[7]
    np.testing.assert_array_equal(
        bright.read(day, part, ["B03"]).values,
        bright.read(day, whole, ["B03"]).values[:, 3:11, 5:19],
    )
    np.testing.assert_array_equal(bright.bright_truth(part), bright.bright_truth(whole)[3:11, 5:19])
