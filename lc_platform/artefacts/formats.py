"""How each asset's artefact is written and opened."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, BinaryIO, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.artefacts import region_files, tables
from lc_platform.artefacts.grid_format import GridFormat, ReadWhole
from lc_platform.artefacts.layout import (
    METRICS,
    MODEL_CARD,
    MODEL_FOLD_ONNX,
    MODEL_FOLD_TEXT,
    MODEL_FOLDS,
    MODEL_ONNX,
    MODEL_POLYGONS,
    MODEL_REGIONS,
    MODEL_SPACE,
    MODEL_TEXT,
    MODEL_WRONG_LABELS,
)
from lc_platform.artefacts.layout import key as layout_key
from lc_platform.cube import Cube, Layer, LazyCube, Window
from lc_platform.eo import onnx_model
from lc_platform.errors import DataError
from lc_platform.products.alignment import Alignment
from lc_platform.products.area_statistics import AreaStatistics
from lc_platform.products.catalog import CATALOG, ITEMS, Catalog, StoredCatalog
from lc_platform.products.change import Change, ChangeStatistics
from lc_platform.products.cloud_masks import CloudMasks
from lc_platform.products.evaluation import Evaluation
from lc_platform.products.feature_cube import LazyFeatures
from lc_platform.products.features import FeatureStack, are_stored, recomputed
from lc_platform.products.held_out_predictions import HeldOutPredictions
from lc_platform.products.model import LandCoverModel
from lc_platform.products.mosaic import LAND_COVER, POLYGONS, Mosaic
from lc_platform.products.objects import ClassifiedObjects
from lc_platform.products.raw_bands import AcquisitionStack
from lc_platform.products.reference_rasters import ReferenceMap
from lc_platform.products.report import Report
from lc_platform.products.training_samples import Samples
from lc_platform.products.wrong_labels import WrongLabels
from lc_platform.storage import raster_cube, trees, zarr_cube
from lc_platform.storage.errors import DamagedArtefactError, MissingArtefactError, damaged
from lc_platform.storage.file_sets import content_and_writing, of_one_writing
from lc_platform.storage.staging import PART
from lc_platform.storage.store import Store


class Format(Protocol):
    """Writes an asset's value whole or not at all, and opens what was written."""

    def write(self, store: Store, key: str, value: Any) -> int:
        """Returns the bytes stored."""
        ...

    def open(self, store: Store, key: str) -> Any:
        """Raises MissingArtefactError where there is none, StorageError where it is damaged."""
        ...

    def check(self, store: Store, key: str) -> None:
        """Read all of it. Raises StorageError where it is missing, or damaged."""
        ...


@dataclass(frozen=True)
class ZarrFormat:
    handle: Callable[[Cube], Any]

    def write(self, store: Store, key: str, value: LazyCube) -> int:
        return zarr_cube.write(store, key, value)

    def open(self, store: Store, key: str) -> Any:
        return self.handle(zarr_cube.ZarrCube(store, key))

    def check(self, store: Store, key: str) -> None:
        zarr_cube.ZarrCube(store, key).check()


@dataclass(frozen=True)
class FeaturesFormat:
    """Features that are stored, or that say how they are computed."""

    threads: int = 0
    """That may be used to compute them, 0 for all."""

    def write(self, store: Store, key: str, value: LazyCube) -> int:
        return zarr_cube.write(store, key, value)

    def open(self, store: Store, key: str) -> FeatureStack:
        cube = zarr_cube.ZarrCube(store, key)
        return FeatureStack(cube if are_stored(cube) else _Recipe(store, cube, self.threads))

    def check(self, store: Store, key: str) -> None:
        zarr_cube.ZarrCube(store, key).check()


