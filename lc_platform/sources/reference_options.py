"""Options of the reference map, of which versions are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lc_platform.config import Config, Simulation
from lc_platform.config.input_files import InputFile, digest_of
from lc_platform.config.options import Options, appearance, data, option
from lc_platform.cube import Legend
from lc_platform.sources.point_options import PointOptions, counted


@dataclass(frozen=True)
class ReferenceClass:
    """A class of the map, and which values of the reference are of it."""

    id: int
    name: str
    color: str
    values: tuple[int | str, ...] = ()
    attribute: str | None = None
    """That the values are of, where it is not the reference's."""


def _each(field: str) -> Any:
    return lambda classes: [getattr(one, field) for one in classes]


@dataclass(frozen=True, kw_only=True)
class ReferenceOptions(Options):
    """The options of `reference_rasters`, and of all that reads the reference."""

    file: InputFile | None = option(data("reference.path", value=digest_of), default=None)
    simulated: Mapping[str, Any] | None = option(data("simulated_reference"), default=None)
    """Seed and mistakes of the simulated archive's reference, where there is no file."""
    points: PointOptions | None = option(data("sampling.points", value=counted), default=None)
    """Points in place of a reference map; None where there is one."""
    attribute: str | None = option(data("reference.attribute"), default=None)
    ignore: tuple[int | str, ...] = option(data("reference.ignore"), default=())
    """Values that mean no label."""
    classes: tuple[ReferenceClass, ...] = option(
        data("reference.classes.id", value=_each("id")),
        data("reference.classes.values", value=_each("values")),
        data("reference.classes.attribute", value=_each("attribute")),
        appearance("reference.classes.name", value=_each("name")),
        appearance("reference.classes.color", value=_each("color")),
    )

    @property
    def ids(self) -> tuple[int, ...]:
        return tuple(one.id for one in self.classes)

    @property
    def legend(self) -> Legend:
        return {one.id: (one.name, one.color) for one in self.classes}

    @classmethod
    def of(cls, config: Config) -> ReferenceOptions:
        """Return the options of a configuration. Raises ConfigError where a variable is not set."""
        reference = config.reference
        return cls(
            file=InputFile.of(config, reference.path, "reference.path", reference.layer),
            simulated=simulated_reference(config),
            points=PointOptions.of(config) if config.points_are_the_reference else None,
            attribute=reference.attribute,
            ignore=reference.ignore,
            classes=tuple(ReferenceClass(**dict(one)) for one in reference.classes),
        )


def simulated_reference(config: Config) -> dict[str, Any] | None:
    """Return what the simulated archive's reference is drawn by; None where there is a file, or
    points."""
    if config.reference.path or config.points_are_the_reference:
        return None
    simulation = config.imagery.simulation or Simulation()
    changes = simulation.changes
    left_out = (
        {"changes": changes} if changes is not None and changes.reference_until is not None else {}
    )
    return {"seed": simulation.seed, "mistakes": simulation.mistakes, **left_out}
