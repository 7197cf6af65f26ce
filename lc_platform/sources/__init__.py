"""Where data come from: imagery archives and the reference map."""

from __future__ import annotations

from collections.abc import Mapping

from lc_platform.catalogue import DataType, data_type_of
from lc_platform.config import Config, Simulation
from lc_platform.eo.resampling import Interpolation
from lc_platform.sources.protocol import Ledger, Source


def open_source(config: Config, ledger: Ledger | None = None) -> Source:
    """Return the archive that ``imagery.source`` names.

    ledger  counts what is spent; None where nothing is counted

    Raises SourceError where the platform cannot read it.
    """
    imagery = config.imagery
    return _opened(
        config, imagery.source, imagery.collection, imagery.catalog, "imagery.catalog", ledger,
        imagery.stored_type, imagery.resampling,
    )  # fmt: skip


def open_auxiliary(config: Config, ledger: Ledger | None = None) -> Mapping[str, Source]:
    """Return the archives of ``imagery.also``, by the names of the collections, in order.

    Errors are those of ``open_source``.
    """
    imagery = config.imagery
    return {
        one.name: _opened(
            config,
            imagery.auxiliary_source(one),
            one.collection,
            imagery.catalog if one.catalog is None else one.catalog,
            "imagery.catalog" if one.catalog is None else f"imagery.also[{i}].catalog",
            ledger,
            data_type_of(one.collection),
            backscatter=imagery.auxiliary_backscatter(one),
        )
        for i, one in enumerate(imagery.also)
    }


def _opened(
    config: Config,
    source: str,
    collection: str,
    catalog: str | None,
    catalog_key: str,
    ledger: Ledger | None,
    data_type: DataType,
    resampling: Interpolation = "nearest",
    backscatter: str | None = None,
) -> Source:
    imagery = config.imagery
    if source == "simulated":
        from lc_platform.sources.simulated import COLLECTIONS, Changes, ReferenceMistakes

        simulation = imagery.simulation or Simulation()
        return COLLECTIONS[collection](
            seed=simulation.seed,
            cloudiness=simulation.cloudiness,
            mistakes=ReferenceMistakes(**simulation.mistakes.model_dump()),
            bright=simulation.bright_surfaces,
            changes=(
                None if simulation.changes is None else Changes(**simulation.changes.model_dump())
            ),
        )
    if source == "stac":
        from lc_platform.sources.stac.archive import StacArchive

        assert catalog is not None
        return StacArchive(
            config.located(catalog, catalog_key),
            collection,
            connections=imagery.connections,
            requests_per_minute=imagery.requests_per_minute,
            retries=imagery.retries,
            ledger=ledger,
            exclude=imagery.exclude,
            data_type=data_type,
            resampling=resampling,
        )
    from lc_platform.sources.sentinel_hub.archive import SentinelHubArchive

    return SentinelHubArchive(
        collection,
        deployment=imagery.deployment or "sentinel_hub",
        profile=imagery.profile,
        connections=imagery.connections,
        requests_per_minute=imagery.requests_per_minute,
        retries=imagery.retries,
        ledger=ledger,
        exclude=imagery.exclude,
        backscatter=backscatter,
    )
