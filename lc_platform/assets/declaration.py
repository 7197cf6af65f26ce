"""How assets are declared: a body for one partition, run for one partition or a chunk of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

from lc_platform import partitions
from lc_platform.assets.platform import Platform
from lc_platform.partitions import PATCH, YEAR, Place, place
from lc_platform.storage.io_manager import (
    ByPlace,
    Failed,
    Made,
    is_permanent,
    missing,
    permanent_failure,
)
from lc_platform.storage.layout import dimensions

OWNERS = ["team:land-cover"]
RETRIES = dg.RetryPolicy(
    max_retries=3, delay=10, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)
"""Of transient failures; permanent ones are raised as failures that are not retried."""


@dataclass(frozen=True)
class Asset:
    """A declared asset, not yet bound to a configuration's years."""

    body: Callable[..., Any]
    group: str
    kinds: set[str]
    code_version: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.body.__name__

    @property
    def inputs(self) -> list[str]:
        given = inspect.signature(self.body).parameters
        return [n for n in given if n not in ("platform", "context", PATCH, YEAR)]

    def bound(self, years: Sequence[int]) -> dg.AssetsDefinition:
        """The asset as Dagster knows it, partitioned as the storage layout says."""
        bound: dg.AssetsDefinition = dg.asset(
            name=self.name,
            description=inspect.getdoc(self.body),
            group_name=self.group,
            kinds=self.kinds,
            owners=OWNERS,
            code_version=self.code_version,
            retry_policy=RETRIES,
            partitions_def=_partitions(dimensions(self.name), years),
            ins={n: dg.AssetIn(partition_mapping=self._mapping(n)) for n in self.inputs},
            **self.options,
        )(self._compute())
        return bound

    def _mapping(self, upstream: str) -> dg.PartitionMapping | None:
        here, there = dimensions(self.name), dimensions(upstream)
        if not there or not here or here == there:
            return None
        shared = here & there
        if not shared:
            return dg.AllPartitionMapping()
        return partitions.of_patch if shared == {"patch"} else partitions.of_year

    def _compute(self) -> Callable[..., Any]:
        wanted = inspect.signature(self.body).parameters

        def compute(context: dg.AssetExecutionContext, platform: Any, **handles: Any) -> Any:
            given = {"platform": platform, "context": context}
            given = {name: value for name, value in given.items() if name in wanted}

            def made(**arguments: Any) -> Made:
                before = platform.clock.seconds
                with platform.clock.working():
                    value = self.body(**arguments)
                return Made(value, platform.clock.seconds - before)

            if not context.has_partition_key and not dimensions(self.name):
                return _explained(lambda: made(**given, **handles))

            def one(here: Place) -> Any:
                own = {n: self._handle(platform, n, handles[n], here) for n in self.inputs}
                extra = {PATCH: here.patch, YEAR: here.year}
                extra = {name: value for name, value in extra.items() if name in wanted}
                return made(**given, **extra, **own)

            keys = sorted(context.partition_keys)
            places = [place(key, context.assets_def.partitions_def) for key in keys]
            if len(places) == 1:
                return {places[0]: _explained(lambda: one(places[0]))}
            results: dict[Place, Any] = {}
            for here in places:
                try:
                    results[here] = one(here)
                except Exception as error:
                    results[here] = Failed(error)
            return results

        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        annotations = {
            "context": dg.AssetExecutionContext,
            "platform": dg.ResourceParam[Platform],
        } | dict.fromkeys(self.inputs, Any)
        compute.__annotations__ = annotations
        compute.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [inspect.Parameter(name, kind, annotation=a) for name, a in annotations.items()]
        )
        return compute

    def _handle(self, platform: Platform, name: str, given: Any, here: Place) -> Any:
        """What the body gets for an upstream asset: its own partition's handle, or those of all
        patches by key."""
        wanted = dimensions(name)
        if not wanted:
            return given
        assert isinstance(given, ByPlace)
        if "patch" in wanted and here.patch is None:
            return given.by_patch(here.year)
        at = Place(
            here.patch if "patch" in wanted else None, here.year if "year" in wanted else None
        )
        if at not in given:
            raise missing(name, at, platform.store)
        return given[at]


def asset(
    *, group: str, kinds: set[str], code_version: str, **options: Any
) -> Callable[[Callable[..., Any]], Asset]:
    """Declare an asset by the body that makes one of its partitions.

    The body's parameters are ``platform``; where it wants them ``patch`` (its key), ``year``
    and ``context``; and upstream assets by name: the handle of the partition that belongs
    to it, or a mapping by patch where the asset is one a year and the upstream one a patch. In a
    run over several partitions the body is called for each, and one that raises stops no other.
    """
    return lambda body: Asset(body, group, kinds, code_version, options)


def _partitions(dims: frozenset[str], years: Sequence[int]) -> dg.PartitionsDefinition | None:
    if dims == {"patch", "year"}:
        return partitions.patch_years(years)
    if dims == {"patch"}:
        return partitions.patches
    return partitions.years(years) if dims else None


def _explained(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except Exception as error:
        if is_permanent(error):
            raise permanent_failure(error) from error
        raise
