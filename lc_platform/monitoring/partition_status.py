"""How the last attempts at missing and stale partitions ended.

When a step fails, Dagster skips everything downstream, of all patches of the run, and calls that
failed too. Here a partition failed if it failed itself, or its blocking check did; a partition that
waited for another one was not reached.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg

from lc_platform.artefacts.layout import EVERY_ASSET, Partition, dimensions
from lc_platform.artefacts.versions import Snapshot, State, Versions
from lc_platform.assets import partitions
from lc_platform.monitoring.run_failures import Failure, failures_of_run
from lc_platform.storage.errors import MissingArtefactError

_RUNS_READ = 500
"""Failed runs whose logs are read, the newest first; of older ones only the failure is known."""
_PAGE = 500
_IN_PROGRESS = {
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
}
Known = dict[str, Sequence[Failure]]
"""Run id -> its failures, for the runs that were read."""


@dataclass(frozen=True)
class Attempts:
    """How the last attempts at the partitions of an asset ended."""

    failed: dict[Partition, str] = field(default_factory=dict)
    """Partition -> the error's text. A partition that exists is here if its check failed."""
    not_reached: dict[Partition, str] = field(default_factory=dict)
    """Partition -> what it waited for."""
    running: dict[Partition, str] = field(default_factory=dict)
    """Partition -> the run that is to make it: in progress, or in the queue."""

    def count(self, states: Mapping[Partition, State]) -> Counter[str]:
        """Count partitions by state, with the failed ones as a state of their own."""
        return Counter(
            "failed" if where in self.failed else state.kind for where, state in states.items()
        )