@dataclass(frozen=True)
class _Recipe:
    """Features that are computed of what is stored; opened when they are read, not before."""

    store: Store
    stored: zarr_cube.ZarrCube
    threads: int

    @property
    def grids(self) -> Mapping[str, GeoBox]:
        return self.stored.grids

    @property
    def attributes(self) -> Mapping[str, Any]:
        return self.stored.attributes

    @property
    def layers(self) -> Mapping[str, Layer]:
        return self._features.layers

    @property
    def coordinates(self) -> Mapping[str, NDArray[Any]]:
        return self._features.coordinates

    def read(
        self, layer: str, window: Window | None = None, **select: int | slice | Sequence[int]
    ) -> NDArray[Any]:
        """Raises StorageError where imagery or masks are missing, DataError where they are not
        those that the features were made of."""
        return self._features.read(layer, window, **select)

    @cached_property
    def _features(self) -> LazyFeatures:
        patch, year = str(self.attributes["patch"]), int(self.attributes["year"])
        raw_bands, cloud_masks = (
            zarr_cube.ZarrCube(self.store, layout_key(asset, patch, year))
            for asset in ("raw_bands", "cloud_masks")
        )
        try:
            return recomputed(
                self.attributes,
                AcquisitionStack(raw_bands),
                CloudMasks(cloud_masks),
                threads=self.threads,
            )
        except DataError as error:
            raise DamagedArtefactError(str(error), layout_key("features", patch, year)) from error


@dataclass(frozen=True)
class CogFormat:
    """A COG, its colours, and what else the cube knows: a table of dates, figures."""

    handle: Callable[[raster_cube.RasterCube], Any]

    def write(self, store: Store, key: str, value: LazyCube) -> int:
        with store.siblings(key.removesuffix(".tif"), f"{PART}.tif") as staging:
            size = raster_cube.write(staging, value, value.legend)
            if value.summary.table:
                with staging.file(f"{PART}.parquet") as path:
                    tables.write_columns(path, value.summary.table)
                    size += path.stat().st_size
            for suffix, draw in value.figures.items():
                with staging.file(f"{PART}{suffix}") as path:
                    path.write_bytes(draw(value.summary))
                    size += path.stat().st_size
        return size

    def open(self, store: Store, key: str) -> Any:
        return self.handle(raster_cube.RasterCube(store, key))

    def check(self, store: Store, key: str) -> None:
        table = f"{key.removesuffix('.tif')}.parquet"

        def read() -> tuple[bytes | None, set[str | None]]:
            writings = raster_cube.RasterCube(store, key).check()
            content, of = content_and_writing(store, table)
            return content, writings if content is None else {*writings, of}

        content = of_one_writing(store, key, read)
        if content is not None:
            _check_table(io.BytesIO(content), store.path(table), key)


class AlignmentFormat(ReadWhole):
    """A table of comparisons."""

    def write(self, store: Store, key: str, value: Alignment) -> int:
        with store.file(key) as path:
            tables.write_comparisons(path, value)
            return path.stat().st_size

    def open(self, store: Store, key: str) -> Alignment:
        return tables.read_comparisons(store, key)


class SamplesFormat(ReadWhole):
    """A table of samples."""

    def write(self, store: Store, key: str, value: Samples) -> int:
        with store.file(key) as path:
            tables.write_samples(path, value)
            return path.stat().st_size

    def open(self, store: Store, key: str) -> Samples:
        return tables.read_samples(store, key)


