"""The demonstration: the whole graph on the simulated archive, compared with its truth."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from odc.geo.geom import Geometry

from lc_platform.area import patches as area
from lc_platform.area.grid import Patch
from lc_platform.area.options import SplitOptions
from lc_platform.artefacts.layout import key
from lc_platform.commands.new_configuration import write
from lc_platform.config import FILE_NAME, Config, ConfigError, load, template
from lc_platform.runtime.progress import at, track
from lc_platform.sources import open_source
from lc_platform.sources.simulated import SimulatedArchive
from lc_platform.storage.raster_cube import RasterCube
from lc_platform.storage.store import Store


def prepare(folder: Path) -> Config:
    """Write the demo's configuration and reference into a folder; existing files are kept."""
    file = folder / FILE_NAME
    if not file.exists():
        write(folder, template("simulated"))
    config = load(file)
    if config.imagery.source != "simulated":
        raise ConfigError(
            f"{file}: is no demo's, as its imagery.source is {config.imagery.source}. Give another "
            f"folder, or make its map: lc-platform run -c {file}"
        )
    write_reference(config)
    return config


def write_reference(config: Config) -> Path | None:
    """Write the simulated archive's reference of the configured area to the file that the
    configuration names, unless it exists; return the file, None if none is named."""
    if config.reference.path is None:
        return None
    path = Path(config.located(config.reference.path, "reference.path"))
    if not path.exists():
        patches, _ = area.patches(SplitOptions.of(config))
        with at("reference", path.name, last=True):
            # Under another name until it is whole: an existing file is used as it is.
            staged = path.with_name(f".{os.getpid()}-{path.name}")
            try:
                _archive(config).write_reference(staged, _around(patches))
                staged.replace(path)
            finally:
                staged.unlink(missing_ok=True)
    return path


def _archive(config: Config) -> SimulatedArchive:
    archive = open_source(config)
    assert isinstance(archive, SimulatedArchive)
    return archive


def _around(patches: list[Patch]) -> Geometry:
    first = patches[0]
    box = first.geobox.extent
    for patch in patches[1:]:
        box = (box | patch.geobox.extent.to_crs(first.crs)).boundingbox.polygon
    return box


def accuracy_against_truth(config: Config, year: int, patches: Sequence[str]) -> float:
    """Return the share of the patches' held-out predictions that have the class of the simulated
    truth.

    Raises StorageError where a patch has none.
    """
    archive, store = _archive(config), Store.of(config)
    right = seen = 0
    for patch in track(patches, "patches", len(patches)):
        predicted = RasterCube(store, key("held_out_predictions", patch, year))
        classes = predicted.read("class")
        known = classes != 0
        truth = archive.truth(predicted.grids[""])
        right += int(np.sum(known & (classes == truth)))
        seen += int(known.sum())
    return right / seen if seen else float("nan")
