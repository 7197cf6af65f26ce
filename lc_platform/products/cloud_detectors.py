"""The ways to find clouds: what each looks at, and the masks it makes of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from lc_platform.cube import Window, windows
from lc_platform.eo import clouds
from lc_platform.products.options import DetectionOptions
from lc_platform.products.raw_bands import AcquisitionStack

TILE = 2048
"""Pixels along the side of the windows that are looked at, and stored, together."""

Masks = dict[str, NDArray[Any]]
"""By layer, (y, x) each."""


class Detector(Protocol):
    """How clouds are found: what is looked at is read apart from what is made of it."""

    layers: ClassVar[tuple[str, ...]]

    @property
    def looks(self) -> Iterator[tuple[int, Window | None]]:
        """Times and windows, in order; None for the whole patch."""
        ...

    def see(self, time: int, window: Window | None) -> Any:
        """Read what the masks of a look are made of."""
        ...

    def masks(
        self, time: int, window: Window | None, seen: Any
    ) -> Iterator[tuple[Window, Masks]]: ...


@dataclass(frozen=True)
class S2Cloudless:
    raw: AcquisitionStack
    threshold: float
    average_over: int
    dilation: int
    threads: int

    layers: ClassVar[tuple[str, ...]] = ("cloud_probability", "cloud_mask", "valid")

    def _reflectance(self, window: Window | None, time: int) -> NDArray[np.float32]:
        """(1, band, y, x), NaN where there is no data."""
        looked_at = self.raw.detector
        reflectance = looked_at.reflectance(window, [time], clouds.DETECTOR_BANDS)
        data = looked_at.data_mask(window, [time])
        if not data.all():
            reflectance[np.broadcast_to(~data[:, None], reflectance.shape)] = np.nan
        return reflectance

    def _found(
        self, reflectance: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Probability and mask, (1, y, x) each."""
        probability = clouds.s2cloudless_probability(reflectance, threads=self.threads)
        return probability, clouds.s2cloudless_mask(
            probability, self.threshold, self.average_over, self.dilation
        )


class AtFullResolution(S2Cloudless):
    @property
    def looks(self) -> Iterator[tuple[int, Window | None]]:
        for time in range(len(self.raw)):
            for window in windows(self.raw.geobox.shape, TILE):
                yield time, window

    def _wide(self, window: Window) -> Window:
        margin = clouds.detector_margin(self.average_over, self.dilation)
        return _widened(window, margin, self.raw)

    def see(self, time: int, window: Window | None) -> NDArray[np.float32]:
        assert window is not None
        return self._reflectance(self._wide(window), time)

    def masks(
        self, time: int, window: Window | None, seen: NDArray[np.float32]
    ) -> Iterator[tuple[Window, Masks]]:
        assert window is not None
        probability, cloud = self._found(seen)
        rows, columns = (
            slice(s.start - w.start, s.stop - w.start)
            for s, w in zip(window, self._wide(window), strict=True)
        )
        probability, cloud = probability[0, rows, columns], cloud[0, rows, columns]
        yield (
            window,
            _with_validity(self.raw, window, time, probability, cloud, ~np.isnan(probability)),
        )


class AtItsOwn(S2Cloudless):
    @property
    def looks(self) -> Iterator[tuple[int, Window | None]]:
        return ((time, None) for time in range(len(self.raw)))

    def see(self, time: int, window: Window | None) -> NDArray[np.float32]:
        return self._reflectance(window, time)

    def masks(
        self,
        time: int,
        window: Window | None,  # noqa: ARG002
        seen: NDArray[np.float32],
    ) -> Iterator[tuple[Window, Masks]]:
        probability, cloud = self._found(seen)
        looked = ~np.isnan(probability)
        coarse = self.raw.detector.geobox
        for here in windows(self.raw.geobox.shape, TILE):
            fine = self.raw.geobox[here]
            yield (
                here,
                _with_validity(
                    self.raw,
                    here,
                    time,
                    clouds.probability_to_grid(probability, coarse, fine)[0],
                    clouds.mask_to_grid(cloud, coarse, fine)[0],
                    clouds.mask_to_grid(looked, coarse, fine)[0],
                ),
            )


