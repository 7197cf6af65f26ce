"""Options of the samples that users bring themselves, of which versions are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lc_platform.config import Config
from lc_platform.config.input_files import InputFile, digest_of
from lc_platform.config.options import ABSENT
from lc_platform.cube import Legend
from lc_platform.eo.season import CALENDAR_YEAR, Season

KEY = "sampling.points"


@dataclass(frozen=True, kw_only=True)
class PointOptions:
    """Where the points are, and what their columns mean."""

    file: InputFile
    attribute: str
    """The column that holds the class."""
    date: str
    """The column that holds the date, or the year."""
    longitude: str | None = None
    latitude: str | None = None
    """Columns of a table without geometry, degrees."""
    weight: str | None = None
    """The column that holds what a point counts for in training, above 0."""
    alone: bool = False
    """Whether no pixels of the reference map are drawn beside them."""
    years: tuple[int, ...] = ()
    """That maps are made of."""
    season: Season = CALENDAR_YEAR
    """A date is of the map of the year whose season it lies in."""
    classes: Legend
    """That a point's class is a name or an id of."""

    @classmethod
    def of(cls, config: Config) -> PointOptions | None:
        """Return the options of a configuration, None where no points are brought. Raises
        ConfigError where a variable is not set."""
        points = config.sampling.points
        if points is None:
            return None
        file = InputFile.of(config, points.path, f"{KEY}.path", points.layer)
        assert file is not None
        return cls(
            file=file,
            attribute=points.attribute,
            date=points.date,
            longitude=points.longitude,
            latitude=points.latitude,
            weight=points.weight,
            alone=points.alone or config.points_are_the_reference,
            years=config.years,
            season=config.season.span,
            classes={one.id: (one.name, one.color) for one in config.reference.classes},
        )

    @property
    def counted(self) -> dict[str, Any]:
        """What versions are made of."""
        own = ("attribute", "date", "longitude", "latitude", "weight", "alone")
        return {
            "path": digest_of(self.file),
            **{name: getattr(self, name) for name in own},
            "season": self.season.described,
            "classes": {one: name for one, (name, _) in self.classes.items()},
        }


def counted(points: PointOptions | None) -> Any:
    """Return what versions are made of points, if users bring some."""
    return ABSENT if points is None else points.counted
