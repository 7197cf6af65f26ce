"""Tables as Parquet: samples, and what is known of each date."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from lc_platform.artefacts.layout import MODEL_FOLDS, MODEL_POLYGONS
from lc_platform.eo.applicability import TrainingSpace
from lc_platform.products.alignment import Alignment, Comparison
from lc_platform.products.ground_folds import GroundFolds
from lc_platform.products.objects import COLUMNS, ClassifiedObjects
from lc_platform.products.training_samples import Samples
from lc_platform.storage.errors import DamagedArtefactError, MissingArtefactError
from lc_platform.storage.staging import Staging
from lc_platform.storage.store import Store

_OWN = ("class", "class_name", "patch", "polygon", "row", "column", "training", "validation")
_OF_POINTS = ("weight", "point")
"""Columns that are there only where users brought points."""
_METADATA = b"lc_platform"
_MOVES = ("dy", "dx")


def write_samples(path: Path, samples: Samples) -> None:
    """Write a row a sample: its features, then class, its name, patch, polygon, row, column, and
    whether it is for training and for validation; where users brought points, also its weight and
    whether it is one."""
    names = {class_id: name for class_id, (name, _) in samples.legend.items()}
    of_points = dict(zip(_OF_POINTS, (samples.weights, samples.points), strict=True))
    arrays: dict[str, Any] = dict(zip(samples.names, samples.features.T, strict=True))
    patch = pa.array([samples.patch] * len(samples), pa.string()).dictionary_encode()
    table = pa.table(
        {
            **{name: pa.array(values, pa.float32()) for name, values in arrays.items()},
            "class": pa.array(samples.classes, pa.uint8()),
            "class_name": pa.array(
                [names.get(i, "") for i in samples.classes.tolist()], pa.string()
            ).dictionary_encode(),
            "patch": patch,
            "polygon": pa.array(samples.polygons, pa.uint32()),
            "row": pa.array(samples.rows, pa.int32()),
            "column": pa.array(samples.columns, pa.int32()),
            "training": pa.array(np.arange(len(samples)) < samples.for_training),
            "validation": pa.array(samples.for_validation),
            **{name: pa.array(values) for name, values in of_points.items() if values is not None},
        }
    )
    about = {"patch": samples.patch, "year": samples.year}
    table = table.replace_schema_metadata({_METADATA: json.dumps(about).encode()})
    pq.write_table(
        table,
        path,
        compression="zstd",
        use_dictionary=["class_name", "patch"],
        write_page_checksum=True,
    )


_AREAS = pa.schema(
    [
        ("unit", pa.string()),
        ("class", pa.uint8()),
        ("class_name", pa.string()),
        ("pixels", pa.int64()),
        ("mapped_hectares", pa.float64()),
        *(
            (name if part is None else f"{name}_{part}", pa.float64())
            for name in ("hectares", "users_accuracy", "producers_accuracy")
            for part in (None, "standard_error", "low", "high")
        ),
    ]
)


def write_areas(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a row a class, of the whole map and of each unit."""
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=_AREAS)
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)


def write_objects(path: Path, objects: ClassifiedObjects) -> None:
    """Write a GeoParquet with a row an object, some thousands of rows at a time."""
    geometry: dict[str, Any] = {"encoding": "WKB", "geometry_types": []}
    if objects.crs is not None:
        geometry["crs"] = objects.crs
    geo = {"version": "1.1.0", "primary_column": "geometry", "columns": {"geometry": geometry}}
    schema = COLUMNS.with_metadata(
        {b"geo": json.dumps(geo).encode(), _METADATA: json.dumps(objects.about).encode()}
    )
    with pq.ParquetWriter(path, schema, compression="zstd", write_page_checksum=True) as writer:
        for batch in objects.batches():
            writer.write_batch(batch)


def read_about(store: Store, key: str) -> Mapping[str, Any]:
    """What a GeoParquet of objects says of itself.

    Raises MissingArtefactError where there is none, StorageError where it is damaged.
    """
    if not store.exists(key):
        raise MissingArtefactError(f"{store.path(key)}: is not there. Materialize it first")

    def read(path: str) -> Mapping[str, Any]:
        with store.opened(path) as file:
            about: Mapping[str, Any] = json.loads(pq.read_schema(file).metadata[_METADATA])
        return {"warnings": [], **about}

    try:
        return store.current(key, read)
    except (pa.ArrowException, KeyError, TypeError, ValueError, OSError) as error:
        raise DamagedArtefactError(
            f"{store.path(key)}: is no table of objects, or is damaged ({error}). Materialize "
            "objects again",
            key,
        ) from error


_COMPARISONS = pa.schema(
    [
        *((name, pa.string()) for name in ("comparison", "what", "against", "acquisition")),
        *((f"{name}_{unit}", pa.float64()) for unit in ("pixels", "metres") for name in _MOVES),
        ("uncertainty_pixels", pa.float64()),
        ("blocks", pa.int32()),
        ("beyond_half_a_pixel", pa.bool_()),
    ]
)


_TRANSITIONS = pa.schema(
    [
        ("from", pa.uint8()),
        ("from_name", pa.string()),
        ("to", pa.uint8()),
        ("to_name", pa.string()),
        ("is_change", pa.bool_()),
        ("pixels", pa.int64()),
        ("mapped_hectares", pa.float64()),
        ("confirmed_pixels", pa.int64()),
        *(
            ("hectares" if part is None else f"hectares_{part}", pa.float64())
            for part in (None, "standard_error", "low", "high")
        ),
    ]
)


