"""Networks that read a pixel's series, bands by dates: TempCNN and L-TAE.

TempCNN: Pelletier, C., Webb, G. I. and Petitjean, F. (2019). Temporal convolutional neural network
for the classification of satellite image time series. Remote Sensing 11(5), 523.

L-TAE: Garnot, V. S. F. and Landrieu, L. (2020). Lightweight temporal self-attention for classifying
satellite image time series. Advanced Analytics and Learning on Temporal Data (AALTD), 171-181.

This module needs PyTorch; nothing but the training of such a network imports it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lc_platform.eo.series_layout import SeriesLayout

_PERIOD = 1000.0
"""The longest wavelength of L-TAE's positional encoding is 2 pi times as many days."""


class Dropout(nn.Module):  # type: ignore[misc]
    """Dropout whose draws come from a generator of its own: several networks that are trained side
    by side do not share one."""

    def __init__(self, share: float, generator: torch.Generator) -> None:
        super().__init__()
        self._share, self._generator = share, generator

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or self._share == 0:
            return values
        kept = torch.rand(values.shape, generator=self._generator) >= self._share
        return values * kept / (1 - self._share)


class TempCNN(nn.Module):  # type: ignore[misc]
    """Three convolutions along time, a dense layer, and the scores of the classes."""

    def __init__(
        self,
        layout: SeriesLayout,
        classes: int,
        parameters: Mapping[str, Any],
        generator: torch.Generator,
    ) -> None:
        """``parameters``: ``filters`` of each convolution, ``kernel_size`` in dates, ``units`` of
        the dense layer, ``dropout``, a share."""
        super().__init__()
        filters, size = parameters["filters"], parameters["kernel_size"]
        units, share = parameters["units"], parameters["dropout"]
        layers: list[nn.Module] = []
        width = len(layout.signals)
        for _ in range(3):
            layers += [
                nn.Conv1d(width, filters, size, padding="same"),
                nn.BatchNorm1d(filters),
                nn.ReLU(),
                Dropout(share, generator),
            ]
            width = filters
        layers += [
            nn.Flatten(),
            nn.Linear(filters * len(layout.days), units),
            nn.BatchNorm1d(units),
            nn.ReLU(),
            Dropout(share, generator),
            nn.Linear(units, classes),
        ]
        self.layers = nn.Sequential(*layers)

    def forward(self, series: Tensor) -> Tensor:
        """Return scores (pixel, class) of (pixel, signal, date)."""
        return self.layers(series)


class LTAE(nn.Module):  # type: ignore[misc]
    """Each date's bands as channels, dates attended to by a learnt query a head, each head of a
    group of channels, and the scores of the classes."""

    def __init__(
        self,
        layout: SeriesLayout,
        classes: int,
        parameters: Mapping[str, Any],
        generator: torch.Generator,
    ) -> None:
        """``parameters``: ``channels`` of a date, ``heads`` that they are dealt to, ``key_size``,
        ``units`` of the dense layer, ``dropout``, a share."""
        super().__init__()
        channels, heads = parameters["channels"], parameters["heads"]
        units, share = parameters["units"], parameters["dropout"]
        self._heads, self._group = heads, channels // heads
        self._scale = parameters["key_size"] ** -0.5
        self.embedding = nn.Sequential(
            nn.Linear(len(layout.signals), channels), nn.LayerNorm(channels), nn.ReLU()
        )
        self.register_buffer("position", _position(layout.days, self._group))
        self.keys = nn.Parameter(torch.empty(heads, self._group, parameters["key_size"]))
        self.query = nn.Parameter(torch.empty(heads, parameters["key_size"], 1))
        nn.init.normal_(self.keys, std=(2 / self._group) ** 0.5)
        nn.init.normal_(self.query, std=(2 / parameters["key_size"]) ** 0.5)
        self.attention_dropout = Dropout(share, generator)
        self.layers = nn.Sequential(
            nn.Linear(channels, units),
            nn.BatchNorm1d(units),
            nn.ReLU(),
            Dropout(share, generator),
            nn.Linear(units, classes),
        )

    def forward(self, series: Tensor) -> Tensor:
        """Return scores (pixel, class) of (pixel, signal, date)."""
        dates = series.shape[2]
        channels = self.embedding(series.transpose(1, 2))
        groups = channels.reshape(-1, dates, self._heads, self._group).transpose(1, 2)
        groups = groups + self.position  # (pixel, head, date, channel of its group)
        scores = torch.matmul(torch.matmul(groups, self.keys), self.query) * self._scale
        weights = self.attention_dropout(torch.softmax(scores, dim=2))
        found = (weights * groups).sum(dim=2)
        return self.layers(found.reshape(-1, self._heads * self._group))


def _position(days: Sequence[int], size: int) -> Tensor:
    """Return the encoding of days of the year, (date, channel): the same for every head."""
    channel = torch.arange(size, dtype=torch.float64)
    day = torch.tensor(list(days), dtype=torch.float64)[:, None]
    phase = torch.pi / 2 * (channel % 2)
    return torch.sin(day / _PERIOD ** (channel / size) + phase).float()


class Classifier(nn.Module):  # type: ignore[misc]
    """A network with what stands before and behind it: features as the platform has them, missing
    ones too, become probabilities."""

    def __init__(
        self,
        network: nn.Module,
        layout: SeriesLayout,
        mean: Tensor,
        deviation: Tensor,
        offsets: Tensor,
    ) -> None:
        """
        mean, deviation  (signal,), of the samples; a missing value counts as the mean
        offsets          (class,), added to the scores: what makes a class that no sample has never
                         the most probable
        """
        super().__init__()
        self.network = network
        self._shape = (len(layout.signals), len(layout.days))
        self.register_buffer("positions", torch.tensor(layout.positions.ravel()))
        self.register_buffer("mean", mean[:, None])
        self.register_buffer("deviation", deviation[:, None])
        self.register_buffer("offsets", offsets)

    def scores(self, features: Tensor) -> Tensor:
        """Return (pixel, class) of features (pixel, feature), NaN where missing."""
        series = torch.index_select(features, 1, self.positions).reshape(-1, *self._shape)
        series = (series - self.mean) / self.deviation
        series = torch.where(torch.isnan(series), torch.zeros_like(series), series)
        return self.network(series) + self.offsets

    def forward(self, features: Tensor) -> Tensor:
        """Return probabilities, likewise."""
        return torch.softmax(self.scores(features), dim=1)


NETWORKS: dict[str, type[TempCNN] | type[LTAE]] = {"tempcnn": TempCNN, "ltae": LTAE}
"""By the name of their method."""