def _widened(window: Window, margin: int, raw: AcquisitionStack) -> Window:
    """A window and ``margin`` pixels around it, as far as the stack has them."""
    rows, columns = (
        slice(max(s.start - margin, -raw.margin), min(s.stop + margin, length + raw.margin))
        for s, length in zip(window, raw.geobox.shape, strict=True)
    )
    return rows, columns


def _with_validity(
    raw: AcquisitionStack,
    window: Window,
    time: int,
    probability: NDArray[np.float32],
    cloud: NDArray[np.bool_],
    looked: NDArray[np.bool_],
) -> Masks:
    data = raw.data_mask(window, [time])[0]
    return {
        "cloud_probability": np.where(data, probability, np.float32(np.nan)),
        "cloud_mask": cloud & data,
        "valid": data & looked & ~cloud,
    }


@dataclass(frozen=True)
class Told:
    """Clouds that bands of the archive tell, window by window."""

    raw: AcquisitionStack

    layers: ClassVar[tuple[str, ...]] = ("cloud_probability", "cloud_mask", "valid")
    bands: ClassVar[tuple[str, ...]]

    @property
    def looks(self) -> Iterator[tuple[int, Window | None]]:
        for time in range(len(self.raw)):
            for window in windows(self.raw.geobox.shape, TILE):
                yield time, window

    def see(self, time: int, window: Window | None) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """The bands (band, y, x), and where there are data (y, x)."""
        told = self.raw.digital_numbers(window, [time], self.bands)[0].astype(np.uint8)
        return told, self.raw.data_mask(window, [time])[0]


class Scl(Told):
    layers: ClassVar[tuple[str, ...]] = (
        "cloud_probability",
        "cloud_mask",
        "shadow_mask",
        "snow_mask",
        "valid",
    )
    bands: ClassVar[tuple[str, ...]] = ("SCL",)

    def masks(
        self,
        time: int,  # noqa: ARG002
        window: Window | None,
        seen: tuple[NDArray[np.uint8], NDArray[np.bool_]],
    ) -> Iterator[tuple[Window, Masks]]:
        assert window is not None
        (scl,), data = seen
        masks = clouds.scl_masks(scl)
        probability = np.where(data, masks.cloud.astype(np.float32), np.float32(np.nan))
        yield (
            window,
            {
                "cloud_probability": probability,
                "cloud_mask": masks.cloud & data,
                "shadow_mask": masks.shadow & data,
                "snow_mask": masks.snow & data,
                "valid": masks.clear & data,
            },
        )


class Provider(Told):
    """Sentinel Hub's CLP, a probability in steps of 1/255, and CLM: 1 cloud, 0 none, 255 unknown.

    See https://docs.sentinel-hub.com/api/latest/user-guides/cloud-masks/
    """

    bands: ClassVar[tuple[str, ...]] = ("CLP", "CLM")

    def masks(
        self,
        time: int,  # noqa: ARG002
        window: Window | None,
        seen: tuple[NDArray[np.uint8], NDArray[np.bool_]],
    ) -> Iterator[tuple[Window, Masks]]:
        assert window is not None
        (probability, mask), data = seen
        known = data & (mask != 255)
        yield (
            window,
            {
                "cloud_probability": np.where(
                    known, probability / np.float32(255), np.float32(np.nan)
                ),
                "cloud_mask": known & (mask == 1),
                "valid": known & (mask == 0),
            },
        )


def detector_of(raw_bands: AcquisitionStack, options: DetectionOptions) -> Detector:
    """The detector of the method that the options name.

    Raises ValueError where there is none.
    """
    if options.method == "s2cloudless":
        where = AtFullResolution if raw_bands.detector is raw_bands else AtItsOwn
        return where(
            raw_bands,
            options.threshold,
            options.average_over,
            options.dilation,
            options.threads,
        )
    if options.method == "scl":
        return Scl(raw_bands)
    if options.method == "provider":
        return Provider(raw_bands)
    raise ValueError(
        f"clouds.method: {options.method} is not there; take s2cloudless, scl or provider"
    )
