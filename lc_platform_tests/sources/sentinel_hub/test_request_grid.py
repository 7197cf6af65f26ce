import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from lc_platform.sources.sentinel_hub.request_grid import divided, joined, pieces, points_a_side


def grid(rows: int, columns: int, metres: float = 10.0, crs: str = "EPSG:32633") -> GeoBox:
    return GeoBox((rows, columns), Affine(metres, 0, 460_000, 0, -metres, 5_100_000), crs)


@pytest.mark.parametrize(
    ("metres", "native", "points"),
    [(5, 10, 1), (10, 10, 1), (15, 10, 1), (20, 10, 2), (80, 10, 4), (10, 30, 1), (80, 30, 2)],
)
def test_from_twice_as_coarse_on_a_pixel_has_several_points(
    metres: float, native: float, points: int
) -> None:
    assert points_a_side(grid(4, 4, metres), native) == points


def test_degrees_are_taken_for_what_they_are_in_metres() -> None:
    # 0.001 degrees at 60 degrees north are 56 m.
    degrees = GeoBox((1, 1), Affine(0.001, 0, 15, 0, -0.001, 60), "EPSG:4326")
    assert points_a_side(degrees, 14.0) == 3  # 55.7 / 14 = 3.98


def test_pieces_cover_a_grid_once() -> None:
    whole = grid(60, 101)
    times = np.zeros(whole.shape, int)
    for (rows, columns), piece in pieces(whole, 25):
        times[rows, columns] += 1
        assert max(piece.shape) <= 25
        assert piece.extent.boundingbox.left == 460_000 + 10 * columns.start
        assert piece.extent.boundingbox.top == 5_100_000 - 10 * rows.start
    assert (times == 1).all()


def test_a_divided_grid_has_the_same_extent() -> None:
    assert divided(grid(5, 7, 80), 4) == grid(20, 28, 20)


def test_valid_points_are_averaged_and_rounded_half_up() -> None:
    values = np.array([[[1, 2, 9, 9], [4, 65535, 9, 9]]], np.uint16)
    valid = np.array([[1, 1, 0, 0], [1, 0, 0, 0]], bool)
    found, seen = joined(values, valid, 2, [False])
    assert found.tolist() == [[[2, 0]]]  # 7 / 3 = 2.33
    assert seen.tolist() == [[True, False]]
    half = joined(np.array([[[1, 2], [1, 2]]], np.uint16), np.ones((2, 2), bool), 2, [False])
    assert half[0].tolist() == [[[2]]]


def test_a_classification_has_the_valid_point_nearest_to_the_centre() -> None:
    values = np.arange(9, dtype=np.uint16).reshape(1, 3, 3)
    valid = np.ones((3, 3), bool)
    assert joined(values, valid, 3, [True])[0].tolist() == [[[4]]]
    valid[1, 1] = valid[0, 1] = False
    assert joined(values, valid, 3, [True])[0].tolist() == [[[3]]]
    valid[:] = False
    valid[2, 2] = True
    assert joined(values, valid, 3, [True])[0].tolist() == [[[8]]]
