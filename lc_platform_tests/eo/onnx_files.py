"""ONNX files as other programs export them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper


def file_of(
    nodes: list[Any],
    features: int,
    classes: int,
    *,
    constants: dict[str, NDArray[Any]] | None = None,
    domains: tuple[str, ...] = (),
) -> bytes:
    """Return a file that makes ``y`` (pixel, class) of ``x`` (pixel, feature)."""
    graph = helper.make_graph(
        nodes,
        "model",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["pixel", features])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["pixel", classes])],
        [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", 17), *(helper.make_opsetid(one, 1) for one in domains)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def linear(weights: NDArray[np.float32], *, softmax: bool = True) -> bytes:
    """Return a file whose scores are features (pixel, feature) times weights (feature, class)."""
    name = "scores" if softmax else "y"
    nodes = [helper.make_node("MatMul", ["x", "w"], [name])]
    if softmax:
        nodes.append(helper.make_node("Softmax", ["scores"], ["y"], axis=1))
    return file_of(nodes, *weights.shape, constants={"w": weights})


def with_unknown_operation(features: int, classes: int, *, domain: str = "") -> bytes:
    """Return a file with an operation that onnxruntime does not have."""
    node = helper.make_node("Wavelet", ["x"], ["y"], domain=domain)
    return file_of([node], features, classes, domains=(domain,) if domain else ())


def with_labels_alone(features: int) -> bytes:
    """Return a file that names the class of a pixel, without probabilities."""
    graph = helper.make_graph(
        [helper.make_node("ArgMax", ["x"], ["label"], axis=1, keepdims=0)],
        "model",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["pixel", features])],
        [helper.make_tensor_value_info("label", TensorProto.INT64, ["pixel"])],
    )
    opset = helper.make_opsetid("", 17)
    content: bytes = helper.make_model(
        graph, opset_imports=[opset], ir_version=8
    ).SerializeToString()
    onnx.checker.check_model(onnx.load_from_string(content))
    return content
