"""What is read with the ground around it is what is stored, and is read once."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import numpy as np
import pytest

from lc_platform.cube import MAIN, Block, Layer, LazyCube, Summary, whole
from lc_platform.reading.nearby import NearbyCube, around
from lc_platform.storage.store import Store
from lc_platform.storage.zarr_cube import ZarrCube, write
from lc_platform_tests.storage.artefacts import geobox, noise

KEY = "features/2020/p.zarr"
SHAPE = (3, 2, 300, 520)
STORED = noise(1, SHAPE, "uint16")


def stored() -> ZarrCube:
    grid = geobox(*SHAPE[-2:])

    def blocks(_: Summary) -> Iterator[Block]:
        yield Block("values", (slice(0, 3), slice(0, 2)), whole(grid), STORED)

    labels = {"date": np.arange(3), "feature": np.array(["a", "b"])}
    layer = Layer(("date", "feature"), "uint16", chunks=(3, 2), compressed=(1, 2))
    store = Store(f"memory://{uuid.uuid4().hex}")
    write(store, KEY, LazyCube({MAIN: grid}, {"values": layer}, blocks, labels, {}))
    return ZarrCube(store, KEY)


def test_windows_are_what_is_stored_and_neighbours_are_not_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cube = stored()
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
        found = near.read("values", window, feature=[1])
        np.testing.assert_array_equal(found, STORED[:, [1]][(..., *window)])
        assert len(asked) == count
    np.testing.assert_array_equal(near.read("values"), STORED)