class ModelFormat(ReadWhole):
    """The classifier's text and a card; with folds, also the text of each fold's classifier, and
    tables of what ground is tested in which fold, and of labels that are probably wrong."""

    def write(self, store: Store, key: str, value: LandCoverModel) -> int:
        card = json.dumps({**value.card, "model_version": value.version}, indent=2)
        text, networks = onnx_model.detached(value.text, MODEL_ONNX)
        text, of_regions = region_files.taken_apart(text)
        texts = {MODEL_TEXT: text, MODEL_CARD: card, **of_regions}
        for fold, of_fold in enumerate(value.fold_texts):
            text, files = onnx_model.detached(of_fold, MODEL_FOLD_ONNX.format(fold=fold))
            texts[MODEL_FOLD_TEXT.format(fold=fold)] = text
            networks |= files
        with store.bundle(key, MODEL_TEXT) as staging:
            for name, content in texts.items():
                with staging.file(name) as path:
                    path.write_text(content, encoding="utf-8")
            for name, network in networks.items():
                with staging.file(name) as path:
                    path.write_bytes(network)
            if value.ground is not None:
                tables.write_folds(staging, value.ground)
            if value.training_space is not None:
                with staging.file(MODEL_SPACE) as path:
                    tables.write_space(path, value.training_space, value.card["features"])
            if value.regions is not None:
                with staging.file(MODEL_REGIONS) as path:
                    region_files.write_regions(path, value.regions)
                own = region_files.space_names(value.regions.names) if value.region_spaces else []
                for name, space in zip(own, value.region_spaces, strict=True):
                    with staging.file(name) as path:
                        tables.write_space(path, space, value.card["features"])
            if value.wrong_labels is not None:
                with staging.file(MODEL_WRONG_LABELS) as path:
                    tables.write_columns(path, value.wrong_labels.columns)
        return sum(map(len, (*texts.values(), *networks.values())))

    def open(self, store: Store, key: str) -> LandCoverModel:
        text, card = _read(store, key, MODEL_TEXT, MODEL_CARD)
        regional = region_files.files_of(text)
        own: list[str] = []
        if regional is not None:
            own = [*regional.texts, MODEL_REGIONS]
            text, card, *of_regions = _read(store, key, MODEL_TEXT, MODEL_CARD, *own)
            text = b"\n".join(of_regions[: len(regional.texts)])
        folds, judged = _folds(card), _judges_applicability(card)
        spaces = [MODEL_SPACE] if regional is None else region_files.space_names(regional.regions)
        names = own + (spaces if judged else [])
        if folds:
            of_folds = [MODEL_FOLD_TEXT.format(fold=fold) for fold in range(folds)]
            names += [MODEL_FOLDS, MODEL_POLYGONS, MODEL_WRONG_LABELS, *of_folds]
        networks = _networks(text, folds)
        text, card, *more = _read(store, key, MODEL_TEXT, MODEL_CARD, *names, *networks)
        files = dict(zip(networks, more[len(names) :], strict=True))
        more = more[: len(names)]
        try:
            about = json.loads(card)
            known = {k: v for k, v in about.items() if k != "model_version"}
            regions = None
            if regional is not None:
                text = regional.joined([more.pop(0) for _ in regional.texts]).encode()
                regions = region_files.read_regions(more.pop(0), about)
            read = [tables.read_space(more.pop(0)) for _ in (spaces if judged else [])]
            ground = (
                tables.read_folds(more[0], more[1], folds, about["validation"]["block_size"])
                if folds
                else None
            )
            wrong = WrongLabels.of(tables.read_columns(more[2])) if folds else None
            whole, *of_each = (onnx_model.attached(t.decode(), files) for t in (text, *more[3:]))
            model = LandCoverModel(
                whole,
                known,
                tuple(of_each),
                ground,
                read[0] if read and regional is None else None,
                wrong,
                regions,
                tuple(read) if regional is not None else (),
            )
            same = model.version == about["model_version"]
        except (pa.ArrowException, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DamagedArtefactError(
                f"{store.path(key)}/{MODEL_CARD}: is no card of a model, or is damaged ({error}). "
                "Materialize model again",
                key,
            ) from error
        if not same:
            raise DamagedArtefactError(
                f"{store.path(key)}: {MODEL_TEXT} is not the model that {MODEL_CARD} describes. "
                "Materialize model again",
                key,
            )
        return model


def _folds(card: bytes) -> int:
    """The number of folds that a card tells of; 0 where it is damaged, which its reader says."""
    try:
        return len(json.loads(card)["validation"]["folds"])
    except (ValueError, KeyError, TypeError):
        return 0


def _networks(text: bytes, folds: int) -> list[str]:
    """The names of the networks' files of a model, and of its folds', which have as many."""
    names = onnx_model.kept_apart(text.decode(errors="replace"))
    return names + [
        name.replace(MODEL_ONNX.partition(".")[0], MODEL_FOLD_ONNX.format(fold=fold)[:-5])
        for fold in range(folds)
        for name in names
    ]


def _judges_applicability(card: bytes) -> bool:
    """Whether a card tells of a training space; False where it is damaged."""
    try:
        return bool(json.loads(card)["applicability"]["samples"])
    except (ValueError, KeyError, TypeError):
        return False


class EvaluationFormat(ReadWhole):
    def write(self, store: Store, key: str, value: Evaluation) -> int:
        content = json.dumps(value.metrics, indent=2).encode()
        files = {METRICS: content, **value.pictures}
        with store.bundle(key, METRICS) as staging:
            for name, data in files.items():
                with staging.file(name) as path:
                    path.write_bytes(data)
        return sum(len(data) for data in files.values())

    def open(self, store: Store, key: str) -> Evaluation:
        (content,) = _read(store, key, METRICS)
        try:
            return Evaluation(json.loads(content))
        except ValueError as error:
            raise damaged(f"{store.path(key)}/{METRICS}", error, "evaluation", key) from error


class MosaicFormat:
    def write(self, store: Store, key: str, value: Mosaic) -> int:
        with store.bundle(key, LAND_COVER) as staging:
            return value.write(staging)

    def open(self, store: Store, key: str) -> Mapping[str, str]:
        """The maps' paths by file name."""
        found = store.current(
            key,
            lambda folder: {
                PurePosixPath(one["name"]).name: str(one["name"]) for one in store.children(folder)
            },
        )
        if LAND_COVER not in found:
            raise MissingArtefactError(f"{store.path(key)}: is not there. Materialize it first")
        return found

    def check(self, store: Store, key: str) -> None:
        def read() -> tuple[None, list[str | None]]:
            files = self.open(store, key)
            rasters = [path for name, path in files.items() if name.endswith(".tif")]
            if POLYGONS in files:
                with store.opened(files[POLYGONS]) as file:
                    _check_table(file, files[POLYGONS], key)
            return None, [raster_cube.check_file(store, key, path) for path in rasters]

        of_one_writing(store, key, read)


def _check_table(file: BinaryIO, path: str, key: str, asset: str = "it") -> None:
    """Raises DamagedArtefactError where a part of a table cannot be read."""
    try:
        parts = pq.ParquetFile(file, page_checksum_verification=True)
        for part in range(parts.num_row_groups):
            parts.read_row_group(part)
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, error, asset, key) from error