class PartitionStatus:
    """How the last attempts at all partitions of the configured years ended.

    instance  Dagster's records; None where there are none
    known     failures of runs that were read before; those that are read now are added

    Raises StorageError where the store cannot be read. Without a patch grid, only the grid's own
    status is known.
    """

    def __init__(
        self,
        instance: dg.DagsterInstance | None,
        versions: Versions,
        snapshot: Snapshot,
        years: Sequence[int],
        known: Known | None = None,
    ) -> None:
        self._inputs = {name: spec.inputs for name, spec in versions.recipes.items()}
        self._upstream = {asset: self._all_upstream(asset) for asset in EVERY_ASSET}
        """All assets that an asset depends on, in the order of the graph."""
        self._known: Known = {} if known is None else known
        self.assets: Sequence[str] = EVERY_ASSET
        """Those whose partitions are known."""
        try:
            snapshot.patches()
        except MissingArtefactError:
            self.assets = ("patch_grid",)
        self.of: Mapping[str, Attempts] = {asset: Attempts() for asset in EVERY_ASSET}
        self._open: dict[str, dict[Partition, State]] = {
            asset: {
                where: state
                for year in versions.years_of(asset, years)
                for where, state in snapshot.states(asset, year).items()
                if state.kind != "current"
            }
            for asset in self.assets
        }
        if instance is None:
            return
        self._instance = instance
        attempted = {asset: _attempted(instance, asset, self._open[asset]) for asset in self.assets}
        newest: dict[str, int] = {}
        for found in attempted.values():
            for run, event in found.values():
                newest[run] = max(event, newest.get(run, event))
        self._status = dict(_statuses(instance, list(newest)))
        self._read(sorted(newest, key=lambda run: -newest[run]))
        self._waiting: dict[tuple[str, str], str] = {}
        """(asset, run) -> why what is downstream of it was not reached in that run."""
        for asset, where in self._every():
            run, _ = attempted[asset].get(where, ("", 0))
            self._judge(asset, where, run)

    def _every(self) -> Iterator[tuple[str, Partition]]:
        """Iterate over the partitions that are not current, in the order of the graph."""
        return ((asset, where) for asset in self.assets for where in self._open[asset])

    def _read(self, runs: Sequence[str]) -> None:
        failed = [run for run in runs if self._status.get(run) is dg.DagsterRunStatus.FAILURE]
        for run in [run for run in failed if run not in self._known][:_RUNS_READ]:
            if failures := failures_of_run(self._instance, run):
                self._known[run] = failures
            else:  # Dagster starts it again
                self._status[run] = dg.DagsterRunStatus.QUEUED
        for run in self._known.keys() - set(runs):
            del self._known[run]

    def _judge(self, asset: str, where: Partition, run: str) -> None:
        attempts, status = self.of[asset], self._status.get(run)
        if status is None:
            missing = self._open[asset][where].kind == "missing"
            if missing and (why := self._inherited(asset, where)):
                attempts.not_reached[where] = why
            return
        if status in _IN_PROGRESS:
            attempts.running[where] = run
        if status is dg.DagsterRunStatus.CANCELED:
            attempts.not_reached[where] = f"not reached: run {run} was canceled"
        if status is not dg.DagsterRunStatus.FAILURE:
            return
        failures = self._known.get(run, ())
        upstream = self._upstream[asset]
        own = [f for f in failures if f.asset == asset and f.partition in ("", str(where))]
        blocking = [f for f in failures if f.asset in upstream]
        if own:
            attempts.failed[where] = own[0].reason
        elif blocking:
            if (why := self._blocked(blocking, where, run)) is None:
                return
            attempts.not_reached[where] = why
        elif whys := [why for name in upstream if (why := self._waiting.get((name, run)))]:
            attempts.not_reached[where] = whys[0]
        else:
            of_run = [f.reason for f in failures if not f.asset]
            attempts.failed[where] = of_run[0] if of_run else f"run {run}"
        why = attempts.not_reached.get(where) or _waits(asset, str(where))
        self._waiting.setdefault((asset, run), why)

    def _blocked(self, blocking: Sequence[Failure], where: Partition, run: str) -> str | None:
        """Return what a partition waited for that a run skipped; None where that exists by now."""
        for failure in blocking:
            at = where.within(dimensions(failure.asset))
            if failure.partition != str(at):
                continue
            if at not in self._open[failure.asset]:  # it exists
                if self._made_in(failure.asset, at) != run:
                    return None
                self.of[failure.asset].failed[at] = failure.reason
            return _waits(failure.asset, failure.partition)
        first, *others = blocking
        return _waits(first.asset, first.partition) + (
            f" (and {len(others)} more)" if others else ""
        )

    def _inherited(self, asset: str, where: Partition) -> str | None:
        """Return what a partition waits for that was not attempted yet."""
        for name in self._inputs[asset]:
            # A patch whose box is known can be made without a new grid.
            if name == "patch_grid" or not dimensions(name) <= dimensions(asset):
                continue
            at, found = where.within(dimensions(name)), self.of[name]
            if at in found.failed:
                return _waits(name, str(at))
            if at in found.not_reached:
                return found.not_reached[at]
        return None

    def _all_upstream(self, asset: str) -> Sequence[str]:
        found: set[str] = set()
        wanted = [*self._inputs[asset]]
        while wanted:
            name = wanted.pop()
            if name not in found:
                found.add(name)
                wanted += self._inputs[name]
        return [name for name in EVERY_ASSET if name in found]

    def _made_in(self, asset: str, where: Partition) -> str | None:
        """Return the run that made a partition last, or found it current."""
        key = partitions.partition_key(where)
        of = dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[str(key)] if key else None)
        found = self._instance.fetch_materializations(of, limit=1).records
        return found[0].run_id if found else None


def _waits(asset: str, where: str) -> str:
    return f"not reached: {asset} of {where} failed" if where else f"not reached: {asset} failed"


def _attempted(
    instance: dg.DagsterInstance, asset: str, wanted: Collection[Partition]
) -> dict[Partition, tuple[str, int]]:
    """Return the last run that was to make a partition and did not, with its position in the event
    log."""
    if not wanted:
        return {}
    key, storage = dg.AssetKey(asset), instance.event_log_storage
    if not dimensions(asset):
        planned = storage.get_latest_planned_materialization_info(key)
        made = instance.fetch_materializations(key, limit=1).records
        if planned is None or (made and made[0].storage_id > planned.storage_id):
            return {}
        return {Partition(): (planned.run_id, planned.storage_id)}
    found = storage.get_latest_asset_partition_materialization_attempts_without_materializations(
        key
    )
    if not found:
        return {}
    named = {where: found.get(str(partitions.partition_key(where))) for where in wanted}
    return {where: attempt for where, attempt in named.items() if attempt}


def _statuses(
    instance: dg.DagsterInstance, runs: Sequence[str]
) -> Iterator[tuple[str, dg.DagsterRunStatus]]:
    for start in range(0, len(runs), _PAGE):
        page = dg.RunsFilter(run_ids=list(runs[start : start + _PAGE]))
        yield from ((run.run_id, run.status) for run in instance.get_runs(page))