def write_comparisons(path: Path, alignment: Alignment) -> None:
    """Write a row a comparison."""
    about = {"patch": alignment.patch, "year": alignment.year}
    schema = _COMPARISONS.with_metadata({_METADATA: json.dumps(about).encode()})
    table = pa.Table.from_pylist(alignment.rows, schema=schema)
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)


def read_comparisons(store: Store, key: str) -> Alignment:
    """Raises MissingArtefactError where there is none, StorageError where it is damaged."""
    try:
        table = pq.read_table(
            pa.BufferReader(store.read_bytes(key)), page_checksum_verification=True
        )
        about = json.loads(table.schema.metadata[_METADATA])
        rows = [Comparison(**row) for row in table.to_pylist()]
        return Alignment(about["patch"], about["year"], rows)
    except (pa.ArrowException, KeyError, TypeError, ValueError, OSError) as error:
        raise DamagedArtefactError(
            f"{store.path(key)}: is no table of comparisons, or is damaged ({error}). Materialize "
            "alignment of this patch again",
            key,
        ) from error


def write_transitions(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a row a transition from one class to another, or to itself."""
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=_TRANSITIONS)
    pq.write_table(table, path, compression="zstd", write_page_checksum=True)


def read_samples(store: Store, key: str) -> Samples:
    """Raises MissingArtefactError where there is none, StorageError where it is damaged."""
    if not store.exists(key):
        raise MissingArtefactError(f"{store.path(key)}: is not there. Materialize it first")
    try:
        return store.current(key, lambda path: _samples(store, path))
    except (pa.ArrowException, KeyError, TypeError, ValueError, OSError) as error:
        raise DamagedArtefactError(
            f"{store.path(key)}: is no table of samples, or is damaged ({error}). Materialize "
            "training_samples of this patch again",
            key,
        ) from error


def _samples(store: Store, path: str) -> Samples:
    with store.opened(path) as file:
        table = pq.read_table(file, page_checksum_verification=True)
    about = json.loads(table.schema.metadata[_METADATA])
    names = tuple(name for name in table.column_names if name not in (*_OWN, *_OF_POINTS))
    features = np.empty((table.num_rows, len(names)), dtype=np.float32)
    for position, name in enumerate(names):
        features[:, position] = table[name].to_numpy()
    return Samples(
        about["patch"],
        about["year"],
        names,
        features,
        table["class"].to_numpy(),
        table["row"].to_numpy(),
        table["column"].to_numpy(),
        table["polygon"].to_numpy()
        if "polygon" in table.column_names  # a table from before has none
        else np.zeros(table.num_rows, np.uint32),
        training=_column(table, "training"),
        validation=_column(table, "validation"),
        weights=_column(table, "weight"),
        points=_column(table, "point"),
    )


def _column(table: pa.Table, name: str) -> NDArray[Any] | None:
    return table[name].to_numpy() if name in table.column_names else None


def write_folds(staging: Staging, ground: GroundFolds) -> None:
    """Write the fold of each block, and the block of each polygon."""
    with staging.file(MODEL_FOLDS) as path:
        write_columns(path, {"block": ground.blocks, "fold": ground.folds})
    with staging.file(MODEL_POLYGONS) as path:
        write_columns(path, {"polygon": ground.polygons, "block": ground.homes})


def write_space(path: Path, space: TrainingSpace, names: Sequence[str]) -> None:
    """Write a row a sample, standardized and weighted, with a column a feature that has a say; what
    it was standardized and weighted by is in the table's metadata.

    names  (feature,), of all
    """
    columns = {names[d]: pa.array(space.points[:, i]) for i, d in enumerate(space.used)}
    about = {
        "features": space.features,
        "used": space.used.tolist(),
        "means": space.means.tolist(),
        "factors": space.factors.tolist(),
        "mean_distance": space.mean_distance,
        "threshold": space.threshold,
    }
    table = pa.table(columns).replace_schema_metadata({_METADATA: json.dumps(about).encode()})
    pq.write_table(table, path, compression="zstd", use_dictionary=False, write_page_checksum=True)


def read_space(content: bytes) -> TrainingSpace:
    """Read what `write_space` wrote. Raises pyarrow.ArrowException where it is damaged, KeyError
    where it is another table."""
    table = pq.read_table(pa.BufferReader(content), page_checksum_verification=True)
    about = json.loads(table.schema.metadata[_METADATA])
    return TrainingSpace(
        about["features"],
        np.array(about["used"], np.int64),
        np.array(about["means"]),
        np.array(about["factors"]),
        np.column_stack([column.to_numpy() for column in table.columns]),
        about["mean_distance"],
        about["threshold"],
    )


def read_folds(folds: bytes, polygons: bytes, count: int, size: float | None) -> GroundFolds:
    """Read what `write_folds` wrote. Raises pyarrow.ArrowException where it is damaged, KeyError
    where it is another table."""
    blocks, homes = (
        pq.read_table(pa.BufferReader(content), page_checksum_verification=True)
        for content in (folds, polygons)
    )
    return GroundFolds(
        count,
        size,
        blocks["block"].to_numpy(),
        blocks["fold"].to_numpy(),
        homes["polygon"].to_numpy(),
        homes["block"].to_numpy(),
    )


def write_columns(path: Path, columns: Mapping[str, NDArray[Any]]) -> None:
    """Columns of one length, as they are."""
    table = pa.table({name: pa.array(v) for name, v in columns.items()})
    pq.write_table(table, path, write_page_checksum=True)


def read_columns(content: bytes) -> dict[str, NDArray[Any]]:
    """Read what `write_columns` wrote. Raises pyarrow.ArrowException where it is damaged."""
    table = pq.read_table(pa.BufferReader(content), page_checksum_verification=True)
    return {name: table[name].to_numpy() for name in table.column_names}