class AreaStatisticsFormat:
    """A table of areas, and all there is to say of them as JSON beside it."""

    def write(self, store: Store, key: str, value: AreaStatistics) -> int:
        content = json.dumps(value.content, indent=2).encode()
        with store.siblings(key.removesuffix(".parquet"), f"{PART}.parquet") as staging:
            with staging.file(f"{PART}.json") as path:
                path.write_bytes(content)
            with staging.file(f"{PART}.parquet") as path:
                tables.write_areas(path, value.rows)
                return len(content) + path.stat().st_size

    def open(self, store: Store, key: str) -> AreaStatistics:
        beside = f"{key.removesuffix('.parquet')}.json"
        content = store.read_bytes(beside)
        try:
            found = AreaStatistics(json.loads(content))
            found.rows, found.summary  # noqa: B018 - whether what is read of it is there
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise damaged(store.path(beside), error, "area_statistics", key) from error
        return found

    def check(self, store: Store, key: str) -> None:
        self.open(store, key)

        def read() -> tuple[bytes | None, set[str | None]]:
            table, writing = content_and_writing(store, key)
            _, of = content_and_writing(store, f"{key.removesuffix('.parquet')}.json")
            return table, {writing, of}

        table = of_one_writing(store, key, read)
        _check_table(io.BytesIO(table or b""), store.path(key), key)


class ObjectsFormat:
    """A GeoParquet of objects, written while they are read; opened without them."""

    def write(self, store: Store, key: str, value: ClassifiedObjects) -> int:
        with store.file(key) as path:
            tables.write_objects(path, value)
            return path.stat().st_size

    def open(self, store: Store, key: str) -> ClassifiedObjects:
        return ClassifiedObjects(tables.read_about(store, key))

    def check(self, store: Store, key: str) -> None:
        self.open(store, key)
        _check_table(io.BytesIO(store.read_bytes(key)), store.path(key), key)


