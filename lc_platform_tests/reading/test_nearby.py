"""What is read with the ground around it is what is stored, and is read once."""

from __future__ import annotations

import uuid

import numpy as np
import pytest

from lc_platform.reading.nearby import NearbyCube, around
from lc_platform.storage.store import Store
from lc_platform.storage.zarr_cube import ZarrCube, write
from lc_platform_tests.storage.test_zarr_cube import ARRAYS, KEY, two_grids


def test_windows_are_what_is_stored_and_neighbours_are_not_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = Store(f"memory://{uuid.uuid4().hex}")
    write(store, KEY, two_grids())
    cube = ZarrCube(store, KEY)
    near = NearbyCube(cube, around(2**20))
    asked = []
    read = cube.read
    monkeypatch.setattr(cube, "read", lambda *a, **k: asked.append(a) or read(*a, **k))
    for window, count in (
        ((slice(33, 34), slice(40, 41)), 1),
        ((slice(63, 64), slice(32, 33)), 0),  # the same square
        ((slice(299, 300), slice(519, 520)), 1),  # at the edge
        ((slice(298, 299), slice(516, 520)), 0),
        ((slice(20, 40), slice(40, 41)), 1),  # across two squares
    ):
        asked.clear()
        found = near.read("reflectance", window, band=[1])
        np.testing.assert_array_equal(found, ARRAYS["reflectance"][:, [1]][(..., *window)])
        assert len(asked) == count
    np.testing.assert_array_equal(near.read("mask"), ARRAYS["mask"])
