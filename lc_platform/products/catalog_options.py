"""The options of `catalog`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lc_platform.config.options import ABSENT, NotCounted, Options, appearance, if_any, option
from lc_platform.cube import Legend
from lc_platform.eo.season import CALENDAR_YEAR, Season


def _classes(classes: Legend) -> list[list[Any]]:
    return [[value, name, color] for value, (name, color) in classes.items()]


def _of_season(season: Season) -> Any:
    return ABSENT if season == CALENDAR_YEAR else season.described


@dataclass(frozen=True, kw_only=True)
class CatalogOptions(Options):
    """The options of `catalog`."""

    name: str = option(appearance("name"), default="")
    """Of the map; empty where it is not known."""
    classes: Legend = option(appearance("reference.classes", value=_classes), default_factory=dict)
    season: Season = option(appearance("season", value=_of_season), default=CALENDAR_YEAR)
    padding: int = option(appearance("features.padding", value=if_any), default=0)
    """Days before and after the season whose imagery is acquired too."""
    archives: Mapping[str, str] = option(appearance("archives", value=if_any), default_factory=dict)
    """What the addresses of the items of a STAC API begin with, by the name of the auxiliary
    collection, that of the main one under an empty name; without archives that are no API."""
    catalogs: Mapping[str, str] = option(
        NotCounted("of whom reads it: an archive of files may lie elsewhere on each machine"),
        default_factory=dict,
    )
    """The URLs or paths of static catalogs, likewise."""
