"""Land-cover maps from satellite time series, orchestrated with Dagster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lc_platform.runtime import cores

if TYPE_CHECKING:
    from lc_platform.config import Config
    from lc_platform.reading.reader import Reader

# Before any library is loaded that reads it, whatever starts the process.
cores.wait_passively()


def open(
    config_or_store: Config | str | Path, *, object_store: Mapping[str, Any] | None = None
) -> Reader:
    """Open what the platform has made, to be read as xarray, pandas and geopandas.

    config_or_store  a configuration, its file or its folder; or a store: a folder, or s3://, gs://
                     or az:// with a bucket and a prefix
    object_store     of a store that is given without its configuration: the keys of the section
                     ``object_store``, such as endpoint; credentials come from the environment

    Nothing but the patch grid is read before it is used, and Dagster is not imported. Raises
    NotFoundError where it is neither, ConfigError where the configuration is not valid,
    StorageError where the store cannot be reached.

    Example: ``lc_platform.open("lc-demo").land_cover(2023)``
    """
    from lc_platform.reading.reader import opened

    return opened(config_or_store, object_store)
