"""Runs as Celery tasks."""

from __future__ import annotations

from dagster import DagsterRun
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

_ANSWER_SECONDS = 5
_ASKED = 3


class WatchingCeleryRunLauncher(CeleryRunLauncher):
    """Runs as Celery tasks; those whose worker is gone or has lost them are reported as failed."""

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        task = run.tags.get(DAGSTER_CELERY_TASK_ID_TAG)
        if task is None:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "not yet given to the broker")
        for _ in range(_ASKED):
            health = super().check_run_worker_health(run)
            if health.status in (WorkerStatus.SUCCESS, WorkerStatus.FAILED):
                return health
            if self._at_work(task):
                return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(
            WorkerStatus.FAILED,
            f"no worker has Celery task {task}: its worker was killed, restarted or is cut off",
        )

    def _at_work(self, task: str) -> bool:
        """Whether a worker says that it has the task: the one that began it, if that is known."""
        known = self.celery.AsyncResult(task).info
        worker = known.get("hostname") if isinstance(known, dict) else None
        inspect = self.celery.control.inspect(
            destination=[worker] if worker else None, timeout=_ANSWER_SECONDS
        )
        return any(task in tasks for tasks in (inspect.query_task(task) or {}).values())
