"""Where data come from: imagery archives, the area's boundary, the reference map."""

from __future__ import annotations

from lc_platform.config import Config, Simulation
from lc_platform.sources.protocol import Source, SourceError


def open_source(config: Config) -> Source:
    """The archive that ``imagery.source`` names.

    Raises SourceError where the platform cannot read it.
    """
    imagery = config.imagery
    if imagery.also:
        raise SourceError(
            f"imagery.also: {', '.join(imagery.also)} cannot be added yet; one collection is read. "
            "Remove the key"
        )
    if imagery.source == "simulated":
        from lc_platform.sources.simulated import ReferenceMistakes, SimulatedArchive

        simulation = imagery.simulation or Simulation()
        return SimulatedArchive(
            seed=simulation.seed,
            cloudiness=simulation.cloudiness,
            mistakes=ReferenceMistakes(**simulation.mistakes.model_dump()),
        )
    if imagery.source == "stac":
        from lc_platform.sources.stac import StacArchive

        assert imagery.catalog is not None
        return StacArchive(config.located(imagery.catalog, "imagery.catalog"), imagery.collection)
    raise SourceError(
        f"imagery.source: {imagery.source} cannot be read yet. Take stac or simulated"
    )
