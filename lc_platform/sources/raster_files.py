"""Raster files of this machine and of servers, opened to be read by window."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.session import DummySession

from lc_platform.sources.network.remote_files import RemoteFile, RemoteFiles
from lc_platform.sources.stac import geotiff


@contextmanager
def opened(
    uri: str, files: RemoteFiles, where: str, otherwise: str, *, alone: bool = True
) -> Iterator[tuple[rasterio.DatasetReader, RemoteFile | None]]:
    """A file open in GDAL, and what is fetched of it where a server has it.

    where, otherwise  see `RemoteFiles.opened`, whose errors these are too
    alone             whether nothing that lies beside a file of this machine belongs to it
    """
    if files.has(uri):
        with files.opened(uri, where, otherwise) as found:
            yield found
        return
    quick = {"GDAL_DISABLE_READDIR_ON_OPEN": "EMPTY_DIR"} if alone else {}
    # Not shared: one file may be read by several threads at a time.
    with rasterio.Env(session=DummySession(), **quick), rasterio.open(uri, sharing=False) as file:
        yield file, None


def fetch(
    file: rasterio.DatasetReader,
    remote: RemoteFile,
    bands: Sequence[int],
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
) -> list[geotiff.Block]:
    """Fetch the tiles or strips that hold bands' pixels in as few requests as they can be joined
    to, and return them; see `geotiff.blocks`."""
    blocks = [one for band in bands for one in geotiff.blocks(file, band, rows, columns)]
    ranges = dict.fromkeys((block.first, block.size) for block in blocks if block.size)
    remote.fetch(ranges, geotiff.LEADER, geotiff.TRAILER)
    return blocks
