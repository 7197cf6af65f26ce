import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from lc_platform.sources.oversampling import divided, mean_of_points


def test_a_divided_grid_has_the_same_extent() -> None:
    assert divided(
        GeoBox((5, 7), Affine(80, 0, 460_000, 0, -80, 5_100_000), "EPSG:32633"), 4
    ) == GeoBox((20, 28), Affine(20, 0, 460_000, 0, -20, 5_100_000), "EPSG:32633")


def test_valid_points_are_averaged_and_rounded_half_up() -> None:
    values = np.array([[[1, 2, 9, 9], [4, 65535, 9, 9]]], np.uint16)
    valid = np.array([[1, 1, 0, 0], [1, 0, 0, 0]], bool)
    found, seen = mean_of_points(values, valid, 2)
    assert found.tolist() == [[[2, 0]]]  # 7 / 3 = 2.33
    assert seen.tolist() == [[True, False]]
    half = mean_of_points(np.array([[[1, 2], [1, 2]]], np.uint16), np.ones((2, 2), bool), 2)
    assert half[0].tolist() == [[[2]]]


def test_a_classification_has_the_valid_point_nearest_to_the_centre() -> None:
    values = np.arange(9, dtype=np.uint16).reshape(1, 3, 3)
    valid = np.ones((3, 3), bool)
    assert mean_of_points(values, valid, 3, [True])[0].tolist() == [[[4]]]
    valid[1, 1] = valid[0, 1] = False
    assert mean_of_points(values, valid, 3, [True])[0].tolist() == [[[3]]]
    valid[:] = False
    valid[2, 2] = True
    assert mean_of_points(values, valid, 3, [True])[0].tolist() == [[[8]]]
