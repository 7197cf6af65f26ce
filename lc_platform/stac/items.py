"""The items of the catalog: one for each artefact, as STAC has it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, time
from functools import cache, cached_property, lru_cache
from typing import Any, NamedTuple

from lc_platform.artefacts.layout import PATCH, YEAR, Partition, dimensions
from lc_platform.cube import same_grid
from lc_platform.products.catalog import COLLECTION
from lc_platform.products.catalog_options import CatalogOptions
from lc_platform.products.raw_bands import ADDRESSES
from lc_platform.stac import extensions
from lc_platform.stac.archive_items import MAIN, ArchiveItems
from lc_platform.stac.bands import Bands, bands_of, projection
from lc_platform.stac.described import COLLECTIONS
from lc_platform.stac.encoding import SharedList, SharedObject
from lc_platform.stac.footprints import box, footprint
from lc_platform.stac.inventory import Inventory, Stored, modified

_GROUND = {"model": "training_samples", "evaluation": "held_out_predictions"}
"""The asset on whose patches an artefact of all patches lies, where that is not the predictions."""
_READ_AT_ONCE = 64
"""Patches whose imagery's metadata is held at the same time."""
_ACQUISITIONS = 16384
"""Acquisitions that are described and held at the same time."""


class _Acquisition(NamedTuple):
    """An acquisition, as the items of its patches have it."""

    facts: SharedObject
    links: Mapping[str, SharedObject]
    """To its own items in the archive, by their addresses."""


