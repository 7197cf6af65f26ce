"""How the patch grid is written and opened."""

from __future__ import annotations

from typing import Any

from lc_platform.area.grid import PatchGrid, grid_table, patches_from_columns
from lc_platform.storage.errors import DamagedArtefactError, MissingArtefactError
from lc_platform.storage.store import Store


class ReadWhole:
    """Of what is opened by reading all of it."""

    def check(self, store: Store, key: str) -> None:
        self.open(store, key)  # type: ignore[attr-defined]


class GridFormat(ReadWhole):
    def write(self, store: Store, key: str, value: PatchGrid) -> int:
        table = grid_table(value.patches)
        table["has_reference"] = [bool(value.has_reference[k]) for k in table["key"]]
        with store.file(key) as path:
            table.to_parquet(path)
            return path.stat().st_size

    def open(self, store: Store, key: str) -> PatchGrid:
        import pyarrow as pa

        if not store.exists(key):
            raise MissingArtefactError(f"{store.path(key)}: is not there. Materialize it first")
        try:
            columns = store.current(key, lambda path: _columns(store, path))
            patches = patches_from_columns(columns)
            covered = {
                k: bool(c) for k, c in zip(columns["key"], columns["has_reference"], strict=True)
            }
        except (pa.ArrowException, KeyError, ValueError, OSError) as error:
            raise DamagedArtefactError(
                f"{store.path(key)}: is no patch grid, or is damaged ({error}). Materialize "
                "patch_grid again",
                key,
            ) from error
        return PatchGrid(patches, covered)


def _columns(store: Store, path: str) -> dict[str, list[Any]]:
    """What the table holds but its geometry, which the boxes say too."""
    # Not by geopandas, which takes a quarter of a second to import: `status` reads the grid.
    import pyarrow.parquet as pq

    with store.opened(path) as file:
        table = pq.ParquetFile(file)
        wanted = [name for name in table.schema_arrow.names if name != "geometry"]
        found: dict[str, list[Any]] = table.read(columns=wanted).to_pydict()
    return found
