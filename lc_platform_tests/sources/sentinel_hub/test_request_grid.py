import numpy as np
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox

from lc_platform.sources.sentinel_hub.request_grid import pieces, points_a_side


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
