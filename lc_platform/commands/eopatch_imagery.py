"""What of an EOPatch is imagery: its bands, where it has data, and where there are clouds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.catalogue import DataType
from lc_platform.eo import clouds
from lc_platform.sources.eopatches.arrays import StoredArray
from lc_platform.sources.eopatches.eopatch import EOPatch
from lc_platform.sources.protocol import SourceError

CloudMethod = Literal["s2cloudless", "scl", "provider"]
"""Values of `clouds.method` that imported imagery may have."""
SCENE_CLASSES, CLOUD_MASK, CLOUD_PROBABILITY = "SCL", "CLM", "CLP"
"""Bands of the archive, and the features of an EOPatch that they come from by default."""
_OF_DATA = ("IS_DATA", "dataMask")
"""The masks that say where there is data, by their usual names."""
_MASKS = ("mask", "data")
_UNKNOWN = 255
"""In a mask of clouds, as Sentinel Hub has it."""
_REFLECTANCE = 2.0
"""Half of all pixels are never brighter than this, as clouds are not."""
_SENTINEL2_SCALE = 0.0001


@dataclass(frozen=True)
class Selection:
    """What of EOPatches is imported, and what they do not tell of it."""

    bands: tuple[str, ...]
    """The channels of the imagery, in their order."""
    collection: str
    """What the imagery is of, as `imagery.collection` has it."""
    feature: str | None = None
    """The imagery's feature; by default the one of so many channels."""
    scale: float | None = None
    """Reflectance of a digital number; by default 1 of floating-point numbers, and 0.0001 of whole
    numbers of Sentinel-2."""
    offset: float = 0.0
    """Reflectance of the digital number 0."""
    data_mask: str | None = None
    """The mask that is true where there is data; by default `IS_DATA` or `dataMask`. Without one,
    a pixel that is 0 in all bands has none, and one that is no number in any."""
    clouds: str | None = None
    """The mask that is true where there are clouds; by default `CLM`."""
    cloudless: bool = False
    """Whether there are no clouds, as in composites and where the data mask leaves them out."""
    reference: str | None = None
    """The map of classes that becomes the reference."""


class Acquired(NamedTuple):
    """An acquisition of an EOPatch."""

    when: datetime
    layers: dict[str, NDArray[Any]]
    """Band -> (y, x), with the type's value of `NO_DATA` where there is none."""
    cloud_cover: float | None
    """Percent; None where nothing says where clouds are."""


def no_data(dtype: np.dtype[Any]) -> float:
    """Return what stands for no data in the files: a value that reflectance has not."""
    if dtype.kind == "f":
        return float("nan")
    limits = np.iinfo(dtype)
    return limits.max if dtype.kind == "u" else limits.min


