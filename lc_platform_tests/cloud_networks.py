"""A package ukis_csmask with small networks, where what counts is not what they find."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from lc_platform.eo import cloud_network, csmask
from lc_platform.eo.csmask import BANDS, TILE

MEAN, DEVIATION = 0.2, 0.1


def small_network(bands: int) -> bytes:
    """Return a network whose clouds are bright and whose shadows are dark, each beside its
    neighbours and beside the mean of the whole tile."""
    weights = np.zeros((3, bands, 3, 3), np.float32)
    weights[1], weights[2] = 1 / (9 * bands), -1.5 / (9 * bands)
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["near"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["near"], ["all"]),
        helper.make_node("Mul", ["all", "share"], ["some"]),
        helper.make_node("Sub", ["near", "some"], ["y"]),
    ]
    constants: dict[str, Any] = {
        "w": weights,
        "b": np.array([0.9, 0, 1.5], np.float32),
        "share": np.array(0.3, np.float32),
    }
    shape = ["batch", bands, TILE, TILE]
    graph = helper.make_graph(
        nodes,
        "clouds",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3, TILE, TILE])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    content: bytes = model.SerializeToString()
    return content


def write_package(folder: Path) -> Path:
    """Write the package into a folder of modules as release 1.0 lays it out, and return its
    own folder."""
    package = folder / "ukis_csmask"
    package.mkdir()
    (package / "__init__.py").write_text('__version__ = "1.0.0"\n', encoding="utf-8")
    for level in ("l1c", "l2a"):
        for count in (4, 6):
            stem = package / f"model_{count}b_{level}"
            stem.with_suffix(".onnx").write_bytes(small_network(count))
            image = [[MEAN] * count, [DEVIATION] * count]
            statistics = {"img": image, "band_names": BANDS[:count]}
            about = {"data": {"dataset_statistics": statistics, "target_size": [TILE, TILE]}}
            stem.with_suffix(".json").write_text(json.dumps(about), encoding="utf-8")
    return package


@contextmanager
def small_networks(folder: Path) -> Iterator[Path]:
    """Write the package into a folder, and have it in place of an installed one."""
    package = write_package(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        # What is imported meanwhile is forgotten again.
        patch.setitem(sys.modules, csmask.PACKAGE, ModuleType(csmask.PACKAGE))
        del sys.modules[csmask.PACKAGE]
        csmask._digest.cache_clear()
        cloud_network.network.cache_clear()
        yield package
    cloud_network.network.cache_clear()
