"""Checks of the graph as a whole: which partitions are missing, stale or failed, and how old the
map may be."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta

import dagster as dg

from lc_platform.artefacts.layout import Partition
from lc_platform.artefacts.versions import Snapshot
from lc_platform.assets.jobs import COMPLETENESS_ASSET, JOBS, completeness_name
from lc_platform.config import Operations
from lc_platform.monitoring.partition_status import Attempts, PartitionStatus
from lc_platform.platform import Platform

_WRONG = ("failed", "missing", "stale")
SHOWN = 25
"""Partitions that a check names."""


def completeness_checks(platform: Platform) -> dg.AssetChecksDefinition:
    """A check of every asset over all its partitions, shown on the patch grid's page.

    They are not on the asset that they are about, for then every run of one patch would look at
    all of them.
    """
    assets = [asset for asset in platform.partition_years if asset != COMPLETENESS_ASSET]
    described = {
        a: f"Every partition of {a} is made, up to date, and did not fail." for a in assets
    }

    @dg.multi_asset_check(
        name=f"{COMPLETENESS_ASSET}_completeness",
        specs=[
            dg.AssetCheckSpec(
                completeness_name(a), asset=COMPLETENESS_ASSET, description=described[a]
            )
            for a in assets
        ],
        can_subset=True,
    )
    def complete(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        snapshot, years = platform.versions.look(), platform.config.years
        status = PartitionStatus(context.instance, platform.versions, snapshot, years)
        for asset in assets:
            key = dg.AssetCheckKey(dg.AssetKey(COMPLETENESS_ASSET), completeness_name(asset))
            if key in context.selected_asset_check_keys:
                yield _result(snapshot, status.of[asset], asset, years)

    return complete


def _result(
    snapshot: Snapshot, attempts: Attempts, asset: str, years: Sequence[int]
) -> dg.AssetCheckResult:
    rows: list[dg.TableRecord] = []
    wrong: list[tuple[Partition, str]] = []
    total: Counter[str] = Counter()
    for year in snapshot.years_of(asset, years):
        states = snapshot.states(asset, year)
        for partition, state in states.items():
            if partition in attempts.failed:
                wrong.append((partition, "failed"))
            elif state.kind != "current":
                why = state.why or attempts.not_reached.get(partition)
                wrong.append((partition, f"{state.kind}: {why}" if why else state.kind))
        counts = attempts.count(states)
        total += counts
        row = {kind: counts[kind] for kind in ("current", *_WRONG)}
        rows.append(dg.TableRecord({"year": str(year or ""), **row}))
    # Failed partitions come first: somebody has to look at them.
    wrong.sort(key=lambda pair: pair[1] != "failed")
    summary = ", ".join(f"{total[kind]} {kind}" for kind in _WRONG if total[kind])
    return dg.AssetCheckResult(
        check_name=completeness_name(asset),
        asset_key=COMPLETENESS_ASSET,
        passed=not wrong,
        severity=dg.AssetCheckSeverity.ERROR if total["failed"] else dg.AssetCheckSeverity.WARN,
        description=f"{asset}: {summary or 'all partitions are up to date'}",
        metadata={
            "years": dg.MetadataValue.table(rows),
            "partitions": dg.MetadataValue.md(_listed(wrong)),
        },
    )


def _listed(wrong: Sequence[tuple[Partition, str]]) -> str:
    if not wrong:
        return "none"
    lines = [f"- `{partition}` {state}" for partition, state in wrong[:SHOWN]]
    rest = len(wrong) - SHOWN
    return "\n".join([*lines, f"- and {rest} more"] if rest > 0 else lines)


def freshness(operations: Operations) -> Callable[[dg.AssetSpec], dg.AssetSpec]:
    """Return a function that gives the map's assets a policy of how old they may be.

    It does so only where maps are rebuilt by schedule: that of a year long past does not age.
    """
    late, overdue = (timedelta(days=days) for days in operations.map_age)
    policy = dg.FreshnessPolicy.time_window(fail_window=overdue, warn_window=late)
    watched = (
        {dg.AssetKey(asset) for job in ("mosaicking", "change_detection") for asset in JOBS[job]}
        if operations.rebuild.enabled
        else {}
    )

    def applied(spec: dg.AssetSpec) -> dg.AssetSpec:
        return dg.apply_freshness_policy(spec, policy) if spec.key in watched else spec

    return applied
