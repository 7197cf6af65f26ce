"""Where things are in Dagster's UI."""

from __future__ import annotations

from urllib.parse import quote

from lc_platform.artefacts.layout import PATCH, YEAR, Partition, dimensions


def partition_link(dagster: str | None, asset: str, where: Partition) -> str | None:
    """Return the page of an asset's partition; None where there is no UI.

    dagster  the UI's address
    """
    if dagster is None:
        return None
    of = where.within(dimensions(asset))
    return f"{_page(dagster, asset)}{quote('|'.join(str(part) for part in of if part is not None))}"


def link_pattern(dagster: str | None, asset: str) -> str | None:
    """Return the page of any of an asset's partitions, with ``{partition}`` in place of the
    partition's key in Dagster (see `key_pattern`); None where there is no UI."""
    return None if dagster is None else f"{_page(dagster, asset)}{{partition}}"


def key_pattern(asset: str, year: int | None) -> str:
    """Return the key that Dagster knows an asset's partition by, with ``{patch}`` in place of the
    patch's key."""
    of = dimensions(asset)
    return "|".join([*(["{patch}"] if PATCH in of else []), *([str(year)] if YEAR in of else [])])


def _page(dagster: str, asset: str) -> str:
    return f"{dagster}/assets/{asset}?view=partitions&partition="