class Imagery:
    """The imagery of one EOPatch, as a selection takes it.

    method  by which clouds are told; by default the one that the EOPatch has masks for
    Raises SourceError naming the EOPatch or its file where it has not what is asked for.
    """

    def __init__(
        self, eopatch: EOPatch, selection: Selection, method: CloudMethod | None = None
    ) -> None:
        self._eopatch, self._selection = eopatch, selection
        self._bands = self._imagery()
        self.geobox: GeoBox = eopatch.geobox(self._bands)
        self.data_type = _data_type(self._bands)
        self.scale = self._scale()
        self._data = self._mask(selection.data_mask, _OF_DATA)
        self.method = method or self._method()
        self._classes = self._clouds = self._probability = None
        if self.method == "scl":
            self._classes = self._mask(SCENE_CLASSES, ())
        if self.method == "provider" and not selection.cloudless:
            self._clouds = self._mask(selection.clouds or CLOUD_MASK, ())
            if selection.clouds is None:
                self._probability = self._mask(None, (CLOUD_PROBABILITY,))
        self.left_out = 0
        """Acquisitions without data, or that were never written: they are not imported."""

    def __len__(self) -> int:
        """The number of acquisitions."""
        return self._bands.shape[0]

    def acquisitions(self) -> Iterator[Acquired]:
        """Yield those that have data, in the EOPatch's order."""
        others = (self._data, self._classes, self._clouds, self._probability)
        frames = [_each(one, len(self)) for one in others]
        self.left_out = 0
        for index, (when, numbers, data, classes, mask, probability) in enumerate(
            zip(self._eopatch.times, self._bands.frames(), *frames, strict=True)
        ):
            if numbers is None:
                self.left_out += 1
                continue
            for array, frame in zip(others, (data, classes, mask, probability), strict=True):
                if array is not None and frame is None:
                    raise SourceError(
                        f"{array.path}: acquisition {index} ({when:%Y-%m-%d %H:%M}) was never "
                        f"written, and {self._bands.path} has it. Save it again"
                    )
            valid = self._valid(numbers, data)
            if not valid.any():
                self.left_out += 1
                continue
            layers = self._layers(numbers, valid)
            layers |= self._masks(valid, classes, mask, probability)
            yield Acquired(when, layers, _cloud_cover(layers, valid))

    def _imagery(self) -> StoredArray:
        eopatch, count = self._eopatch, len(self._selection.bands)
        if self._selection.feature is not None:
            found = eopatch.feature(self._selection.feature, ("data",))
            if found.shape[-1] != count:
                raise SourceError(
                    f"{found.path}: it has {found.shape[-1]} channels, and --bands names {count} "
                    f"({', '.join(self._selection.bands)}). Name each channel, in their order"
                )
            return found
        names = eopatch.names(("data",))
        if not names:
            raise SourceError(
                f"{eopatch.path}: it has no feature of data, and so no imagery. Leave it out"
            )
        arrays = {name: eopatch.feature(name, ("data",)) for name in names}
        fitting = [name for name, one in arrays.items() if one.shape[-1] == count]
        if len(fitting) != 1:
            has = ", ".join(f"{name} has {one.shape[-1]}" for name, one in arrays.items())
            which = "none is of so many" if not fitting else f"{' and '.join(fitting)} are"
            raise SourceError(
                f"{eopatch.path}: --bands names {count} channels, and {which} ({has}). Name each "
                "channel of the imagery, in their order, and the feature by --feature"
            )
        return arrays[fitting[0]]

    def _scale(self) -> float:
        if self._selection.scale is not None:
            return self._selection.scale
        if self.data_type == "float32":
            return 1.0
        if self._selection.collection.startswith("sentinel-2"):
            return _SENTINEL2_SCALE
        raise SourceError(
            f"{self._bands.path}: it holds whole numbers ({self._bands.dtype}), and nothing says "
            f"which reflectance they are in {self._selection.collection}. Give it by --scale, such "
            "as --scale 0.0001"
        )

    def _method(self) -> CloudMethod:
        selection, eopatch = self._selection, self._eopatch
        level_2a, level_1c = ("l2a" in selection.collection), ("l1c" in selection.collection)
        if selection.cloudless or selection.clouds is not None:
            return "provider"
        if level_2a and eopatch.find(SCENE_CLASSES, _MASKS):
            return "scl"
        if eopatch.find(CLOUD_MASK, _MASKS):
            return "provider"
        if level_1c and set(clouds.DETECTOR_BANDS) <= set(selection.bands):
            return "s2cloudless"
        raise SourceError(
            f"{eopatch.path}: nothing says where its clouds are: it has neither {CLOUD_MASK} nor, "
            f"of Sentinel-2 L2A, {SCENE_CLASSES}, and has not the ten bands of Sentinel-2 L1C that "
            "clouds are found by. Name its mask by --clouds, or say --no-clouds where there are "
            f"none. It has the masks {', '.join(eopatch.names(('mask',))) or 'of nothing'}"
        )

    def _mask(self, name: str | None, usual: Sequence[str]) -> StoredArray | None:
        """Return the feature of one channel that is named, or else of a usual name."""
        if name is None:
            named = (one for one in usual if self._eopatch.find(one, _MASKS))
            name = next(named, None)
        if name is None:
            return None
        found = self._eopatch.feature(name, _MASKS)
        if found.shape[1:] != (*self.geobox.shape, 1):
            raise SourceError(
                f"{found.path}: its shape is {found.shape}, and beside {self._bands.path.name}, "
                f"whose shape is {self._bands.shape}, a mask has "
                f"{(len(self), *self.geobox.shape, 1)}. Save it again"
            )
        return found

    def _valid(self, numbers: NDArray[Any], data: NDArray[Any] | None) -> NDArray[np.bool_]:
        """Return where there is data, (y, x)."""
        valid: NDArray[np.bool_] = (
            (numbers != 0).any(axis=-1) if data is None else data[..., 0] != 0
        )
        if numbers.dtype.kind == "f":
            valid &= np.isfinite(numbers).all(axis=-1)
        return valid

    def _layers(self, numbers: NDArray[Any], valid: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
        dtype = np.dtype(self.data_type)
        found = numbers[valid]
        if dtype.kind == "f" and self._selection.scale is None:
            middle = float(np.median(found))
            if middle > _REFLECTANCE:
                raise SourceError(
                    f"{self._bands.path}: half of its numbers are above {middle:g}, and "
                    "reflectance is from 0 to about 1. Say by --scale which reflectance a number "
                    "is, such as --scale 0.0001"
                )
        elif dtype.kind != "f" and not np.can_cast(numbers.dtype, dtype):
            limits = np.iinfo(dtype)
            if found.min() < limits.min or found.max() > limits.max:
                raise SourceError(
                    f"{self._bands.path}: it holds {numbers.dtype} from {found.min()} to "
                    f"{found.max()}, and digital numbers are from {limits.min} to {limits.max}. "
                    "Save it again as uint16, int16 or float32"
                )
        planes = np.where(valid, np.moveaxis(numbers, -1, 0), no_data(dtype))
        return dict(zip(self._selection.bands, planes.astype(dtype), strict=True))

    def _masks(
        self,
        valid: NDArray[np.bool_],
        classes: NDArray[Any] | None,
        mask: NDArray[Any] | None,
        probability: NDArray[Any] | None,
    ) -> dict[str, NDArray[Any]]:
        """Return the bands that clouds are told by."""
        if self._classes is not None and classes is not None:
            if classes.min() < 0 or classes.max() > 11:
                raise SourceError(
                    f"{self._classes.path}: it holds {classes.min()} to {classes.max()}, and the "
                    "scene classification has classes from 0 to 11. Name a mask of clouds by "
                    "--clouds"
                )
            return {SCENE_CLASSES: np.where(valid, classes[..., 0], 0).astype(np.uint8)}
        if self.method != "provider":
            return {}
        cloud = np.zeros(valid.shape, np.uint16)
        if self._clouds is not None and mask is not None:
            known = np.unique(mask)
            if not np.isin(known, (0, 1, _UNKNOWN)).all():
                raise SourceError(
                    f"{self._clouds.path}: it holds {known[~np.isin(known, (0, 1, _UNKNOWN))][0]}, "
                    "and a mask of clouds has 0 (none), 1 (cloud) and 255 (not known). Name "
                    "another by --clouds"
                )
            cloud = mask[..., 0].astype(np.uint16)
        chance = np.where(cloud == 1, 255, 0)
        if self._probability is not None and probability is not None:
            told = self._of_255(self._probability, probability[..., 0])
            chance = np.where(told < 0, chance, told)
        none = no_data(np.dtype(np.uint16))
        return {
            CLOUD_PROBABILITY: np.where(valid, chance, none).astype(np.uint16),
            CLOUD_MASK: np.where(valid, cloud, none).astype(np.uint16),
        }

    @staticmethod
    def _of_255(array: StoredArray, found: NDArray[Any]) -> NDArray[np.int32]:
        """Return a probability in steps of 1/255; -1 where it is no number."""
        known = np.isfinite(found)
        most = 1.0 if found.dtype.kind == "f" else 255.0
        if ((found < 0) | (found > most))[known].any():
            raise SourceError(
                f"{array.path}: it holds {found[known].min():g} to {found[known].max():g}, and a "
                f"probability in {found.dtype} is from 0 to {most:g}. Name the mask by --clouds, "
                "and it is left out"
            )
        scaled = np.where(known, found * (255.0 / most), -1)
        return np.rint(scaled).astype(np.int32)


def _each(array: StoredArray | None, count: int) -> Iterator[NDArray[Any] | None]:
    return iter([None] * count) if array is None else array.frames()


def _data_type(array: StoredArray) -> DataType:
    if array.dtype.kind == "f":
        return "float32"
    if array.dtype.kind == "b":
        raise SourceError(
            f"{array.path}: it holds truth values, which are no imagery. Name the imagery by "
            "--feature"
        )
    return "int16" if array.dtype in (np.int8, np.int16) else "uint16"


def _cloud_cover(layers: dict[str, NDArray[Any]], valid: NDArray[np.bool_]) -> float | None:
    if SCENE_CLASSES in layers:
        cloud = clouds.scl_masks(layers[SCENE_CLASSES]).cloud
    elif CLOUD_MASK in layers:
        cloud = layers[CLOUD_MASK] == 1
    else:
        return None
    return round(100.0 * float(cloud[valid].mean()), 2)