class Items:
    """The items of what there is.

    root  the folder of the catalog, a path in the store: links and the files that they lead to are
          relative, so that the catalog opens wherever the store lies
    """

    def __init__(self, inventory: Inventory, options: CatalogOptions, root: str) -> None:
        self.inventory = inventory
        self.options = options
        self.root = root
        self._archives = ArchiveItems(options.archives, options.catalogs)
        self._bands: dict[str, tuple[Bands, int]] = {}
        self._times: dict[tuple[str, int | None], tuple[datetime, datetime]] = {}
        self._projections: dict[tuple[str, int], dict[str, Any]] = {}
        self._extensions: dict[tuple[Any, ...], list[str]] = {}
        # Neighbours are of the same acquisitions, and the grid goes from neighbour to neighbour.
        self._acquisition = lru_cache(_ACQUISITIONS)(self._describe_acquisition)

    def folder(self, asset: str, year: int | None) -> str:
        """Return the folder of a collection's items of a year, a path in the store."""
        return f"{self.root if year is None else f'catalog/{year}'}/{asset}"

    def path(self, asset: str, where: Partition) -> str:
        """Return the path of an item in the store."""
        return f"{self.folder(asset, where.year)}/{name(asset, where)}.json"

    def times(self, asset: str, year: int | None) -> tuple[datetime, datetime]:
        """Return the first and the last moment that artefacts of a year are of: of its season; of
        those of no year, of all seasons. The imagery's is padded, where it is."""
        if (asset, year) not in self._times:
            self._times[asset, year] = self._season(asset, year)
        return self._times[asset, year]

    def _season(self, asset: str, year: int | None) -> tuple[datetime, datetime]:
        of = self.inventory.years if year is None else [year]
        padding = self.options.padding if asset == "raw_bands" else 0
        first, _ = self.options.season.padded(min(of), padding)
        _, last = self.options.season.padded(max(of), padding)
        return (
            datetime.combine(first, time(), UTC),
            datetime.combine(last, time(23, 59, 59), UTC),
        )

    def of(self, asset: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the items of an asset with their paths, in the grid's order, each when it is asked
        for."""
        places = list(self.inventory.partitions(asset))
        for first in range(0, len(places), _READ_AT_ONCE):
            some = places[first : first + _READ_AT_ONCE]
            imagery = self.inventory.imagery(some) if asset == "raw_bands" else {}
            for where in some:
                yield self.path(asset, where), self._item(asset, where, imagery.get(where))

    def item(self, asset: str, where: Partition) -> dict[str, Any]:
        """Return one item."""
        imagery = self.inventory.imagery([where]) if asset == "raw_bands" else {}
        return self._item(asset, where, imagery.get(where))

    def _item(
        self, asset: str, where: Partition, imagery: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        inventory, described = self.inventory, COLLECTIONS[asset]
        folder = self.folder(asset, where.year)
        files = inventory.stored(asset, where)
        version = inventory.partitions(asset)[where]
        start, end = self.times(asset, where.year)
        properties: dict[str, Any] = {
            "title": " ".join(filter(None, (described.title, str(where)))),
            "datetime": None,
            "start_datetime": moment(start),
            "end_datetime": moment(end),
            "version": version.data,
            "processing:lineage": described.lineage,
        }
        if described.level:
            properties["processing:level"] = described.level
        if (written := modified(files)) is not None:
            properties["updated"] = moment(written)
        for dimension, value in ((PATCH, where.patch), (YEAR, where.year)):
            if value is not None:
                properties[f"{extensions.OWN}:{dimension}"] = value
        bands, grid = self._described(asset, where)
        properties |= grid
        links = [
            _link("root", self.link(folder, self.root, "catalog.json"), extensions.JSON),
            _link("parent", collection := self.link(folder, self._home(asset), COLLECTION)),
            _link("collection", collection),
            *self._derived_from(asset, where, folder),
        ]
        if imagery is not None:
            acquired, more = self._acquisitions(imagery)
            properties |= acquired
            links += more
        if where.patch is None:
            properties |= self._of_all(asset, where)
        found = {
            "type": "Feature",
            "stac_version": extensions.VERSION,
            "stac_extensions": [],
            "id": name(asset, where),
            "collection": asset,
            **self._place(asset, where),
            "properties": properties,
            "links": links,
            "assets": {
                one.name: self._asset(one, folder, bands, checked=where.patch is None)
                for one in files
            },
        }
        of_patches = where.patch is not None
        found["stac_extensions"] = (
            self._used_by(asset, found) if of_patches else extensions.used_by(found)
        )
        return found

    def _used_by(self, asset: str, item: Mapping[str, Any]) -> list[str]:
        """The extensions of an item: the same of all that have the same fields, for the bands are
        the asset's."""
        fields = (
            asset,
            *item["properties"],
            *((name, *of) for name, of in item["assets"].items()),
        )
        if fields not in self._extensions:
            self._extensions[fields] = SharedList(extensions.used_by(item))
        return self._extensions[fields]

    def _asset(self, stored: Stored, folder: str, bands: Bands, *, checked: bool) -> dict[str, Any]:
        at, _, file = stored.key.rpartition("/")
        of_cube = stored.file is None
        found: dict[str, Any] = {
            "href": self.link(folder, at, file),
            "type": extensions.ZARR if of_cube else extensions.media_type(file),
            "roles": ["data" if of_cube else extensions.role(file)],
        }
        if stored.name in bands.by_asset:
            found["bands"] = bands.by_asset[stored.name]
        if stored.file is not None:
            found["file:size"] = stored.file.size
            if checked and (checksum := self.inventory.checksum(stored)):
                found["file:checksum"] = extensions.multihash(checksum)
        return found

    def _home(self, asset: str) -> str:
        """The folder of a collection."""
        return f"{self.root}/{asset}"

    @staticmethod
    @cache
    def _between(source: str, target: str) -> str:
        found = posixpath.relpath(target or ".", source)
        return "./" if found == "." else f"{found if found.startswith('.') else f'./{found}'}/"

    def link(self, source: str, target: str, file: str) -> str:
        """Return the relative link from a folder to a file of another one, both paths in the
        store."""
        return f"{self._between(source, target)}{file}"

    def _place(self, asset: str, where: Partition) -> dict[str, Any]:
        if where.patch is not None:
            return self._places[where.patch]
        of = _GROUND.get(asset, "predictions")
        there = self.inventory.partitions(of) if asset != "patch_grid" else ()
        patches = [str(one.patch) for one in there if one.year == where.year]
        ground = self.inventory.outline(patches or list(self.inventory.patches))
        return {"geometry": footprint(ground), "bbox": box(ground)}

    @cached_property
    def _places(self) -> Mapping[str, dict[str, Any]]:
        return {
            patch: {"geometry": footprint(outline), "bbox": box(outline)}
            for patch, outline in self.inventory.outlines.items()
        }

    def _described(self, asset: str, where: Partition) -> tuple[Bands, dict[str, Any]]:
        """The bands of an artefact and its grid's fields: those of its asset's first artefact, on
        the patch's own grid."""
        if where.patch is None:
            bands = bands_of(self.inventory, asset, where, self.options.classes)
            return bands, {} if bands.grid is None else projection(bands.grid)
        if asset not in self._bands:
            first = next(iter(self.inventory.partitions(asset)))
            bands = bands_of(self.inventory, asset, first, self.options.classes)
            margin = 0
            if bands.grid is not None:
                own = self.inventory.patches[str(first.patch)].geobox
                margin = (bands.grid.shape[0] - own.shape[0]) // 2
                if not same_grid(own.pad(margin) if margin else own, bands.grid):
                    bands = Bands(bands.by_asset)
            shared = {file: SharedList(of) for file, of in bands.by_asset.items()}
            self._bands[asset] = Bands(shared, bands.grid), margin
        bands, margin = self._bands[asset]
        if bands.grid is None:
            return bands, {}
        return bands, self._projected(where.patch, margin)

    def _projected(self, patch: str, margin: int) -> dict[str, Any]:
        if (patch, margin) not in self._projections:
            grid = self.inventory.patches[patch].geobox
            self._projections[patch, margin] = projection(grid.pad(margin) if margin else grid)
        return self._projections[patch, margin]

    def _derived_from(self, asset: str, where: Partition, folder: str) -> Iterator[dict[str, Any]]:
        """Links to the items of what an artefact is made of, of those that are there."""
        for source in COLLECTIONS[asset].derived_from:
            there = self.inventory.partitions(source)
            if where.patch is not None or PATCH not in dimensions(source):
                at = where.within(dimensions(source))
                places: Sequence[Partition] = [at] if at in there else []
            else:
                years = (where.year, None)
                places = [one for one in there if one.year in years]
            for one in places:
                href = self.link(folder, self.folder(source, one.year), f"{name(source, one)}.json")
                yield _link("derived_from", href, extensions.GEOJSON)

    def _acquisitions(
        self, imagery: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """The fields of a patch's imagery that tell its acquisitions, and links to their own items
        in the archive."""
        of_main = (MAIN, imagery.get("collection", ""), imagery.get("acquisitions", ()))
        auxiliary = [
            (one, about.get("collection", ""), about.get("acquisitions", ()))
            for one, about in imagery.get("collections", {}).items()
        ]
        told: list[SharedObject] = []
        links: dict[str, SharedObject] = {}
        platforms: set[str] = set()
        for short, collection, acquisitions in (of_main, *auxiliary):
            for one in acquisitions:
                found = self._acquisition(
                    short,
                    collection,
                    one["key"],
                    one["datetime"],
                    tuple(map(str, one.get("items", ()))),
                    tuple(one.get(ADDRESSES, ())),
                    one.get("platform"),
                    one.get("cloud_cover"),
                )
                told.append(found.facts)
                links |= found.links
                if one.get("platform"):
                    platforms.add(str(one["platform"]))
        fields: dict[str, Any] = {f"{extensions.OWN}:acquisitions": told} if told else {}
        if len(platforms) == 1:
            fields["platform"] = platforms.pop()
        return fields, list(links.values())

    def _describe_acquisition(
        self,
        short: str,
        collection: str,
        key: str,
        when: str,
        items: tuple[str, ...],
        addresses: tuple[str, ...],
        platform: str | None,
        cloud_cover: float | None,
    ) -> _Acquisition:
        facts = {
            "key": key,
            "collection": collection,
            "datetime": moment(datetime.fromisoformat(when)),
            "items": list(items),
            "platform": platform,
            "cloud_cover": cloud_cover,
        }
        links: dict[str, SharedObject] = {
            href: SharedObject(_link("derived_from", href, extensions.GEOJSON) | {"title": item})
            for href, item in zip(self._archives.links(items, addresses, short), items, strict=True)
            if href is not None
        }
        return _Acquisition(SharedObject({k: v for k, v in facts.items() if v is not None}), links)

    def _of_all(self, asset: str, where: Partition) -> dict[str, Any]:
        """The fields of an artefact that is made of all patches together."""
        found: dict[str, Any] = {}
        if made := self.inventory.record(asset, where).get("made_at"):
            found["created"] = moment(datetime.fromisoformat(made))
        if asset in ("mosaic", "change", "objects"):
            there = {one.patch for one in self.inventory.partitions("predictions")
                     if one.year == where.year}  # fmt: skip
            missing = [patch for patch in self.inventory.patches if patch not in there]
            found[f"{extensions.OWN}:patches"] = len(there & set(self.inventory.patches))
            found[f"{extensions.OWN}:missing_patches"] = missing
        return found


def name(asset: str, where: Partition) -> str:
    """Return the id of an item, which is that of no other of its collection."""
    of = where.patch or asset
    return of if where.year is None else f"{of}-{where.year}"


@lru_cache(4096)
def moment(when: datetime) -> str:
    """Return a time as RFC 3339 has it, to the second; one without a zone is UTC."""
    when = when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)
    return when.replace(microsecond=0, tzinfo=None).isoformat() + "Z"


def _link(rel: str, href: str, kind: str = extensions.JSON) -> dict[str, Any]:
    return {"rel": rel, "href": href, "type": kind}
