"""Rasters of a layer in a collection of a STAC catalog."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache

from odc.geo.geobox import GeoBox

from lc_platform.sources.layers.options import LayerOptions, Network
from lc_platform.sources.layers.tiles import RasterLink, name_of
from lc_platform.sources.network.remote_files import RemoteFiles
from lc_platform.sources.protocol import MissingBandError, SourceError, TransientSourceError
from lc_platform.sources.stac.archive import StacArchive


def rasters(options: LayerOptions, grid: GeoBox) -> tuple[list[RasterLink], RemoteFiles]:
    """Return the rasters near a grid, the newest first, and how they are read.

    An item has all bands in one file, or is refused: bands of several files are layers of their
    own. Raises SourceError naming the key where the catalog or an item cannot be used.
    """
    assert options.catalog is not None
    assert options.collection is not None
    archive = _archive(options.catalog.located, options.collection, options.network)
    bands = [str(band) for band in options.bands]
    try:
        found = archive.layers(grid.extent, bands, *_period(options.datetime))
    except MissingBandError as error:
        raise SourceError(
            f"{options.key}.bands: an item of {options.collection} has no asset {error.band}. "
            f"{error}"
        ) from error
    except SourceError as error:
        kind = TransientSourceError if error.transient else SourceError
        text = str(error)
        for key in ("catalog", "collection"):
            text = text.replace(f"imagery.{key}:", f"{options.key}.{key}:")
        raise kind(text) from error
    links = []
    for of_item in found:
        first = of_item[0]
        if len({one.uri for one in of_item}) > 1:
            raise SourceError(
                f"{options.key}.bands: {', '.join(bands)} lie in files of their own. Make each a "
                "layer of its own"
            )
        links.append(
            RasterLink(
                first.uri,
                f"{options.key}.collection: {name_of(first.uri)}",
                tuple(one.index for one in of_item),
                None if first.scale == 1 else first.scale,
                first.offset or None,
                first.nodata,
            )
        )
    return links, archive.files


@lru_cache(maxsize=8)
def _archive(catalog: str, collection: str, network: Network) -> StacArchive:
    return StacArchive(
        catalog,
        collection,
        connections=network.connections,
        requests_per_minute=network.requests_per_minute,
        retries=network.retries,
    )


def _period(text: str | None) -> tuple[datetime | None, datetime | None]:
    """Return the half-open period of a year, a month or a day; None each where there is none."""
    if text is None:
        return None, None
    parts = [int(part) for part in text.split("-")]
    year, month, day = (*parts, 1, 1)[:3]
    start = datetime(year, month, day, tzinfo=UTC)
    if len(parts) == 1:
        return start, start.replace(year=year + 1)
    if len(parts) == 2:
        return start, start.replace(year=year + month // 12, month=month % 12 + 1)
    return start, datetime.fromtimestamp(start.timestamp() + 86_400, UTC)
