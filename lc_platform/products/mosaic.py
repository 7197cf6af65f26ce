"""Patches joined into one map, window by window, across CRSs too."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lc_platform.area.grid import Patch
from lc_platform.cube import Summary, Thumbnail, windows
from lc_platform.errors import DataError
from lc_platform.products import map_polygons
from lc_platform.products.applicable_area import APPLICABILITY, ApplicableArea
from lc_platform.products.joining import WINDOW, check_grids, grid_of, join
from lc_platform.products.map_styles import qml, sld
from lc_platform.products.model import common_version
from lc_platform.products.options import MosaicOptions
from lc_platform.products.reference_rasters import colored
from lc_platform.storage.raster_cube import Draft, RasterCube, palette, rgba, tiled
from lc_platform.storage.staging import Staging

LAND_COVER = "land_cover.tif"
CONFIDENCE = "confidence.tif"
APPLICABLE = "applicability.tif"
APPLICABLE_SHARES = "applicability.json"
POLYGONS = "land_cover.parquet"
VALID_OBSERVATIONS = "valid_observations.tif"
PICTURE = "land_cover.png"
STYLE_QGIS = "land_cover.qml"
STYLE_OGC = "land_cover.sld"
_PICTURE_SIZE = 1000
"""Pixels of the map along the longer side of its picture, at most."""


@dataclass
class Mosaic:
    """A country's map of a year, to be joined from its patches."""

    year: int
    patches: Sequence[Patch]
    """All patches of the grid; those without a prediction stay no data."""
    predictions: Mapping[str, RasterCube]
    statistics: Mapping[str, RasterCube]
    options: MosaicOptions
    model_version: str | None = None
    """The version all predictions must carry, where it is known."""
    summary: Summary = field(default_factory=Summary)
    drawn: Callable[[NDArray[np.uint8], Mapping[int, int]], bytes] | None = None
    """Draws the map's picture (PNG) of its classes (y, x), fewer than there are in the map, and the
    number of the map's pixels by class."""

    def write(self, staging: Staging) -> int:
        """Write the maps: classes, as polygons too where they are asked for, confidence, valid
        observations, and applicability where all predictions have it, with its shares by class
        and patch; the styles of the classes; and their picture where one is drawn. Returns the
        maps' bytes.

        Raises DataError where there is no prediction, or predictions of several models.
        """
        predicted = [p for p in self.patches if p.key in self.predictions]
        if not predicted:
            raise DataError(
                f"{self.year}: no patch has a prediction. Materialize predictions first"
            )
        version = common_version(
            {p.key: str(self.predictions[p.key].attributes["model_version"]) for p in predicted},
            self.model_version,
        )
        options = self.options
        crs = options.crs or Counter(p.crs for p in predicted).most_common(1)[0][0]
        grid = grid_of(self.patches, crs)
        inside = options.area.on(grid) if options.area is not None else None
        picture, larger = Thumbnail(grid.shape, 1), Thumbnail(grid.shape, 1, _PICTURE_SIZE)
        counts = np.zeros(256, dtype=np.int64)
        colormap = {0: (0, 0, 0, 0)} | {i: rgba(c) for i, (_, c) in options.classes.items()}

        def land_cover() -> int:
            with staging.file(f"{LAND_COVER}.aux.xml") as path:
                path.write_text(palette(options.classes, 1), encoding="utf-8")
            for name, style in ((STYLE_QGIS, qml), (STYLE_OGC, sld)):
                with staging.file(name) as path:
                    path.write_text(style(options.classes), encoding="utf-8")
            with ExitStack() as files:
                path, polygons = files.enter_context(staging.file(LAND_COVER)), None
                if options.polygons:
                    table = files.enter_context(staging.file(POLYGONS))
                    polygons = files.enter_context(
                        map_polygons.written(table, grid, options.classes, self.year)
                    )
                with tiled(path, grid, ["class"], "uint8", 0, colormap, "mode") as target:
                    join(target, predicted, grid, self.predictions, "class", inside)
                    for window in windows(grid.shape, WINDOW):
                        values = target.read(window)
                        if polygons is not None:
                            polygons.add(window, values)
                        counts[:] += np.bincount(values.ravel(), minlength=256)
                        picture.update(window, values[None])
                        larger.update(window, values[None])
                    target.tag(year=self.year, model_version=version, patches=len(predicted))
                    beside = applicability(target) if judged else 0
                return path.stat().st_size + beside

        def applicability(classes: Draft) -> int:
            with staging.file(APPLICABLE) as path:
                name = APPLICABILITY
                with tiled(path, grid, [name], "uint8", 0, overviews="average") as target:
                    seen = applicable.add_patch
                    join(target, predicted, grid, self.predictions, name, inside, seen)
                    for window in windows(grid.shape, WINDOW):
                        applicable.add(classes.read(window), target.read(window))
                return path.stat().st_size

        def confidence() -> int:
            with staging.file(CONFIDENCE) as path:
                with tiled(path, grid, ["confidence"], "uint8", 0, overviews="average") as target:
                    join(target, predicted, grid, self.predictions, "confidence", inside)
                return path.stat().st_size

        def valid_observations() -> int:
            seen = [p for p in predicted if p.key in self.statistics]
            name = "valid_observations"
            with staging.file(VALID_OBSERVATIONS) as path:
                with tiled(path, grid, [name], "uint16", overviews="average") as target:
                    join(target, seen, grid, self.statistics, name, inside)
                return path.stat().st_size

        judged = all(APPLICABILITY in self.predictions[p.key].layers for p in predicted)
        applicable = ApplicableArea()
        for cubes in (self.predictions, self.statistics):
            check_grids(predicted, cubes)
        # One after the other: two at once would be a little faster, and hold twice the memory.
        size = land_cover() + confidence() + valid_observations()
        if self.drawn is not None:
            pixels = {i: int(counts[i]) for i in options.classes if counts[i]}
            with staging.file(PICTURE) as path:
                path.write_bytes(self.drawn(larger.values[0].astype(np.uint8), pixels))
        if judged:
            names = {i: name for i, (name, _) in options.classes.items()}
            with staging.file(APPLICABLE_SHARES) as path:
                path.write_text(json.dumps(applicable.to_dict(names), indent=2), encoding="utf-8")
            self.summary.facts |= {
                "share_outside_applicability": applicable.share_outside,
                "share_outside_applicability_by_class": applicable.by_class(names),
            }
        missing = [p.key for p in self.patches if p.key not in self.predictions]
        self.summary.picture = colored(picture.values[0].astype(np.uint8), options.classes)
        self.summary.facts |= {
            "patches": len(predicted),
            "patches_missing": len(missing),
            "missing": ", ".join(missing[:20]) + (" ..." if len(missing) > 20 else ""),
            "rows": grid.shape[0],
            "columns": grid.shape[1],
            "crs": crs,
            "model_version": version,
            "class_pixels": {
                name: int(counts[i]) for i, (name, _) in options.classes.items() if counts[i]
            },
        }
        return size
