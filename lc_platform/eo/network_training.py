"""Networks of series, trained by PyTorch and kept as ONNX, which onnxruntime runs without it."""

from __future__ import annotations

import io
import math
import threading
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from lc_platform.eo import onnx_model
from lc_platform.eo.linear_model import NEVER
from lc_platform.eo.onnx_model import MissingPackageError, OnnxModel
from lc_platform.eo.series_layout import SeriesLayout
from lc_platform.eo.training_table import TrainingTable
from lc_platform.runtime.progress import tell

if TYPE_CHECKING:
    from lc_platform.eo.temporal_networks import Classifier

Kind = Literal["tempcnn", "ltae"]
_OPSET = 17
_LOCK = threading.Lock()
"""Held where PyTorch has one state for all threads: its first random numbers, and its exporter."""


def train(
    kind: Kind, table: TrainingTable, parameters: Mapping[str, Any], *, seed: int
) -> OnnxModel:
    """Train a network; the same samples, parameters and seed give the same one on one machine.

    table       of features on dates, and others, which are not read
    parameters  ``epochs``, ``batch_size``, ``learning_rate`` and ``weight_decay`` of Adam, and
                those of the network, see `temporal_networks`

    One thread trains, however many there are: sums of several come out otherwise.

    Raises ValueError where no feature is on a date, MissingPackageError where PyTorch or
    onnxruntime is not installed.
    """
    network = fitted(kind, table, parameters, seed=seed)
    return OnnxModel(
        exported(network, len(table.feature_names)),
        table.class_ids,
        table.feature_names,
        dict(parameters),
    )


def fitted(
    kind: Kind, table: TrainingTable, parameters: Mapping[str, Any], *, seed: int
) -> Classifier:
    """Return the network as PyTorch has it; see `train`."""
    layout = SeriesLayout.of(table.feature_names)
    try:
        import torch

        from lc_platform.eo.temporal_networks import NETWORKS, Classifier
    except ImportError as error:
        raise MissingPackageError(
            f"model: PyTorch, which trains {kind}, is not installed: "
            "`pip install 'lc-platform[networks]'`"
        ) from error
    onnx_model.check_installed()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(seed)
    mean, deviation = _moments(table, layout)
    offsets = np.where(table.counts > 0, 0.0, NEVER)
    with _LOCK:
        torch.manual_seed(seed)
        network = NETWORKS[kind](layout, len(table.class_ids), parameters, generator)
    classifier = Classifier(
        network, layout, *(torch.tensor(a, dtype=torch.float32) for a in (mean, deviation, offsets))
    )
    values, labels = torch.from_numpy(table.whole()), torch.from_numpy(table.positions)
    weights = None if table.weights is None else torch.from_numpy(table.weights).float()
    descent = torch.optim.Adam(
        network.parameters(),
        lr=parameters["learning_rate"],
        weight_decay=parameters["weight_decay"],
    )
    loss_of = torch.nn.CrossEntropyLoss(reduction="none")
    size, epochs = int(parameters["batch_size"]), int(parameters["epochs"])
    steps = max(1, math.ceil(len(labels) / size))
    classifier.train()
    for epoch in range(epochs):
        order = torch.randperm(len(labels), generator=generator)
        # Batches of about the same size: a last one of one sample has no variance.
        for rows in torch.tensor_split(order, steps):
            if len(rows) < 2:
                continue
            descent.zero_grad()
            losses = loss_of(classifier.scores(values[rows]), labels[rows])
            if weights is not None:
                losses = losses * weights[rows]
            losses.mean().backward()
            descent.step()
        tell("epochs", epoch + 1, epochs)
    classifier.eval()
    return classifier


def exported(classifier: Classifier, features: int) -> bytes:
    """Return a network as an ONNX file: from features (pixel, feature), NaN where missing, to
    probabilities (pixel, class)."""
    import torch

    content = io.BytesIO()
    with _LOCK, warnings.catch_warnings():
        # The newer exporter needs another package, and writes the same operations.
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.onnx.export(
            classifier,
            (torch.zeros(2, features),),
            content,
            input_names=["features"],
            output_names=["probabilities"],
            dynamic_axes={"features": {0: "pixel"}, "probabilities": {0: "pixel"}},
            opset_version=_OPSET,
            dynamo=False,
        )
    return content.getvalue()


def _moments(
    table: TrainingTable, layout: SeriesLayout
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean and the standard deviation of each band and index over all dates, (signal,);
    1 of one that does not vary."""
    total, squares, known = (np.zeros(len(layout.signals)) for _ in range(3))
    for part in table.parts:
        for signal, positions in enumerate(layout.positions):
            total[signal] += np.nansum(part[:, positions], dtype=np.float64)
            known[signal] += np.count_nonzero(~np.isnan(part[:, positions]))
    known = np.maximum(known, 1)
    means = total / known
    for part in table.parts:
        for signal, positions in enumerate(layout.positions):
            squares[signal] += np.nansum((part[:, positions] - means[signal]) ** 2)
    deviations = np.sqrt(squares / known)
    return means, np.where(deviations > 1e-9 * np.maximum(np.abs(means), 1e-6), deviations, 1.0)
