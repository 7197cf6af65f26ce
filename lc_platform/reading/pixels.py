"""What the artefacts hold of one pixel."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TypeVar

import pandas as pd

from lc_platform.artefacts.layout import Partition, key
from lc_platform.eo.indices import Index
from lc_platform.errors import PlatformError
from lc_platform.products.handle import PatchYearHandle
from lc_platform.reading import story
from lc_platform.reading.artefacts import Artefacts
from lc_platform.reading.nearby import NearbyCube, around
from lc_platform.reading.open_artefacts import of_one_version
from lc_platform.reading.places import Pixel
from lc_platform.reading.story import MapPixel, ReferencePixel, Story
from lc_platform.storage.errors import UnavailableError
from lc_platform.storage.zarr_cube import ZarrCube

_AT_ONCE = 8
"""Parts of stories that are read at the same time."""
_AROUND = 96 * 2**20
"""Bytes of the ground around pixels that were read last."""
_Read = TypeVar("_Read")
_Handle = TypeVar("_Handle", bound=PatchYearHandle)


class Pixels:
    """Reads what artefacts hold of a pixel; what was opened stays open for the next one.

    What each method gives is of one version of its artefact. Raises MissingArtefactError where
    that is not made yet, NotFoundError for a year that is not there.
    """

    def __init__(self, artefacts: Artefacts, indices: Sequence[Index]) -> None:
        self._artefacts = artefacts
        self._indices = indices
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="story")
        self._around = around(_AROUND)
        # Of their own: a part waits for its layers.
        self._layers = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="layers")

    def observations(self, pixel: Pixel, year: int, series: str | None = None) -> pd.DataFrame:
        """Return a row an acquisition, see `story.observations`; what is of masks or features that
        are not made yet is unknown."""
        here = self._artefacts.partition("raw_bands", pixel.patch.key, year)

        def read() -> pd.DataFrame:
            raw_bands = self._near(self._artefacts.imagery(here))
            masks = self._artefacts.if_made(lambda: self._near(self._artefacts.masks(here)))
            features = self._artefacts.if_made(lambda: self._artefacts.zarr("features", here))
            used = None if features is None else features.attributes["acquisitions"]
            return story.observations(
                pixel, raw_bands, masks, used, self._indices, self._layers, series
            )

        return of_one_version(read)

    def features(self, pixel: Pixel, year: int) -> pd.DataFrame:
        """Return what the classifier reads, a row a date, a column a feature."""
        here = self._artefacts.partition("features", pixel.patch.key, year)

        def read() -> pd.DataFrame:
            return story.features_of(pixel, self._near(self._artefacts.features(here)))

        return of_one_version(read)

    def _near(self, handle: _Handle) -> _Handle:
        if not isinstance(handle.cube, ZarrCube):  # features that are computed from imagery
            return handle
        return replace(handle, cube=NearbyCube(handle.cube, self._around))

    def map(self, pixel: Pixel, year: int) -> MapPixel:
        """Return what the map says."""
        here = self._artefacts.partition("predictions", pixel.patch.key, year)
        path = key("predictions", here.patch, here.year)

        def read() -> MapPixel:
            predictions = self._artefacts.raster("predictions", here)
            legends = self._artefacts.legends(path, predictions)
            return story.of_map(pixel, predictions, legends.get("class", self._artefacts.legend))

        return of_one_version(read)

    def reference(self, pixel: Pixel) -> ReferencePixel:
        """Return what the reference says."""
        patch = pixel.patch.key
        path = key("reference_rasters", patch)

        def read() -> ReferencePixel:
            reference = self._artefacts.raster("reference_rasters", Partition(patch))
            legend = self._artefacts.stored_legends(path).get(1, self._artefacts.legend)
            return story.of_reference(pixel, reference, legend)

        return of_one_version(read)

    def story(
        self,
        pixel: Pixel,
        longitude: float,
        latitude: float,
        year: int,
        series: str | None = None,
    ) -> Story:
        """Return all that is known of the pixel at a place, and what is not made yet or damaged.

        series  see `story.observations`

        Raises UnavailableError where the store cannot be reached.
        """
        year = self._artefacts.year(year)
        missing: list[str] = []
        observations = self._pool.submit(self.observations, pixel, year, series)
        features = self._pool.submit(self.features, pixel, year)
        reference = self._pool.submit(self.reference, pixel)
        of_years = {
            each: self._pool.submit(self.map, pixel, each) for each in self._artefacts.years
        }
        maps = {
            each: found
            for each, asked in of_years.items()
            if (found := _part(asked, missing if each == year else [])) is not None
        }
        observed = _part(observations, missing)
        # Not among its attributes, of which pandas makes a copy for each column that is taken.
        names = [] if observed is None else observed.attrs.pop("series")
        return Story(
            pixel,
            longitude,
            latitude,
            year,
            observed,
            names,
            _part(features, missing),
            maps,
            _part(reference, missing),
            list(dict.fromkeys(missing)),
        )


def _part(asked: Future[_Read], missing: list[str]) -> _Read | None:
    try:
        return asked.result()
    except UnavailableError:
        raise
    except PlatformError as error:
        missing.append(str(error))
        return None
