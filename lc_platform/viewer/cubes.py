"""Imagery and clouds of the store while they are looked at: opened once, each in one version."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from lc_platform.artefacts.layout import Partition, key
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.reading.reader import Reader
from lc_platform.runtime.bounded_cache import BoundedCache

_OPEN = 96
"""Cubes that are open at the same time."""
_SECONDS = 3.0
"""For which what an object store has said of a cube is believed."""
_numbers = itertools.count()
_Handle = TypeVar("_Handle", AcquisitionStack, CloudMasks)


@dataclass(frozen=True, eq=False)
class Opened(Generic[_Handle]):
    """A patch's artefact, in one version of it."""

    handle: _Handle
    number: int
    """Of this opening of it; no other has it."""
    physical: str
    """Where this version lies."""


class Cubes:
    """The imagery and the clouds of patches, as they are now; several threads may ask at once."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._imagery: BoundedCache[Partition, tuple[Opened[AcquisitionStack], float]]
        self._masks: BoundedCache[Partition, tuple[Opened[CloudMasks], float]]
        self._imagery, self._masks = BoundedCache(_OPEN), BoundedCache(_OPEN)

    def imagery(self, where: Partition) -> Opened[AcquisitionStack]:
        """Return a patch's year of imagery. Raises MissingArtefactError where it is not made yet,
        other StorageErrors where it is damaged or cannot be reached."""
        return self._get(self._imagery, "raw_bands", where, self._reader.artefacts.imagery)

    def masks(self, where: Partition) -> Opened[CloudMasks]:
        """Return a patch's year of clouds; errors as of `imagery`."""
        return self._get(self._masks, "cloud_masks", where, self._reader.artefacts.masks)

    def forget(self) -> None:
        """Open every cube again when it is asked for next."""
        self._imagery.clear()
        self._masks.clear()

    def _get(
        self,
        cache: BoundedCache[Partition, tuple[Opened[_Handle], float]],
        asset: str,
        where: Partition,
        open_it: Callable[[Partition], _Handle],
    ) -> Opened[_Handle]:
        store = self._reader.store
        kept = cache.get(where)
        if kept is not None and not store.local and time.monotonic() - kept[1] < _SECONDS:
            return kept[0]
        physical = store.physical(key(asset, where.patch, where.year))
        if kept is not None and kept[0].physical == physical:
            opened = kept[0]
        else:
            opened = Opened(open_it(where), next(_numbers), physical)
        cache.put(where, (opened, time.monotonic()))
        return opened
