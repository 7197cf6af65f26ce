"""What became of the last attempts at partitions that are not as they should be.

Where a step fails Dagster leaves out all that is made of it, of all patches of the run, and calls
it failed too. Here a partition has failed where it, or the check that guards it, did; one that had
to wait for another was not reached.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg

from lc_platform.artefacts.layout import ASSETS, Partition, dimensions, years_of
from lc_platform.artefacts.versions import Snapshot, State, Versions
from lc_platform.assets import partitions
from lc_platform.monitoring.run_failures import Failure, of_run
from lc_platform.storage.errors import MissingArtefactError

_RUNS_READ = 500
"""Failed runs whose logs are read, the newest first; of others only that they failed is known."""
_PAGE = 500
Known = dict[str, Sequence[Failure]]
"""Run -> what failed in it, for those that were read."""


@dataclass(frozen=True)
class Unmade:
    """Why partitions of an asset were not made."""

    failed: dict[Partition, str] = field(default_factory=dict)
    """In the words of the error. One that is there is among them where its check failed."""
    not_reached: dict[Partition, str] = field(default_factory=dict)
    """What they waited for."""

    def counted(self, states: Mapping[Partition, State]) -> Counter[str]:
        """How many partitions stand how, the failed ones apart."""
        return Counter(
            "failed" if where in self.failed else state.kind for where, state in states.items()
        )


class PartitionStatus:
    """How the last attempts at all partitions of the configured years have ended.

    known  what runs are known to have failed of: those that are read are added

    Raises StorageError where the store cannot be read. Where there is no patch grid yet, it alone
    is looked at.
    """

    def __init__(
        self,
        instance: dg.DagsterInstance,
        versions: Versions,
        look: Snapshot,
        years: Sequence[int],
        known: Known | None = None,
    ) -> None:
        self._instance = instance
        self._inputs = {name: recipe.inputs for name, recipe in versions.recipes.items()}
        self._above = {asset: self._all_of(asset) for asset in ASSETS}
        """All that an asset is made of, in the order of the work."""
        self._known: Known = {} if known is None else known
        self.assets: Sequence[str] = ASSETS
        """Those whose partitions are known."""
        try:
            look.patches()
        except MissingArtefactError:
            self.assets = ("patch_grid",)
        self.of: Mapping[str, Unmade] = {asset: Unmade() for asset in ASSETS}
        self._open: dict[str, dict[Partition, State]] = {
            asset: {
                where: state
                for year in years_of(asset, years)
                for where, state in look.states(asset, year).items()
                if state.kind != "current"
            }
            for asset in self.assets
        }
        attempted = {asset: _attempted(instance, asset, self._open[asset]) for asset in self.assets}
        newest: dict[str, int] = {}
        for found in attempted.values():
            for run, event in found.values():
                newest[run] = max(event, newest.get(run, event))
        self._status = dict(_statuses(instance, list(newest)))
        self._read(sorted(newest, key=lambda run: -newest[run]))
        self._waiting: dict[tuple[str, str], str] = {}
        """What is made of an asset waited for in a run."""
        for asset, where in self._every():
            run, _ = attempted[asset].get(where, ("", 0))
            self._judge(asset, where, run)

    def _every(self) -> Iterator[tuple[str, Partition]]:
        """In the order of the work."""
        return ((asset, where) for asset in self.assets for where in self._open[asset])

    def _read(self, runs: Sequence[str]) -> None:
        failed = [run for run in runs if self._status.get(run) is dg.DagsterRunStatus.FAILURE]
        for run in [run for run in failed if run not in self._known][:_RUNS_READ]:
            if told := of_run(self._instance, run):
                self._known[run] = told
            else:  # it is started again
                self._status[run] = dg.DagsterRunStatus.QUEUED
        for run in self._known.keys() - set(runs):
            del self._known[run]

    def _judge(self, asset: str, where: Partition, run: str) -> None:
        unmade, status = self.of[asset], self._status.get(run)
        if status is None:
            missing = self._open[asset][where].kind == "missing"
            if missing and (why := self._inherited(asset, where)):
                unmade.not_reached[where] = why
            return
        if status is dg.DagsterRunStatus.CANCELED:
            unmade.not_reached[where] = f"not reached: run {run} was canceled"
        if status is not dg.DagsterRunStatus.FAILURE:
            return
        told = self._known.get(run, ())
        above = self._above[asset]
        own = [f for f in told if f.asset == asset and f.where in ("", str(where))]
        in_the_way = [f for f in told if f.asset in above]
        if own:
            unmade.failed[where] = own[0].words
        elif in_the_way:
            if (why := self._waited(in_the_way, where, run)) is None:
                return
            unmade.not_reached[where] = why
        elif whys := [why for name in above if (why := self._waiting.get((name, run)))]:
            unmade.not_reached[where] = whys[0]
        else:
            said = [f.words for f in told if not f.asset]
            unmade.failed[where] = said[0] if said else f"run {run}"
        why = unmade.not_reached.get(where) or _waits(asset, str(where))
        self._waiting.setdefault((asset, run), why)

    def _waited(self, in_the_way: Sequence[Failure], where: Partition, run: str) -> str | None:
        """What a partition waited for that a run left out; None where that has come since."""
        for failure in in_the_way:
            at = where.within(dimensions(failure.asset))
            if failure.where != str(at):
                continue
            if at not in self._open[failure.asset]:  # it is there
                if self._made_in(failure.asset, at) != run:
                    return None
                self.of[failure.asset].failed[at] = failure.words
            return _waits(failure.asset, failure.where)
        first, *others = in_the_way
        return _waits(first.asset, first.where) + (f" (and {len(others)} more)" if others else "")

    def _inherited(self, asset: str, where: Partition) -> str | None:
        """What a partition that nobody has attempted waits for."""
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

    def _all_of(self, asset: str) -> Sequence[str]:
        found: set[str] = set()
        wanted = [*self._inputs[asset]]
        while wanted:
            name = wanted.pop()
            if name not in found:
                found.add(name)
                wanted += self._inputs[name]
        return [name for name in ASSETS if name in found]

    def _made_in(self, asset: str, where: Partition) -> str | None:
        """The run that has made a partition last, or found it as it should be."""
        key = partitions.partition_key(where)
        of = dg.AssetRecordsFilter(dg.AssetKey(asset), asset_partitions=[str(key)] if key else None)
        found = self._instance.fetch_materializations(of, limit=1).records
        return found[0].run_id if found else None


def _waits(asset: str, where: str) -> str:
    return f"not reached: {asset} of {where} failed" if where else f"not reached: {asset} failed"


def _attempted(
    instance: dg.DagsterInstance, asset: str, places: Collection[Partition]
) -> dict[Partition, tuple[str, int]]:
    """The last run, and its place in the event log, that was to make a partition and has not."""
    if not places:
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
    named = {where: found.get(str(partitions.partition_key(where))) for where in places}
    return {where: attempt for where, attempt in named.items() if attempt}


def _statuses(
    instance: dg.DagsterInstance, runs: Sequence[str]
) -> Iterator[tuple[str, dg.DagsterRunStatus]]:
    for start in range(0, len(runs), _PAGE):
        page = dg.RunsFilter(run_ids=list(runs[start : start + _PAGE]))
        yield from ((run.run_id, run.status) for run in instance.get_runs(page))
