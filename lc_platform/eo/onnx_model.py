"""Classifiers as ONNX files, run by onnxruntime: an extra of the platform."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.errors import PlatformError
from lc_platform.runtime.threads import parallel_for

BATCH = 1024
"""Pixels that are always run together, filled up where there are fewer: a matrix product sums in
another order for another number of rows, and a pixel's probabilities must not depend on which
others are asked for with it."""
_TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64}
_ABSENT = re.compile(r"implementation for|No Op registered|not a registered|No opset import")
"""What onnxruntime says of an operation that it does not have."""
_CONTENT = re.compile(r'onnx\\*": \\*"([A-Za-z0-9+/=]+)\\*"')
_KEPT_APART = re.compile(r'(onnx\\*": \\*")file:([\w.]+)')


@dataclass(frozen=True, eq=False)
class OnnxModel:
    """A network, or another model, that gives the probability of each class."""

    content: bytes
    """Of the file."""
    class_ids: tuple[int, ...]
    """Ascending; the class of each column of the probabilities."""
    feature_names: tuple[str, ...]
    """In the order of the file's input."""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    """What it was trained with, as far as it is known."""

    def probabilities(
        self, features: NDArray[np.float32], *, threads: int = 0
    ) -> NDArray[np.float32]:
        """Return (pixel, class), 0 to 1, of features (pixel, feature), NaN where missing. Those of
        a pixel do not depend on other pixels, to the bit."""
        session, given, asked = self._session
        kind, sides = _TYPES[given.type], given.shape[1:]
        shape = sides if all(isinstance(side, int) for side in sides) else [features.shape[1]]
        size = given.shape[0] if isinstance(given.shape[0], int) else BATCH
        found = np.empty((len(features), len(self.class_ids)), np.float32)

        def part(some: slice) -> None:
            batch = np.zeros((size, features.shape[1]), kind)
            count = some.stop - some.start
            batch[:count] = features[some]
            (values,) = session.run([asked.name], {given.name: batch.reshape(size, *shape)})
            found[some] = values[:count]

        parallel_for(part, len(features), size, threads)
        return found

    def importance(self) -> NDArray[np.float64]:
        """Return 1 for every feature, (feature,): the file does not say how much each counts."""
        return np.ones(len(self.feature_names))

    def to_text(self) -> str:
        """Return JSON that holds the file."""
        return json.dumps({"onnx": base64.b64encode(self.content).decode()})

    @cached_property
    def _session(self) -> tuple[Any, Any, Any]:
        """A session, its input and the output that is asked for.

        Raises ValueError where onnxruntime cannot run the file, or it is no classifier of these
        features and classes.
        """
        session = open_session(self.content)
        given = session.get_inputs()
        if len(given) != 1 or given[0].type not in _TYPES or len(given[0].shape) < 2:
            raise ValueError(
                "its inputs are "
                + (", ".join(f"{one.name} {one.type} {one.shape}" for one in given) or "none")
                + ": there must be one of floats, (pixel, feature)"
            )
        sides = given[0].shape[1:]
        width = int(np.prod(sides)) if all(isinstance(s, int) for s in sides) else None
        if width is not None and width != len(self.feature_names):
            raise ValueError(
                f"it reads {width} features, and its card has {len(self.feature_names)}. Give in "
                "its card the features that it was trained on, in the order of its input"
            )
        tables = [
            one for one in session.get_outputs() if one.type in _TYPES and len(one.shape) == 2
        ]
        named = [one for one in tables if "prob" in one.name.lower()]
        if not tables:
            raise ValueError(
                "none of its outputs ("
                + ", ".join(f"{one.name} {one.type}" for one in session.get_outputs())
                + ") is a table of floats (pixel, class). Export it with one; skl2onnx does so "
                "with the option zipmap: False"
            )
        asked = (named or tables)[0]
        if isinstance(asked.shape[1], int) and asked.shape[1] != len(self.class_ids):
            raise ValueError(
                f"it tells {asked.shape[1]} classes apart, and its card has {len(self.class_ids)}. "
                "Give in its card the classes that it was trained on, in the order of its output"
            )
        return session, given[0], asked

    def check(self) -> None:
        """Raises ValueError where onnxruntime cannot run the file, or it does not fit."""
        assert self._session


class MissingPackageError(PlatformError):
    """A package that only an extra of the platform brings is not installed."""


def check_installed() -> None:
    """Raises MissingPackageError where there is no onnxruntime."""
    try:
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise MissingPackageError(
            "model: onnxruntime, which runs ONNX models, is not installed: "
            "`pip install 'lc-platform[onnx]'`"
        ) from error


def open_session(content: bytes) -> Any:
    """Return a session of an ONNX file that runs on the thread that asks it.

    Raises MissingPackageError where there is no onnxruntime, and ValueError where it cannot run the
    file.
    """
    check_installed()
    import onnxruntime
    from onnxruntime.capi import onnxruntime_pybind11_state as states

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # pixels are dealt to threads
    options.log_severity_level = 4
    refused = tuple(
        getattr(states, name)
        for name in ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NotImplemented",
                     "RuntimeException")
    )  # fmt: skip
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except refused as error:
        said = " ".join(str(error).partition(" : ")[2].split()) or str(error)
        if _ABSENT.search(said):
            raise ValueError(
                f"it has an operation that onnxruntime {onnxruntime.__version__} lacks ({said}). "
                "Export it with operations of ONNX's own, or of an earlier opset"
            ) from error
        raise ValueError(f"onnxruntime {onnxruntime.__version__} refuses it ({said})") from error


def from_text(
    text: str,
    class_ids: Sequence[int],
    feature_names: Sequence[str],
    parameters: Mapping[str, Any] | None = None,
) -> OnnxModel:
    """Return a classifier from its JSON and what its model card says of it.

    Raises ValueError where the text is none.
    """
    try:
        content = base64.b64decode(json.loads(text)["onnx"], validate=True)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"The text is no ONNX model: {error}") from error
    return OnnxModel(content, tuple(class_ids), tuple(feature_names), dict(parameters or {}))


def detached(text: str, name: str) -> tuple[str, dict[str, bytes]]:
    """Return a classifier's text without the ONNX files in it, and these by the names that now
    stand in their place, so that other programs can open them.

    name  of the first file; others are numbered
    """
    files: dict[str, bytes] = {}
    stem, _, ending = name.rpartition(".")

    def out(found: re.Match[str]) -> str:
        own = f"{stem}_{len(files)}.{ending}" if files else name
        files[own] = base64.b64decode(found[1])
        return found[0].replace(found[1], f"file:{own}")

    return _CONTENT.sub(out, text), files


def kept_apart(text: str) -> list[str]:
    """Return the names of the files that were `detached` from a text."""
    return [found[1] for found in _KEPT_APART.findall(text)]


def attached(text: str, files: Mapping[str, bytes]) -> str:
    """Return a text with the files that were `detached` in it again."""
    return _KEPT_APART.sub(
        lambda found: found[1] + base64.b64encode(files[found[2]]).decode(), text
    )
