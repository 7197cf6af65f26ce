"""A small configuration of the current year with Dagster's records beside it, and its daemon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from lc_platform import config
from lc_platform.artefacts.layout import PATCH, Partition, key
from lc_platform.assets.jobs import JOBS
from lc_platform.assets.partitions import patch_year_key
from lc_platform.graph import build
from lc_platform_tests import graphs
from lc_platform_tests.graphs import QUIET

YEAR = datetime.now(UTC).year
NIGHT = datetime(YEAR, 6, 1, 3, tzinfo=UTC)
PATCH_WISE = {*JOBS["patch_year"], *JOBS["prediction"]}


def settings(columns: int = 2, rows: int = 2, **sections: Any) -> dict[str, Any]:
    """A small configuration of the current year; ``sections`` are laid over it."""
    return graphs.settings(columns, rows, year=YEAR, **sections)


@dataclass
class Deployment:
    """A configuration in a folder, with Dagster's records beside it."""

    folder: Path
    data: dict[str, Any]

    def __post_init__(self) -> None:
        self.config = config.parse(self.data, self.folder)
        (self.folder / "dagster").mkdir(exist_ok=True)
        self.instance = dg.DagsterInstance.from_config(str(self.folder / "dagster"))
        self.definitions = build(self.config)
        self.platform = (self.definitions.resources or {})["platform"]

    def changed(self, **sections: Any) -> Deployment:
        data = dict(self.data)
        for name, changed in sections.items():
            data[name] = {**data[name], **changed}
        return Deployment(self.folder, data)

    @property
    def patches(self) -> list[str]:
        return sorted(self.instance.get_dynamic_partitions(PATCH))

    @property
    def places(self) -> set[Partition]:
        return {Partition(patch, YEAR) for patch in self.patches}

    def launch(self, job: str, *keys: str) -> dg.ExecuteInProcessResult:
        """A job on no partition, one, or the range from the first to the last."""
        start, end = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance,
            partition_key=keys[0] if len(keys) == 1 else None,
            tags={start: keys[0], end: keys[-1]} if len(keys) > 1 else {},
            run_config=QUIET,
            raise_on_error=False,
        )

    def patch_years(self) -> list[str]:
        return [str(patch_year_key(patch, YEAR)) for patch in self.patches]

    def everything(self) -> None:
        assert self.launch("grid").success
        for job, keys in [
            ("reference", self.patches),
            ("patch_year", self.patch_years()),
            ("training", [str(YEAR)]),
            ("prediction", self.patch_years()),
            ("mosaicking", [str(YEAR)]),
        ]:
            assert self.launch(job, *keys).success

    def tick(self, schedule: str, when: datetime = NIGHT) -> str:
        """Evaluate a schedule; what it says it did."""
        repository = self.definitions.get_repository_def()
        with dg.build_schedule_context(
            instance=self.instance, scheduled_execution_time=when, repository_def=repository
        ) as context:
            done = repository.get_schedule_def(schedule).evaluate_tick(context)
        assert not done.run_requests
        return done.skip_message or ""

    def sense(self, sensor: str, cursor: str | None = None) -> Any:
        repository = self.definitions.get_repository_def()
        with dg.build_sensor_context(
            instance=self.instance, cursor=cursor, repository_def=repository
        ) as context:
            return repository.get_sensor_def(sensor).evaluate_tick(context)

    def backfills(self) -> list[dict[str, set[Partition]]]:
        """What each backfill is to make, the oldest first."""
        graph = self.definitions.resolve_asset_graph()
        found = []
        for one in reversed(self.instance.get_backfills()):
            subset = one.get_asset_backfill_data(graph).target_subset
            found.append(places_of(subset))
        return found

    def take_away(self, asset: str, patch: str) -> None:
        """Have one artefact missing."""
        self.platform.store.remove(key(asset, patch, YEAR))

    def acquired_earlier(self, patch: str) -> None:
        """Have a patch's raw bands be of what the archive had some time ago."""
        here, records = Partition(patch, YEAR), self.platform.versions.records
        version = records.of_year("raw_bands", YEAR)[here]
        content = records.read("raw_bands", {here: version})[here]
        records.forget("raw_bands", here)
        records.write("raw_bands", here, version._replace(given="earlier"), content)


def places_of(subset: Any) -> dict[str, set[Partition]]:
    found: dict[str, set[Partition]] = {}
    for asset, name in subset.iterate_asset_partitions():
        patch, _, year = str(name).rpartition("|")
        found.setdefault(asset.path[-1], set()).add(Partition(patch or None, int(year)))
    return found


DEFINITIONS = """
import json
from pathlib import Path
from lc_platform import config
from lc_platform.graph import build

folder = Path({folder!r})
settings = config.parse(json.loads((folder / "settings.json").read_text()), folder)
defs = build(settings)
"""


@contextmanager
def daemon(deployment: Deployment, changes: str = "") -> Iterator[Path]:
    """Run Dagster's daemon on a deployment and give the path of its log. ``changes`` is Python
    that has the deployment's ``settings`` and ``defs`` before the daemon has them."""
    folder = deployment.folder
    home, file, log = folder / "dagster", folder / "deployed.py", folder / "daemon.log"
    (folder / "settings.json").write_text(json.dumps(deployment.data), encoding="utf-8")
    file.write_text(DEFINITIONS.format(folder=str(folder)) + changes, encoding="utf-8")
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    with log.open("w") as told:
        process = subprocess.Popen(
            [sys.executable, "-m", "dagster._daemon", "run", "-f", str(file)],
            env={**os.environ, "DAGSTER_HOME": str(home), "PYTHONWARNINGS": "ignore"},
            cwd=folder,
            stdout=told,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield log
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
