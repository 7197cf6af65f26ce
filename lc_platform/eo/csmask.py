"""The package ukis-csmask: which networks it has, and how they see the ground.

Only the files in the package are read, and none of its code is run.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple

PACKAGE = "ukis_csmask"
BANDS = ("blue", "green", "red", "nir", "swir16", "swir22")
"""Common names of the bands of a network of six, in its order; of one of four, the first of
them."""
FEWEST = 4
TILE = 256
"""Pixels along the side of what a network sees at a time."""
STEP = 204
"""Pixels from a tile of the lattice to the next: a fifth of a tile overlaps."""

Level = Literal["l1c", "l2a"]


class NetworkName(NamedTuple):
    """Which of the networks."""

    level: Level
    """Of the reflectance: at the top of the atmosphere, or of the surface."""
    band_count: int
    """Of its bands, 4 or 6."""


class NetworkFile(NamedTuple):
    """A network as the package has it."""

    model: bytes
    """ONNX."""
    mean: tuple[float, ...]
    """(band,), reflectance, which is taken off each band."""
    deviation: tuple[float, ...]
    """(band,), which each band is divided by then."""


def lacking() -> list[str]:
    """Return the packages that are not installed of those that the networks take."""
    needed = {PACKAGE: "ukis-csmask", "onnxruntime": "onnxruntime"}
    return [name for module, name in needed.items() if find_spec(module) is None]


def digest(name: NetworkName) -> str:
    """Return a hash of a network's file and of what says how its input is made.

    Raises MissingPackageError where the package is not installed or has no such network.
    """
    return _digest(*_contents(name))


def network_file(name: NetworkName) -> NetworkFile:
    """Return a network. Raises MissingPackageError as `digest` does, and ValueError where its bands
    or its tiles are not those that are known here."""
    model, about = _contents(name)
    facts = json.loads(about.read_text(encoding="utf-8"))["data"]
    mean, deviation = facts["dataset_statistics"]["img"]
    bands, known = tuple(facts["dataset_statistics"]["band_names"]), BANDS[: name.band_count]
    if bands != known or facts["target_size"] != [TILE, TILE]:
        raise ValueError(
            f"{about.name} of the package ukis-csmask is of bands {', '.join(bands)} and tiles of "
            f"{facts['target_size']}, and {', '.join(known)} and [{TILE}, {TILE}] are known. "
            "Install release 1.0: `pip install 'lc-platform[unet]'`"
        )
    return NetworkFile(model.read_bytes(), tuple(mean), tuple(deviation))


def _contents(name: NetworkName) -> tuple[Any, Any]:
    from lc_platform.eo.onnx_model import MissingPackageError  # whose module loads what compiles

    if missing := lacking():
        raise MissingPackageError(
            f"clouds.method: unet takes {' and '.join(missing)}, and there is none here: "
            "`pip install 'lc-platform[unet]'`"
        )
    stem = f"model_{name.band_count}b_{name.level}"
    model, about = (files(PACKAGE) / f"{stem}.{ending}" for ending in ("onnx", "json"))
    if absent := [one.name for one in (model, about) if not one.is_file()]:
        raise MissingPackageError(
            f"clouds.method: unet: the package ukis-csmask that is installed has no "
            f"{' and no '.join(absent)}. Release 1.0 has it: `pip install 'lc-platform[unet]'`"
        )
    return model, about


@cache
def _digest(*contents: Any) -> str:
    found = hashlib.sha256()
    for one in contents:
        found.update(hashlib.sha256(one.read_bytes()).digest())
    return found.hexdigest()[:16]


def tiles(first: int, length: int) -> range:
    """Return the tiles of the lattice, along one axis, that have a say on some pixels.

    first   of the pixels, counted from the CRS's origin
    length  how many there are, at least one
    Tile k has the pixels from ``STEP * k`` on; its outermost pixels have no weight.
    """
    last = first + length - 1
    return range(-(-(first - (TILE - 2)) // STEP), (last - 1) // STEP + 1)


def extent(first: int, length: int) -> tuple[int, int]:
    """Return the first pixel, and the one after the last, of all tiles that have a say."""
    of = tiles(first, length)
    return STEP * of[0], STEP * of[-1] + TILE