class ChangeFormat:
    """A map of change with the colours and names of its layers, the table of its transitions, and
    all there is to say of them as JSON beside it."""

    def write(self, store: Store, key: str, value: Change) -> int:
        with store.siblings(key.removesuffix(".tif"), f"{PART}.tif") as staging:
            size = value.write(staging)
            assert value.statistics is not None
            with staging.file(f"{PART}.json") as path:
                path.write_text(json.dumps(value.statistics.content, indent=2), encoding="utf-8")
                size += path.stat().st_size
            with staging.file(f"{PART}.parquet") as path:
                tables.write_transitions(path, value.statistics.rows)
                return size + path.stat().st_size

    def open(self, store: Store, key: str) -> ChangeStatistics:
        beside = f"{key.removesuffix('.tif')}.json"
        content = store.read_bytes(beside)
        try:
            found = ChangeStatistics(json.loads(content))
            found.rows, found.summary  # noqa: B018 - whether what is read of it is there
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise damaged(store.path(beside), error, "change", key) from error
        return found

    def check(self, store: Store, key: str) -> None:
        self.open(store, key)
        stem = key.removesuffix(".tif")

        def read() -> tuple[bytes | None, set[str | None]]:
            table, writing = content_and_writing(store, f"{stem}.parquet")
            _, of = content_and_writing(store, f"{stem}.json")
            return table, {writing, of, *raster_cube.RasterCube(store, key).check()}

        table = of_one_writing(store, key, read)
        _check_table(io.BytesIO(table or b""), f"{store.path(stem)}.parquet", key, "change")


class ReportFormat:
    """An HTML file beside the metrics: it is gone where these are made again in a folder."""

    def write(self, store: Store, key: str, value: Report) -> int:
        content = value.html.encode()
        store.put(key, content)
        return len(content)

    def open(self, store: Store, key: str) -> Report:
        html = store.read_bytes(key).decode(errors="replace")
        if not html.rstrip().endswith("</html>"):
            raise DamagedArtefactError(
                f"{store.path(key)}: is damaged, its end is missing. Materialize report again", key
            )
        return Report(html)

    def check(self, store: Store, key: str) -> None:
        self.open(store, key)


class CatalogFormat:
    """A STAC catalog: JSON files and tables of items in folders."""

    def write(self, store: Store, key: str, value: Catalog) -> int:
        with trees.tree(store, key, CATALOG) as folder:
            value.summary.facts["items"] = value.write(folder)
            return trees.size(folder)

    def open(self, store: Store, key: str) -> StoredCatalog:
        return StoredCatalog(self._document(store, key, CATALOG))

    def _document(self, store: Store, key: str, name: str) -> Mapping[str, Any]:
        text = self._content(store, key, name)
        try:
            return dict(json.loads(text))
        except (ValueError, TypeError) as error:
            raise damaged(f"{store.path(key)}/{name}", error, "catalog", key) from error

    def check(self, store: Store, key: str) -> None:
        """Read the catalog, its collections and the tables of their items."""
        for link in self.open(store, key).content["links"]:
            if link["rel"] != "child":
                continue
            of = PurePosixPath(link["href"])
            self._document(store, key, str(of))
            table = str(of.with_name(ITEMS))
            content = self._content(store, key, table)
            _check_table(io.BytesIO(content), f"{store.path(key)}/{table}", key, "catalog")

    def _content(self, store: Store, key: str, name: str) -> bytes:
        try:
            return store.current(key, lambda path: store.content(f"{path}/{name}"))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise MissingArtefactError(
                f"{store.path(key)}/{name}: is not there. Materialize catalog first"
            ) from error


def _read(store: Store, key: str, *names: str) -> list[bytes]:
    """Files of a folder, of one writing of it."""
    try:
        return store.read_together(key, *names)
    except FileNotFoundError as error:
        raise MissingArtefactError(
            f"{store.path(key)}: {' and '.join(names)} are not there, or not all. Materialize it "
            "first"
        ) from error


def formats(threads: int = 0) -> dict[str, Format]:
    """Return the format of every asset.

    threads  that may be used to compute what is not stored, 0 for all
    """
    return {
        "patch_grid": GridFormat(),
        "raw_bands": ZarrFormat(AcquisitionStack),
        "cloud_masks": ZarrFormat(CloudMasks),
        "observation_stats": CogFormat(lambda cube: cube),
        "reference_rasters": CogFormat(ReferenceMap),
        "alignment": AlignmentFormat(),
        "features": FeaturesFormat(threads),
        "training_samples": SamplesFormat(),
        "model": ModelFormat(),
        "predictions": CogFormat(lambda cube: cube),
        "held_out_predictions": CogFormat(HeldOutPredictions),
        "evaluation": EvaluationFormat(),
        "mosaic": MosaicFormat(),
        "area_statistics": AreaStatisticsFormat(),
        "report": ReportFormat(),
        "catalog": CatalogFormat(),
        "objects": ObjectsFormat(),
        "change": ChangeFormat(),
    }
