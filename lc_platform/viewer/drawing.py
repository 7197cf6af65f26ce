"""Tiles while they are drawn: how many at once, for how long, and those that are kept."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from lc_platform.runtime.bounded_cache import BoundedCache
from lc_platform.storage.errors import UnavailableError
from lc_platform.viewer import png
from lc_platform.viewer.map_layers import Asked, MapLayer
from lc_platform.viewer.map_metrics import MapMetrics
from lc_platform.viewer.scene import Scene
from lc_platform.viewer.tile_grid import Tile

_KEPT_BYTES = 64 * 2**20
_WAITING = 256
"""Pictures that are asked for at the same time, at most: further requests are refused."""
_SECONDS = 20.0
"""After which a picture is given up."""
_Result = TypeVar("_Result")


class BusyError(UnavailableError):
    """There is too much to draw at the moment."""


@dataclass(frozen=True)
class Drawn:
    """A picture."""

    content: bytes
    """PNG."""
    tag: str
    """Another one where the picture is another one."""
    current: bool
    """Whether it is of the version that was asked for."""


class Drawing:
    """Draws a few pictures at a time, and keeps those that were drawn last."""

    def __init__(self, scene: Scene, metrics: MapMetrics) -> None:
        self._scene = scene
        self._metrics = metrics
        self._kept: BoundedCache[Hashable, bytes] = BoundedCache(_KEPT_BYTES, len)
        # Two more than cores: some wait for the store.
        self._threads = ThreadPoolExecutor((os.cpu_count() or 1) + 2, thread_name_prefix="draw")
        self._waiting = 0

    async def of(self, work: Callable[[], _Result]) -> _Result:
        """Return what some work gives, which is done in a thread of few.

        Raises BusyError where too much waits already, or where it takes too long.
        """
        if self._waiting >= _WAITING:
            raise BusyError(f"{_WAITING} pictures are being drawn. Ask again in a few seconds")
        self._waiting += 1
        try:
            done = asyncio.get_running_loop().run_in_executor(self._threads, work)
            return await asyncio.wait_for(done, _SECONDS)
        except TimeoutError as error:
            raise BusyError(
                f"The picture was not drawn within {_SECONDS:g} s. Ask again, or look closer"
            ) from error
        finally:
            self._waiting -= 1

    def tile(self, layer: MapLayer, asked: Asked, place: tuple[int, int, int]) -> Drawn:
        """Return a tile of a layer, at (z, x, y); an empty one below the layer's first zoom."""
        if place[0] < layer.min_zoom(self._scene):
            return self._drawn(png.empty(256, 256), layer, asked)
        try:
            content = self._content(layer, asked, place)
        except UnavailableError:
            # Something was replaced while it was read, and is opened again.
            self._scene.forget()
            content = self._content(layer, asked, place)
        return self._drawn(content, layer, asked)

    def _content(self, layer: MapLayer, asked: Asked, place: tuple[int, int, int]) -> bytes:
        tile = Tile.at(*place)
        sources = layer.sources(self._scene, tile, asked)
        if not sources:
            return png.empty(tile.size, tile.size)
        name = (layer.id, asked, place, tuple(one.number for one in sources))
        content = self._kept.get(name)
        self._metrics.tile("drawn" if content is None else "cache")
        if content is None:
            content = layer.draw(self._scene, tile, asked, sources)
            self._kept.put(name, content)
        return content

    def _drawn(self, content: bytes, layer: MapLayer, asked: Asked) -> Drawn:
        tag = hashlib.blake2b(content, digest_size=12).hexdigest()
        current = asked.version is not None and asked.version == layer.version(self._scene, asked)
        return Drawn(content, tag, current)
