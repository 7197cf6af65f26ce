"""Networks of series: as PyTorch has them, as ONNX, and by hand."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import softmax

from lc_platform.config.model import NETWORK_DEFAULTS
from lc_platform.eo import classification_methods, network_training
from lc_platform.eo.classification_methods import Member, from_text
from lc_platform.eo.training_table import TrainingTable

torch = pytest.importorskip("torch", reason="could not import torch")
pytest.importorskip("onnxruntime")

DAYS = (1, 49, 97, 145, 193, 241)
NAMES = (*(f"{band}_{day:03d}" for day in DAYS for band in ("B04", "B08", "NDVI")), "NDVI_p50")
IDS = (2, 5, 7, 9)
PARAMETERS: dict[str, dict[str, Any]] = {
    "tempcnn": {"epochs": 4, "batch_size": 64, "filters": 16, "units": 32, "dropout": 0.1},
    "ltae": {"epochs": 4, "batch_size": 64, "channels": 32, "heads": 4, "units": 32},
}


def parameters(method: str) -> dict[str, Any]:
    return {**NETWORK_DEFAULTS[method], "learning_rate": 0.01, **PARAMETERS[method]}


def samples(seed: int, count: int = 600) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Classes that differ by when they are green; a class 7 that no sample has."""
    rng = np.random.default_rng(seed)
    labels = np.array([2, 5, 9], np.uint8)[rng.integers(0, 3, count)]
    days = np.repeat(DAYS, 3)
    season = np.sin(days / 60 + labels[:, None]) * np.tile([300, 900, 0.3], len(DAYS))
    values = np.column_stack([season, labels * 0.0])
    values = values + rng.normal(size=values.shape) * np.array([*np.tile([90, 270, 0.09], 6), 1])
    values[rng.random(values.shape) < 0.1] = np.nan
    return values.astype(np.float32), labels


def table() -> TrainingTable:
    values, labels = samples(1)
    return TrainingTable.of(values, labels, feature_names=NAMES, class_ids=IDS, balanced=True)


@pytest.mark.parametrize("method", ["tempcnn", "ltae"])
def test_a_network_is_the_same_in_pytorch_and_run_without_it(
    method: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = network_training.fitted(method, table(), parameters(method), seed=4)
    asked, labels = samples(2)
    with torch.no_grad():
        expected = network(torch.from_numpy(asked)).numpy()
    found = network_training.train(method, table(), parameters(method), seed=4)
    text = found.to_text()
    assert network_training.exported(network, len(NAMES)) == found.content
    for name in [name for name in sys.modules if name.split(".")[0] == "torch"]:
        monkeypatch.setitem(sys.modules, name, None)
    alone = from_text(text, IDS, NAMES, found.parameters)
    probabilities = alone.probabilities(asked)
    np.testing.assert_allclose(probabilities, expected, atol=1e-5)
    assert (np.array(IDS)[probabilities.argmax(axis=1)] == labels).mean() > 0.8
    assert probabilities[:, 2].max() == 0
    np.testing.assert_array_equal(alone.probabilities(asked[7:90]), probabilities[7:90])
    other = asked.copy()
    other[:, -1] = 1e6
    np.testing.assert_array_equal(alone.probabilities(other), probabilities)


def test_attention_is_that_of_the_paper_by_hand() -> None:
    """Garnot and Landrieu (2020), equations 1 to 5."""
    network = network_training.fitted("ltae", table(), parameters("ltae"), seed=4)
    state = {name: value.double().numpy() for name, value in network.state_dict().items()}
    asked, _ = samples(3, 20)
    series = asked[:, :-1].reshape(20, len(DAYS), 3)
    normal = np.nan_to_num((series - state["mean"][:, 0]) / state["deviation"][:, 0])
    channels = normal @ state["network.embedding.0.weight"].T + state["network.embedding.0.bias"]
    channels -= channels.mean(axis=-1, keepdims=True)
    channels /= np.sqrt((channels**2).mean(axis=-1, keepdims=True) + 1e-5)
    channels = channels * state["network.embedding.1.weight"] + state["network.embedding.1.bias"]
    channels = np.maximum(channels, 0)
    found = []
    for head in range(4):
        group = channels[..., 8 * head : 8 * head + 8].copy()
        for i in range(8):
            group[..., i] += np.sin(np.array(DAYS) / 1000 ** (i / 8) + np.pi / 2 * (i % 2))
        keys = group @ state["network.keys"][head]
        scores = (keys @ state["network.query"][head])[..., 0] / np.sqrt(8)
        found.append((softmax(scores, axis=1)[..., None] * group).sum(axis=1))
    hidden = np.concatenate(found, axis=1)
    hidden = hidden @ state["network.layers.0.weight"].T + state["network.layers.0.bias"]
    mean, variance = (state[f"network.layers.1.running_{name}"] for name in ("mean", "var"))
    hidden = (hidden - mean) / np.sqrt(variance + 1e-5)
    hidden = hidden * state["network.layers.1.weight"] + state["network.layers.1.bias"]
    scores = np.maximum(hidden, 0) @ state["network.layers.4.weight"].T
    scores += state["network.layers.4.bias"] + state["offsets"]
    with torch.no_grad():
        probabilities = network(torch.from_numpy(asked)).numpy()
    np.testing.assert_allclose(probabilities, softmax(scores, axis=1), atol=1e-5)


def test_networks_that_are_trained_side_by_side_are_the_same_and_can_be_combined() -> None:
    from lc_platform.runtime.threads import side_by_side

    def trained(seed: int, _threads: int) -> bytes:
        return network_training.train("ltae", table(), parameters("ltae"), seed=seed).content

    first, second, other = side_by_side(trained, [4, 4, 5], 2, 3)
    assert first == second != other
    values, labels = samples(1)
    both = classification_methods.train(
        "combined", values, labels, feature_names=NAMES, parameters={}, seed=1,
        members=[Member("ltae", 2.0, parameters("ltae")), Member("discriminant")], threads=1,
    )  # fmt: skip
    again = from_text(both.to_text(), both.class_ids, NAMES, both.parameters)
    np.testing.assert_array_equal(again.probabilities(values), both.probabilities(values))
