"""A configuration or a store, opened to be read."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from lc_platform.artefacts.layout import (
    EVERY_ASSET,
    OPTIONAL,
    PATCH,
    YEAR,
    Partition,
    dimensions,
    key,
)
from lc_platform.artefacts.records import Records
from lc_platform.artefacts.versions import Snapshot, Versions
from lc_platform.config import FILE_NAME, Config, ObjectStore, load
from lc_platform.cube import MAIN
from lc_platform.eo import indices as spectral
from lc_platform.eo.indices import Index
from lc_platform.reading.artefacts import GRID, Artefacts, read_by
from lc_platform.reading.errors import NotFoundError, nearest
from lc_platform.storage.errors import MissingArtefactError, damaged
from lc_platform.storage.store import Store

if TYPE_CHECKING:
    import geopandas
    import pandas as pd
    import pystac
    import xarray as xr

    from lc_platform.products.model import LandCoverModel
    from lc_platform.reading.lazy import Chunks
    from lc_platform.reading.map_areas import MapAreas
    from lc_platform.reading.pixels import Pixels
    from lc_platform.reading.places import Pixel, Places
    from lc_platform.reading.story import Story

_TABLES = {"observation_stats": ".parquet", "change": ".parquet"}
"""How the tables end that lie beside a raster."""


def opened(
    config_or_store: Config | str | Path, object_store: Mapping[str, Any] | None = None
) -> Reader:
    """Open what a configuration names, or a store; see `lc_platform.open`."""
    if isinstance(config_or_store, Config):
        return Reader(Store.of(config_or_store), config_or_store)
    given = str(config_or_store)
    if "://" in given:
        store = Store(given, ObjectStore.model_validate(object_store or {}))
        if not store.exists(GRID):
            raise NotFoundError(
                f"{given}: is no store of the platform, for it has no {GRID}. Give what "
                "`storage` is in its configuration, or the configuration's file"
            )
        return Reader(store)
    path = Path(given).expanduser()
    if path.is_dir():
        if (path / FILE_NAME).is_file():
            path /= FILE_NAME
        elif (path / GRID).is_file():
            return Reader(Store(str(path)))
        else:
            raise NotFoundError(
                f"{path}: is neither the folder of a configuration ({FILE_NAME}) nor a store "
                f"({GRID}). Give one of these, or a configuration's file"
            )
    config = load(path)
    return Reader(Store.of(config), config, path)


class Reader:
    """What the platform has made, read when it is used; made by `lc_platform.open`.

    Where patches are told apart by their key, `patches` has them all. Errors are PlatformErrors:
    NotFoundError where there is no such patch, year, asset, place or band, MissingArtefactError
    where the artefact is not made yet, other StorageErrors where it is damaged or cannot be
    reached.
    """

    def __init__(self, store: Store, config: Config | None = None, file: Path | None = None):
        self.store = store
        self.config = config
        """None where a store was opened without its configuration."""
        self.artefacts = Artefacts(store, config, file)

    def __repr__(self) -> str:
        return f"<lc_platform {self.store}>"

    @cached_property
    def patches(self) -> geopandas.GeoDataFrame:
        """The patches by their key, in the grid's order.

        Columns: zone, row, column, crs, xmin, ymin, xmax, ymax and resolution (in units of crs),
        rows and columns (pixels), has_reference, geometry (EPSG:4326, cut at 180 degrees).

        Example: ``reader.patches.loc[reader.patches.has_reference]``
        """
        import geopandas

        def read(path: str) -> Any:
            with self.store.opened(path) as file:
                return geopandas.read_parquet(io.BytesIO(file.read()))

        self.artefacts.grid  # noqa: B018 - raises where there is none, or a damaged one
        return self.store.current(GRID, read).set_index("key")

    @property
    def years(self) -> list[int]:
        """The years of the configuration, in order; of a store without one, those that something
        is stored of.

        Example: ``reader.years[-1]``
        """
        return self.artefacts.years

    @cached_property
    def classes(self) -> pd.DataFrame:
        """The classes by their id: name and color (``#rrggbb``); those of the configuration, and
        of a store without one, those of the latest map or reference that is stored.

        Example: ``reader.classes.loc[1, "name"]``
        """
        import pandas as pd

        rows = {
            i: {"name": name, "color": color} for i, (name, color) in self.artefacts.legend.items()
        }
        found = pd.DataFrame.from_dict(rows, orient="index", columns=["name", "color"])
        return found.rename_axis("class")

    # Artefacts

    def dataset(
        self,
        asset: str,
        patch: str | None = None,
        year: int | None = None,
        *,
        collection: str | None = None,
        chunks: Chunks | None = None,
    ) -> xr.Dataset:
        """Return an asset's rasters, of a patch, a year, or both, as they are partitioned.

        patch       its key
        collection  of ``raw_bands``: the name of an auxiliary collection; the main one where None
        chunks      ``{"time": 8, "y": 256}`` or ``"auto"``: read by dask, so much of a dim together

        No pixel is read before it is used. Dims are those of the asset (time, band; date, feature)
        before y and x, which are the centres of the pixels in units of the CRS; ``spatial_ref``
        is the CRS (`.odc.crs` of odc-geo, or rioxarray). Layers say their ``long_name`` and
        ``units``. Imagery is calibrated: ``reflectance``, float32, NaN where there is no data.
        Percents are float32, NaN where there is no data. Classes are their ids, 0 where there is
        no data, with ``flag_values``, ``flag_meanings`` and ``flag_colors`` as they were when the
        artefact was made. Masks are True or False. Imagery says its ``season``, the first and the
        last day; with `features.padding` there are acquisitions before and after.

        What is opened is one version of the artefact: where that is replaced meanwhile, reading
        raises UnavailableError, and never gives a mixture. MissingPackageError: there is no dask.

        Example: ``reader.dataset("raw_bands", patch, 2023).reflectance.sel(band="B08")``
        """
        from lc_platform.reading.lazy import in_chunks

        return in_chunks(self._dataset(asset, patch, year, collection), chunks)

    def _dataset(
        self, asset: str, patch: str | None, year: int | None, collection: str | None
    ) -> xr.Dataset:
        from lc_platform.reading import datasets

        where = self.artefacts.partition(asset, patch, year)
        if asset == "mosaic":
            return datasets.of_maps(self.artefacts, where)
        path = key(asset, where.patch, where.year)
        if path.endswith(".tif"):
            raster = self.artefacts.raster(asset, where)
            return datasets.of_cube(raster, self.artefacts.legends(path, raster))
        if not path.endswith(".zarr"):
            raise NotFoundError(f"{asset}: is no raster. Take {read_by(asset)} of what was opened")
        if asset == "raw_bands":
            return datasets.of_imagery(self.artefacts.imagery(where), collection)
        if asset == "cloud_masks":
            return datasets.of_masks(self.artefacts.masks(where), {MAIN: self.artefacts.legend})
        cube = self.artefacts.zarr(asset, where)
        if asset == "features" and not self.artefacts.are_stored(cube):
            from lc_platform.artefacts.formats import formats

            return datasets.of_cube(
                formats()[asset].open(self.store, path).cube, {MAIN: self.artefacts.legend}
            )
        return datasets.of_cube(cube, {MAIN: self.artefacts.legend})

    def table(self, asset: str, patch: str | None = None, year: int | None = None) -> pd.DataFrame:
        """Return an asset's table: of ``training_samples``, ``alignment``, ``area_statistics``,
        ``objects`` (a GeoDataFrame), and what lies beside the rasters of ``observation_stats`` (a
        row a date) and ``change`` (a row a transition). All of it is read.

        Example: ``reader.table("area_statistics", year=2023)``
        """
        import pandas as pd
        import pyarrow as pa
        import pyarrow.parquet as pq

        found: pd.DataFrame
        if asset == "patch_grid":
            found = self.patches
            return found
        where = self.artefacts.partition(asset, patch, year)
        path = key(asset, where.patch, where.year)
        if asset in _TABLES:
            path = str(PurePosixPath(path).with_suffix(_TABLES[asset]))
        if not path.endswith(".parquet"):
            raise NotFoundError(f"{asset}: is no table. Take {read_by(asset)} of what was opened")
        content = self.artefacts.opened(asset, where, lambda: self.store.read_bytes(path))
        try:
            if b"geo" in (pq.read_schema(pa.BufferReader(content)).metadata or {}):
                import geopandas

                found = geopandas.read_parquet(io.BytesIO(content))
            else:
                found = pd.read_parquet(io.BytesIO(content))
        except (pa.ArrowException, ValueError, OSError) as error:
            raise damaged(self.store.path(path), error, asset, path) from error
        return found

    def model(self, year: int) -> LandCoverModel:
        """Return the classifier of a year, with its card.

        Example: ``reader.model(2023).card["classes"]``
        """
        found: LandCoverModel = self.artefacts.value("model", year)
        return found

    def metrics(self, year: int) -> Mapping[str, Any]:
        """Return what the evaluation of a year has found, as metrics.json has it.

        Example: ``reader.metrics(2023)["overall_accuracy"]``
        """
        found: Mapping[str, Any] = self.artefacts.value("evaluation", year).metrics
        return found

    def land_cover(self, year: int, *, chunks: Chunks | None = None) -> xr.DataArray:
        """Return the map of a year, (y, x), class ids, 0 where there is no data; see `dataset`.

        Example: ``reader.land_cover(2023).plot.imshow()``
        """
        return self.dataset("mosaic", year=year, chunks=chunks)["land_cover"]

    def to_stac(self, years: Sequence[int] | None = None) -> pystac.Catalog:
        """Return what is there now as a STAC catalog, with a collection for each asset and an item
        for each artefact; they are described when they are read.

        years  those that it is of; all where None

        The asset ``catalog`` writes the same of a year to ``catalog/{year}/catalog.json``. Raises
        NotFoundError where there is no such year, or nothing of any year, MissingArtefactError
        where there is no patch grid.

        Example: ``reader.to_stac([2023]).get_child("mosaic")``
        """
        from lc_platform.stac.opened import catalog
        from lc_platform.stac.options import options_of

        grid, found = self.artefacts.grid, self.artefacts
        of = [found.year(one) for one in years] if years is not None else self.years
        if not of:
            raise NotFoundError(f"{self.store}: holds nothing of any year yet")
        options = options_of(self.config, found.legend, found.season)
        return catalog(self.store, grid, sorted(of), options)

    # Pixels and polygons

    def at(self, longitude: float, latitude: float, year: int) -> pd.DataFrame:
        """Return what is known of the pixel at a place (degrees, EPSG:4326) in a year.

        There is a row an acquisition, by its time (UTC): its key, each band as reflectance, the
        indices of the configuration (NDVI, NDWI and NDBI without one) as far as their bands are
        there, NaN without data; ``data``, ``valid`` (shows the ground), ``cloud``,
        ``cloud_probability`` (0 to 1), and ``used``, whether the features are made of the
        acquisition. Where masks or features are not made yet, theirs are unknown.

        ``attrs`` tells the rest: the patch, row and column, crs, x and y of the pixel's centre;
        the map's class, class_name, confidence, entropy, margin, applicability and probabilities
        (percent) and model_version; reference, reference_name, ambiguous, polygon. None is unknown.

        Of a place on the edge of two patches it is the eastern, or the southern one. Raises
        NotFoundError where the place lies in no patch, MissingArtefactError where the imagery is
        not made yet.

        Example: ``reader.at(15.04, 46.73, 2023).NDVI``
        """
        from lc_platform.reading import story

        pixel = self.pixel(longitude, latitude)
        found = self._pixels.observations(pixel, year)
        own = self.artefacts.if_made(lambda: self._pixels.map(pixel, year))
        reference = self.artefacts.if_made(lambda: self._pixels.reference(pixel))
        about: dict[Any, Any] = {
            "year": year,
            **story.place(pixel, longitude, latitude),
            **(own.to_dict() if own else {"class": None, "class_name": None}),
            **(reference.to_dict() if reference else {"reference": None, "reference_name": None}),
        }
        found.attrs = about
        return found

    def story(
        self, longitude: float, latitude: float, year: int, series: str | None = None
    ) -> Story:
        """Return all that is known of the pixel at a place (degrees, EPSG:4326): the observations
        of a year, what the classifier reads, what the maps of all years say, the reference; and in
        ``missing`` sentences about what is not made yet, or damaged.

        series  the one band or index that observations are told by, which takes about half of the
                time; the first that there is where there is none of that name; all where None

        Raises NotFoundError where the place lies in no patch, or for another year, UnavailableError
        where the store cannot be reached.

        Example: ``reader.story(15.04, 46.73, 2023).missing``
        """
        pixel = self.pixel(longitude, latitude)
        return self._pixels.story(pixel, longitude, latitude, year, series)

    def pixel(self, longitude: float, latitude: float) -> Pixel:
        """Return the patch and the pixel that a place (degrees, EPSG:4326) lies in, see `at`.

        Raises NotFoundError where it lies in no patch, naming the nearest.

        Example: ``reader.pixel(15.04, 46.73).patch.key``
        """
        return self._places.pixel(longitude, latitude)

    def acquisitions(self, patch: str, year: int) -> pd.DataFrame:
        """Return a row an acquisition of a patch in a year and its padding, by its time (UTC).

        Columns: ``acquisition`` (its key), ``platform``, ``cloud_cover`` (percent, as the archive
        says), the shares of the patch's pixels that have data (``data_fraction``), that show the
        ground (``valid_fraction``) and that are cloudy (``cloud_fraction``), NaN where that is not
        known; ``used``, whether the features are made of it; and ``link``, the URL of its first
        item in its archive. Raises MissingArtefactError where the imagery is not made yet.

        Example: ``reader.acquisitions(patch, 2023).valid_fraction``
        """
        from lc_platform.reading.acquisitions import acquisitions

        here = self.artefacts.partition("raw_bands", patch, year)
        masks = self.artefacts.if_made(lambda: self.artefacts.masks(here))
        features = self.artefacts.if_made(lambda: self.artefacts.zarr("features", here))
        used = None if features is None else features.attributes["acquisitions"]
        return acquisitions(self.artefacts.imagery(here), masks, used, self.config)

    def item_links(self, patch: str, year: int) -> dict[str, str | None]:
        """Return ``link`` of `acquisitions` by key. Example: ``reader.item_links(patch, 2023)``"""
        from lc_platform.reading.acquisitions import item_links

        imagery = self.artefacts.imagery(self.artefacts.partition("raw_bands", patch, year))
        return dict(zip(imagery.keys, item_links(self.config, imagery.acquisitions), strict=True))

    def areas(
        self, year: int, boxes: Sequence[tuple[float, float, float, float]] | None = None
    ) -> MapAreas:
        """Return the area of each class of a year's map.

        boxes  (west, south, east, north) in degrees: of the pixels whose centres lie in them. All
               of the map where None, as the area statistics have it where they are made

        Of a large box the map's overviews are counted. Raises MissingArtefactError where there is
        no map of the year.

        Example: ``reader.areas(2023)``
        """
        from lc_platform.reading import map_areas

        return map_areas.areas(self.artefacts, year, boxes)

    def series(
        self,
        polygon: Any,
        index: str | Mapping[str, Sequence[str]] = "NDVI",
        year: int | None = None,
    ) -> pd.DataFrame:
        """Return an index over a polygon, its mean over the valid pixels of each acquisition.

        polygon  a shapely polygon, or GeoJSON, in degrees (EPSG:4326); or a GeoSeries or a
                 GeoDataFrame in any CRS, all of which is one polygon then
        index    a band (``B08``), an index of the configuration, a known one (NDVI, NDWI, NDBI, and
                 the names of Awesome Spectral Indices), {name: [a, b]}, the normalized difference
                 of two bands, or {name: text}, an expression over bands
        year     all years that there is imagery of, where None

        There is a row an acquisition, by its time (UTC): its key, the mean in a column of the
        index's name (NaN where no pixel is valid), ``valid`` (whether any is), ``pixels`` (how
        many are), and the shares of the polygon's pixels that are valid, cloudy, and that have
        data. A pixel is the polygon's where its centre lies in it; of patches of two zones that
        overlap, the first one's count. ``attrs`` names the patches, and the ``missing`` ones whose
        imagery or masks are not made yet: their pixels count as not seen.

        Raises PolygonError where the polygon is none; NotFoundError where it lies in no patch, has
        no pixel's centre, or where there is no such band; MissingArtefactError where nothing of it
        is made yet.

        Example: ``reader.series(reader.patches.geometry.iloc[0], "NDVI", 2023)``
        """
        from lc_platform.reading.open_artefacts import of_one_version

        return of_one_version(lambda: self._series(polygon, index, year))

    def _series(
        self, given: Any, index: str | Mapping[str, Sequence[str]], year: int | None
    ) -> pd.DataFrame:
        import pandas as pd

        from lc_platform.reading.series import Ground, Observed, PolygonPixels

        ground = Ground.of(given)
        outline = ground.degrees
        near = self.patches.sindex.query(outline, predicate="intersects")
        patches = [self.artefacts.grid.patches[i] for i in sorted(near)]
        if not patches:
            middle = outline.representative_point()
            self._places.pixel(middle.x, middle.y)
        pixels = PolygonPixels(ground, patches)
        parts = {patch.key: pixels.of(patch) for patch in patches}
        if not pixels.count:
            raise NotFoundError(
                "polygon: has no centre of a pixel in it. Widen it, or ask for a point by "
                "at(longitude, latitude, year)"
            )
        tables, missing = [], []
        error: MissingArtefactError | None = None
        for each in [self.artefacts.year(year)] if year is not None else self.artefacts.years:
            seen: Observed | None = None
            for patch in patches:
                if not parts[patch.key]:
                    continue
                here = Partition(patch.key, each)
                try:
                    raw_bands, masks = self.artefacts.imagery(here), self.artefacts.masks(here)
                except MissingArtefactError as fault:
                    missing.append(str(here))
                    error = fault
                    continue
                seen = seen or Observed(self._index(index, raw_bands.bands))
                seen.add(raw_bands, masks, parts[patch.key])
            if seen is not None:
                tables.append(seen.table(pixels.count))
        if not tables:
            raise error or NotFoundError(f"{self.store}: holds nothing of any year yet")
        found = pd.concat(tables)
        found.attrs = {
            "pixels": pixels.count,
            "patches": [patch for patch, of in parts.items() if of],
            "missing": missing,
        }
        return found

    def _index(self, given: str | Mapping[str, Sequence[str]], bands: Sequence[str]) -> Index | str:
        """Return a band, or an index, all bands of which there are."""
        if isinstance(given, str) and given in bands:
            return given
        known = {one.name: one for one in self._indices}
        try:
            own = known.get(given) if isinstance(given, str) else None
            found = own or spectral.parse(given, bands)
        except (TypeError, ValueError) as error:
            if isinstance(given, Mapping) and isinstance(error, ValueError):
                raise NotFoundError(str(error)) from None
            names = list(dict.fromkeys([*bands, *known]))
            raise NotFoundError(
                f"{given}: is no band of raw_bands and no known index; "
                f"{nearest(str(given), names)}. Any normalized difference is written "
                '{"NAME": ["B08", "B04"]}'
            ) from None
        if absent := [band for band in found.bands if band not in bands]:
            raise NotFoundError(
                f"{found.name}: needs {', '.join(absent)}, and raw_bands has {', '.join(bands)}. "
                "Add it to imagery.bands, and run again"
            )
        return found

    @cached_property
    def _indices(self) -> tuple[Index, ...]:
        own = () if self.config is None else self.config.indices
        return tuple({**spectral.KNOWN, **{one.name: one for one in own}}.values())

    @cached_property
    def _places(self) -> Places:
        from lc_platform.reading.places import Places

        return Places(self.artefacts.grid.patches)

    @cached_property
    def _pixels(self) -> Pixels:
        from lc_platform.reading.pixels import Pixels

        return Pixels(self.artefacts, self._indices)

    # What there is

    @property
    def grid_state(self) -> object:
        """What differs where the patch grid that is kept here is another one."""
        return self.artefacts.grid_state

    def refresh(self) -> None:
        """Have the patch grid read again where it was replaced since, and what goes with it. All
        else is read as it is now anyway.

        Example: ``reader.refresh()``
        """
        if self.artefacts.refresh():
            for name in ("patches", "classes", "_places"):
                self.__dict__.pop(name, None)

    def status(self, *, versions: bool = False) -> pd.DataFrame:
        """Return how much of each asset is made, a row an asset and year (0 where it is of none).

        versions  compare with the configuration too, as `lc-platform status` does: ``current``,
                  ``stale``, ``failed`` and ``why``. The graph is declared with Dagster, which is
                  imported for it; without it, Dagster is not.

        Columns: ``partitions`` (how many there should be), ``made`` and ``missing``. Raises
        NotFoundError where ``versions`` are asked for of a store without its configuration.

        Example: ``reader.status().query("missing > 0")``
        """
        import pandas as pd

        rows = self._compared() if versions else self._counted()
        return pd.DataFrame(rows).set_index(["asset", "year"])

    def _counted(self) -> list[dict[str, Any]]:
        snapshot = Snapshot(
            Versions(Records(self.store), (), lambda _: None, lambda: self.artefacts.grid)
        )
        patches = set(self.artefacts.grid.keys)
        rows = []
        for asset in EVERY_ASSET:
            of = dimensions(asset)
            for year in self.artefacts.years if YEAR in of else [None]:
                recorded = snapshot.recorded(asset, year)
                made = sum(where.patch in patches or PATCH not in of for where in recorded)
                if asset in OPTIONAL and not made and not self._is_asked_for(asset, year):
                    continue
                partitions = len(patches) if PATCH in of else 1
                rows.append(_status_row(asset, year, partitions, made))
        return rows

    def _is_asked_for(self, asset: str, year: int | None) -> bool:
        """Whether the configuration asks for what not every configuration has."""
        return (
            asset == "change"
            and self.config is not None
            and year is not None
            and bool(self.config.change_evidence(year))
        )

    def _compared(self) -> list[dict[str, Any]]:
        from lc_platform.commands.status import status

        if self.config is None:
            raise NotFoundError(
                f"{self.store}: was opened without its configuration, which versions are compared "
                "with. Open the configuration's file"
            )
        rows = []
        for one in status(self.config):
            made = len(one.states) - one.count("missing")
            rows.append(
                {
                    **_status_row(one.asset, one.year, len(one.states), made),
                    "current": one.count("current"),
                    "stale": one.count("stale"),
                    "failed": len(one.failed),
                    "why": one.why_stale,
                }
            )
        return rows


def _status_row(asset: str, year: int | None, partitions: int, made: int) -> dict[str, Any]:
    missing = partitions - made
    return {
        "asset": asset,
        "year": year or 0,
        "partitions": partitions,
        "made": made,
        "missing": missing,
    }
