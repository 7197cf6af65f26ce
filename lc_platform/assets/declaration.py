"""Declaration of assets: a body for one partition, called for one partition or a chunk of them."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import dagster as dg

from lc_platform.artefacts.layout import PATCH, YEAR, Partition, dimensions, key
from lc_platform.artefacts.versions import NOTHING, Snapshot, VersionSpec, digest
from lc_platform.assets import partitions
from lc_platform.assets.dagster_internals import RETRY_NUMBER_TAG
from lc_platform.assets.io_manager import (
    FAILED,
    PERMANENT,
    ByPartition,
    Failed,
    Made,
    Unchanged,
    missing,
)
from lc_platform.assets.partitions import partition_of
from lc_platform.assets.step_failures import Step, canceled, explained
from lc_platform.config.options import Options
from lc_platform.errors import PlatformError
from lc_platform.logs import about
from lc_platform.platform import Platform
from lc_platform.runtime.interruption import StopRequested
from lc_platform.runtime.progress import at
from lc_platform.runtime.redaction import conceal

OWNERS = ["team:land-cover"]


class Retries(dg.RetryPolicy):
    """Retries of failed steps; Dagster asks for the delay of interrupted steps too."""

    def calculate_delay(self, attempt_num: int) -> float:
        handled = sys.exception()
        if isinstance(handled, dg.DagsterExecutionInterruptedError | KeyboardInterrupt):
            raise handled
        return super().calculate_delay(attempt_num)


RETRIES = Retries(
    max_retries=3, delay=10, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS
)
"""Retries of transient errors (`lc_platform.errors.transient`); all others are raised as failures
that are not retried."""


@dataclass(frozen=True)
class Asset:
    """A declared asset, not yet bound to a configuration's years."""

    body: Callable[..., Any]
    group: str
    kinds: set[str]
    code_version: str
    options: Callable[[Platform], Options | None] | None = None
    given: Callable[..., ExternalInput | None] | None = None
    unchanged: Callable[..., None] | None = None
    evidence: Callable[[Platform, int], Sequence[int]] | None = None
    follows: tuple[str, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Further arguments of `dagster.asset`."""

    @property
    def name(self) -> str:
        return self.body.__name__

    @property
    def inputs(self) -> list[str]:
        wanted = [*_parameters(self.body), *(_parameters(self.given) if self.given else ())]
        wanted += self.follows
        return list(dict.fromkeys(n for n in wanted if n not in _OWN))

    @property
    def recipe(self) -> VersionSpec:
        inputs = tuple(self.inputs)
        return VersionSpec(self.name, self.code_version, inputs, self.options, self.evidence)

    def bound(self, years: Sequence[int], patches_per_run: int) -> dg.AssetsDefinition:
        """Return the Dagster asset, partitioned as the storage layout says.

        years            that its partitions are of, where they are of any
        patches_per_run  the number of patches in one run of a backfill
        """
        bound: dg.AssetsDefinition = dg.asset(
            name=self.name,
            description=inspect.getdoc(self.body),
            group_name=self.group,
            kinds=self.kinds,
            owners=OWNERS,
            code_version=self.code_version,
            retry_policy=RETRIES,
            backfill_policy=_backfill_policy(dimensions(self.name), patches_per_run),
            partitions_def=partitions.definition(dimensions(self.name), years),
            ins={n: dg.AssetIn(partition_mapping=self._mapping(n)) for n in self.inputs},
            **self.arguments,
        )(self._compute())
        return bound

    def _mapping(self, upstream: str) -> dg.PartitionMapping | None:
        own, other = dimensions(self.name), dimensions(upstream)
        if not own or not other or own == other:
            return None
        shared = own & other
        if not shared or self._reads_years(upstream):
            return dg.AllPartitionMapping()
        return partitions.of_patch if shared == {"patch"} else partitions.of_year

    def _reads_years(self, upstream: str) -> bool:
        """Whether an artefact is made of the upstream patches of several years. Dagster is told
        that they are all years, since no mapping of its own goes from patches to a year and its
        neighbours; its version counts those that it is made of."""
        return self.evidence is not None and dimensions(upstream) == {PATCH, YEAR}

    def _compute(self) -> Callable[..., Any]:
        def compute(context: dg.AssetExecutionContext, platform: Any, **handles: Any) -> Any:
            step = Step(context.instance, context.run.run_id, self.name, context.log)
            try:
                return computed(step, context, platform, **handles)
            except StopRequested:
                canceled(step)
                raise

        def computed(
            step: Step, context: dg.AssetExecutionContext, platform: Any, **handles: Any
        ) -> Any:
            run = step.run
            with explained(step):
                snapshot = platform.versions.look()

            def one(here: Partition) -> Any:
                with (
                    about(run=run, asset=self.name, patch=here.patch, year=here.year),
                    at(self.name, str(here)),
                ):
                    try:
                        return self._made(platform, context, snapshot, handles, here)
                    except Exception as error:
                        platform.versions.records.forget_damaged(error)
                        raise

            def alone(here: Partition) -> Any:
                with explained(step, here):
                    return _versioned(context, one(here))

            if not context.has_partition_key and not dimensions(self.name):
                return alone(Partition())
            keys = sorted(context.partition_keys)
            wanted = [partition_of(name, context.assets_def.partitions_def) for name in keys]
            if len(wanted) == 1:
                return {wanted[0]: alone(wanted[0])}
            results: dict[Partition, Any] = {}
            with explained(step):
                given_up = _given_up(step, context.run)
            for here in wanted:
                before = platform.failed_before.of(run, self.name, here) or given_up.get(str(here))
                if before:
                    results[here] = Failed(before)
                    continue
                try:
                    results[here] = one(here)
                except Exception as error:
                    conceal(error)
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

    def _made(
        self,
        platform: Platform,
        context: dg.AssetExecutionContext,
        snapshot: Snapshot,
        handles: Mapping[str, Any],
        here: Partition,
    ) -> Made | Unchanged:
        """Return one partition's value, or that its artefact is current already."""
        extra = {"platform": platform, "context": context, PATCH: here.patch, YEAR: here.year}
        before = platform.clock.seconds
        with platform.clock.working():
            of = {name: self._handle(platform, name, handles[name], here) for name in self.inputs}

            def call(function: Callable[..., Any], **more: Any) -> Any:
                wanted = _parameters(function)
                known = {n: v for n, v in {**extra, **more}.items() if n in wanted}
                return function(**known, **{n: of[n]() for n in wanted if n in of})

            given = call(self.given) if self.given else None
            external = digest(given.identity) if given else NOTHING
            loaded = {
                name: set(handle)
                for name, handle in handles.items()
                if isinstance(handle, ByPartition)
            }
            expected = snapshot.expected(self.name, here, external, loaded)
            if snapshot.is_current(self.name, here, expected.version) and platform.store.exists(
                key(self.name, here.patch, here.year)
            ):
                if self.unchanged:
                    call(self.unchanged)
                return Unchanged(expected)
            more = {"given": given} if given else {}
            if self.options and "options" in _parameters(self.body):
                more["options"] = self.options(platform)
            value = call(self.body, **more)
        return Made(value, platform.clock.seconds - before, expected)

    def _handle(
        self, platform: Platform, name: str, given: Any, here: Partition
    ) -> Callable[[], Any]:
        """Return a function that gives the body an upstream asset: the handle of its partition, or
        those of all patches by key, or these by year.

        Raises MissingArtefactError where there is none."""
        wanted = dimensions(name)
        if not wanted:
            return lambda: given
        assert isinstance(given, ByPartition)
        if self.evidence is not None and self._reads_years(name) and here.year is not None:
            years = self.evidence(platform, here.year)
            return lambda: {year: given.by_patch(year) for year in years}
        if "patch" in wanted and here.patch is None:
            return lambda: given.by_patch(here.year)
        at = here.within(wanted)
        if at not in given:
            raise missing(name, at, platform.store)
        return lambda: given[at]


class GivenUpError(PlatformError):
    """A partition failed permanently in the run's first attempt."""


def _given_up(step: Step, run: dg.DagsterRun) -> Mapping[str, GivenUpError]:
    """Return the partitions that failed permanently in the attempt before, of a run that Dagster
    has restarted by itself; a person who restarts it means all of them."""
    if run.parent_run_id is None or RETRY_NUMBER_TAG not in run.tags:
        return {}
    kind = dg.DagsterEventType.STEP_FAILURE
    found: dict[str, GivenUpError] = {}
    for record in step.instance.get_records_for_run(run.parent_run_id, of_type=kind).records:
        event = record.event_log_entry.dagster_event
        data = event.step_failure_data.user_failure_data if event else None
        if event is None or event.step_key != step.asset or data is None:
            continue
        failed: Any = data.metadata.get(FAILED)
        permanent: Any = data.metadata.get(PERMANENT)
        if failed is not None and permanent is not None:
            found |= {where: GivenUpError(failed.value[where]) for where in permanent.value}
    return found


class ExternalInput(Protocol):
    """An input of an asset that comes from outside the graph."""

    @property
    def identity(self) -> Any:
        """What distinguishes it from another one; JSON can hold it."""
        ...


_OWN = ("platform", "context", PATCH, YEAR, "given", "options")
"""Parameters of a body that are not upstream assets."""


def _parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


def asset(
    *,
    group: str,
    kinds: set[str],
    code_version: str,
    options: Callable[[Platform], Options | None] | None = None,
    given: Callable[..., ExternalInput | None] | None = None,
    unchanged: Callable[..., None] | None = None,
    evidence: Callable[[Platform, int], Sequence[int]] | None = None,
    follows: tuple[str, ...] = (),
    **arguments: Any,
) -> Callable[[Callable[..., Any]], Asset]:
    """Declare an asset by the body that makes one of its partitions.

    code_version  changes when the code returns another result
    options       returns what the result and its version depend on beside the inputs
    given         returns an external input, for example the acquisitions of an archive, or None
                  if there is none
    unchanged     is called if the artefact is current already
    evidence      returns the years whose patches one of a year is made of, none where there is
                  none of that year; None where each is made of its own
    follows       upstream assets that it is made after, and tells of without opening them
    arguments     further arguments of `dagster.asset`

    The body's parameters may be ``platform``, ``patch`` (its key), ``year``, ``context``,
    ``given``, ``options``, and upstream assets by name: the handle of the matching partition, or a
    mapping by patch if the asset is yearly and the upstream one patch-wise, by year and patch if
    there is ``evidence``. The body is not called
    if the artefact is current. In a run over several partitions it is called for each, and one that
    raises stops no other.
    """
    return lambda body: Asset(
        body, group, kinds, code_version, options, given, unchanged, evidence, follows, arguments
    )


def _backfill_policy(dims: frozenset[str], patches_per_run: int) -> dg.BackfillPolicy | None:
    """Return how many partitions one run of a backfill has."""
    return dg.BackfillPolicy.multi_run(patches_per_run if "patch" in dims else 1) if dims else None


def _versioned(context: dg.AssetExecutionContext, made: Made | Unchanged) -> Made | Unchanged:
    """Set Dagster's data version. A run over several partitions can set only one for all of them,
    so it sets none; each partition's is in its metadata."""
    context.set_data_version(context.asset_key, dg.DataVersion(made.expected.version.data))
    return made
