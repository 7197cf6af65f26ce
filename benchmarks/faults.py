"""``python -m benchmarks.faults``: SIGKILL to every kind of process, many times, and what it cost.

Backfills of a small simulated area run one after the other in a deployment as infra/ has it, until
each kind of process was killed as often as asked. Each backfill must end as the map that one
process makes without a fault. `--write docs/reliability.md` puts the tables there.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from urllib.error import HTTPError

from benchmarks import report
from lc_platform.artefacts.layout import ASSETS
from lc_platform.storage.store import Store
from lc_platform_tests.production import artefacts, faults
from lc_platform_tests.production.areas import Area, made_by_one_process
from lc_platform_tests.production.artefacts import Digests
from lc_platform_tests.production.deployment import Deployment, deployed, start_worker
from lc_platform_tests.production.faults import Kill, Outcome
from lc_platform_tests.production.graphql import GraphQL

AREA = Area(columns=3, rows=2, years=(2023,), chunk=2)
_A_BACKFILL = 20
"""Kills that one backfill is shot at with, at most."""
_CLICKS = 5
_SECONDS = 3600.0
WORKERS = ("worker-1", "worker-2")
_MORE_RETRIES = {"run_retries": {"max_retries": 20}}
"""More than the default: here one run may be hit again and again."""
_SLOTS = {"concurrency": {"runs": {"max_concurrent_runs": len(WORKERS)}}}
NAMES = {
    faults.RUN: "a run",
    "daemon": "the daemon",
    "code-location": "the code server, with its runs",
    "object-store": "the S3 server",
    "postgres": "Postgres",
    **dict.fromkeys(WORKERS, "a Celery worker, with its run"),
}


def main() -> int:
    arguments = _arguments()
    with TemporaryDirectory(prefix="lc-platform-faults-") as temporary:
        folder = Path(temporary)
        expected = made_by_one_process(AREA, folder / "one-process")
        outcomes: list[Outcome] = []
        try:
            for cluster in (True, False):
                targets = WORKERS[:1] if cluster else faults.TARGETS
                if arguments.only and not set(targets) & set(arguments.only):
                    continue
                wanted = [t for t in targets if not arguments.only or t in arguments.only]
                place = folder / ("cluster" if cluster else "compose")
                outcomes += _in_deployment(
                    place, cluster, wanted * arguments.kills, arguments.seed, expected
                )
        except (KeyboardInterrupt, OSError) as error:
            print(f"stopped: {error!r}", file=sys.stderr)
    tables = [report.machine(), by_target(outcomes), in_all(outcomes, arguments.seed)]
    for table in tables:
        print(f"\n{table.title}\n\n{report.markdown(table)}")
    if arguments.write is not None:
        report.write(tables, arguments.write)
    return 0 if outcomes and all(not problems(outcome) for outcome in outcomes) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--kills", type=int, default=20, help="of each kind of process")
    parser.add_argument("--seed", type=int, default=1, help="of the moments and the order")
    parser.add_argument("--only", nargs="+", choices=NAMES, help="these kinds alone")
    parser.add_argument("--write", type=Path, metavar="FILE", help="the document of the tables")
    return parser.parse_args()


def _in_deployment(
    folder: Path, cluster: bool, targets: Sequence[str], seed: int, expected: Digests
) -> Iterator[Outcome]:
    """Backfills, until all targets were shot at."""
    left = list(targets)
    changes = _MORE_RETRIES | (_SLOTS if cluster else {})
    with deployed(folder, AREA.settings(), cluster=cluster, changes=changes) as deployment:
        for name in WORKERS if cluster else ():
            start_worker(deployment, name)
        while left:
            outcome = _one_backfill(deployment, left[:_A_BACKFILL], seed, expected)
            print(outcome.told(), end="\n\n", flush=True)
            for kill in outcome.kills:
                left.remove(kill.target)
            seed += 1
            yield outcome


def _one_backfill(
    deployment: Deployment, targets: Sequence[str], seed: int, expected: Digests
) -> Outcome:
    store = Store.of(deployment.config)
    with contextlib.suppress(FileNotFoundError):
        store.fs.rm(store.fs._strip_protocol(str(store)), recursive=True)
    ui = deployment.graphql
    assert ui.wait_for_run(_clicked(ui), 300) == "SUCCESS"
    backfill = ui.launch_backfill(ASSETS, f"Under fire, seed {seed}")
    outcome = faults.shoot_at(deployment, backfill, targets, seed, seconds=_SECONDS)
    found = artefacts.digests(deployment.config)
    outcome.differing = sorted((w for w in expected if found.get(w) != expected[w]), key=str)
    return outcome


def _clicked(ui: GraphQL) -> str:
    """The run of the job ``grid``: a webserver whose database was away since it was last asked
    answers once with an error, and whoever has clicked clicks again."""
    for _ in range(_CLICKS):
        try:
            return ui.launch_job("grid")
        except HTTPError as error:
            print(f"clicked again: {error}", file=sys.stderr)
            time.sleep(1)
    return ui.launch_job("grid")


def problems(outcome: Outcome) -> list[str]:
    """What did not survive."""
    return [
        *([outcome.status] if outcome.status != "COMPLETED_SUCCESS" else []),
        *(f"made again: {name}, {why}" for name, why in outcome.again.items()),
        *(f"not current: {where}" for where in outcome.not_current),
        *(f"differs: {where}" for where in outcome.differing),
    ]


def by_target(outcomes: Sequence[Outcome]) -> report.Table:
    kills: dict[str, list[Kill]] = {}
    for outcome in outcomes:
        for kill in outcome.kills:
            kills.setdefault(NAMES[kill.target], []).append(kill)
    rows: list[tuple[str, ...]] = []
    for name in dict.fromkeys(NAMES.values()):
        back = [kill.back_after for kill in kills.get(name, [])]
        rows.append(
            (
                name,
                str(len(back)),
                f"{median(back):.0f} s" if back else "",
                f"{max(back):.0f} s" if back else "",
            )
        )
    columns = ("killed with SIGKILL", "times", "all services answer again after", "at most")
    return report.Table("kills", "What was killed", columns, rows)


def in_all(outcomes: Sequence[Outcome], seed: int) -> report.Table:
    runs = sum(sum(outcome.history.runs.values()) for outcome in outcomes)
    failed = sum(outcome.history.runs.get("FAILURE", 0) for outcome in outcomes)
    whole = sum(outcome.status == "COMPLETED_SUCCESS" for outcome in outcomes)
    again = sum(len(outcome.again) for outcome in outcomes)
    rows: list[tuple[str, ...]] = [
        ("backfills, each of all assets", str(len(outcomes))),
        ("backfills that completed without a person", str(whole)),
        ("runs", str(runs)),
        ("runs that were lost to a kill", str(failed)),
        ("runs that took up another one's work", str(sum(o.history.retries for o in outcomes))),
        ("artefacts that should be there in the end", str(len(outcomes) * AREA.artefacts)),
        ("lost, stale or doubled", str(sum(len(o.not_current) for o in outcomes))),
        (
            "half-written, or other than one process makes them",
            str(sum(len(o.differing) for o in outcomes)),
        ),
        ("finished before a kill and made again after it", str(again)),
        (
            "found by a retry as they should be, and left so",
            str(sum(o.history.found.total() for o in outcomes)),
        ),
    ]
    notes = [line for outcome in outcomes for line in problems(outcome)]
    title = f"What came of it (seed {seed})"
    return report.Table("faults", title, ("what", "how many"), rows, tuple(notes[:20]))


if __name__ == "__main__":
    sys.exit(main())
