"""The options of a catalog, of a configuration or without one."""

from __future__ import annotations

from lc_platform.config import Config
from lc_platform.cube import Legend
from lc_platform.eo.season import Season
from lc_platform.products.catalog_options import CatalogOptions
from lc_platform.stac.archive_items import ArchiveItems


def options_of(config: Config | None, classes: Legend, season: Season) -> CatalogOptions:
    """Return the options of the catalog of a store.

    config   None where the store is opened without one
    classes  those of the configuration, or those that the store has
    season   likewise
    """
    if config is None:
        return CatalogOptions(classes=classes, season=season)
    archives = ArchiveItems.of(config)
    return CatalogOptions(
        name=config.name,
        classes=classes,
        season=season,
        padding=config.features.padding,
        archives=archives.apis,
        catalogs=archives.catalogs,
    )
