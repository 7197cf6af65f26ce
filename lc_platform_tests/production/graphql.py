"""What the web UI asks of the webserver when a person clicks."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

REPOSITORY = {"repositoryName": "__repository__", "repositoryLocationName": "lc-platform"}

_LAUNCH = """
mutation LaunchAllPartitions($params: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $params) {
    __typename
    ... on LaunchBackfillSuccess { backfillId }
    ... on PythonError { message }
  }
}"""
_BACKFILL = """
query Backfill($id: String!) {
  partitionBackfillOrError(backfillId: $id) {
    __typename
    ... on PartitionBackfill { status error { message } }
    ... on PythonError { message }
  }
}"""
_START_SCHEDULE = """
mutation StartSchedule($selector: ScheduleSelector!) {
  startSchedule(scheduleSelector: $selector) {
    __typename
    ... on ScheduleStateResult { scheduleState { status } }
    ... on PythonError { message }
  }
}"""
_STOP_SCHEDULE = """
mutation StopSchedule($id: String!) {
  stopRunningSchedule(id: $id) { __typename }
}"""
_TICKS = """
query Ticks($selector: ScheduleSelector!) {
  scheduleOrError(scheduleSelector: $selector) {
    __typename
    ... on Schedule {
      scheduleState { id status ticks(limit: 10) { status runIds error { message } } }
    }
  }
}"""
_LAUNCH_JOB = """
mutation Launch($params: ExecutionParams!) {
  launchPipelineExecution(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
  }
}"""
_RUN = """
query Run($id: ID!) { runOrError(runId: $id) { __typename ... on Run { status } } }
"""
_HEALTH = """
query Health {
  instance { daemonHealth { allDaemonStatuses { daemonType required lastHeartbeatTime } } }
}"""
_OVER = ("COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED", "COMPLETED")


class RefusedError(Exception):
    """The webserver did not do what it was asked for."""


@dataclass(frozen=True)
class GraphQL:
    """The webserver's GraphQL API."""

    url: str

    def ask(self, query: str, **variables: Any) -> Any:
        """Raises OSError where the webserver is not there, Refused where it answers with errors."""
        request = urllib.request.Request(
            self.url,
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.load(response)
        if answer.get("errors"):
            raise RefusedError(str(answer["errors"])[:2000])
        return answer["data"]

    def _one(self, query: str, wanted: str, **variables: Any) -> Mapping[str, Any]:
        (answer,) = self.ask(query, **variables).values()
        if answer["__typename"] != wanted:
            raise RefusedError(str(answer)[:2000])
        found: Mapping[str, Any] = answer
        return found

    def answers(self) -> bool:
        try:
            self.ask("{ version }")
        except (OSError, RefusedError):
            return False
        return True

    def daemons_beat_since(self, moment: float) -> bool:
        """Whether all daemons have told that they live after a moment in seconds since 1970."""
        try:
            health = self.ask(_HEALTH)["instance"]["daemonHealth"]["allDaemonStatuses"]
        except (OSError, RefusedError):
            return False
        beats = [daemon["lastHeartbeatTime"] for daemon in health if daemon["required"]]
        return bool(beats) and all(beat is not None and beat > moment for beat in beats)

    def launch_job(self, job: str) -> str:
        """The id of the run."""
        selector = {**REPOSITORY, "pipelineName": job}
        params = {"selector": selector, "mode": "default", "runConfigData": {}}
        run = self._one(_LAUNCH_JOB, "LaunchRunSuccess", params=params)["run"]
        return str(run["runId"])

    def run_status(self, run_id: str) -> str:
        return str(self._one(_RUN, "Run", id=run_id)["status"])

    def launch_backfill(self, assets: Sequence[str], title: str) -> str:
        """One backfill of all partitions of assets; its id."""
        params = {
            "assetSelection": [{"path": [asset]} for asset in assets],
            "allPartitions": True,
            "title": title,
        }
        answer = self._one(_LAUNCH, "LaunchBackfillSuccess", params=params)
        return str(answer["backfillId"])

    def backfill_status(self, backfill_id: str) -> str:
        """Raises RefusedError with its error where it has one."""
        found = self._one(_BACKFILL, "PartitionBackfill", id=backfill_id)
        if found["error"]:
            raise RefusedError(str(found["error"]["message"]))
        return str(found["status"])

    def is_over(self, backfill_id: str) -> bool:
        """Whether a backfill has ended; not, as far as is known, while the webserver is away."""
        try:
            answer = self._one(_BACKFILL, "PartitionBackfill", id=backfill_id)
        except (OSError, RefusedError):
            return False
        return answer["status"] in _OVER

    def start_schedule(self, name: str) -> None:
        selector = {**REPOSITORY, "scheduleName": name}
        self._one(_START_SCHEDULE, "ScheduleStateResult", selector=selector)

    def ticks(self, name: str) -> Sequence[Mapping[str, Any]]:
        """The last ticks of a schedule, the newest first."""
        selector = {**REPOSITORY, "scheduleName": name}
        found: Sequence[Mapping[str, Any]]
        found = self._one(_TICKS, "Schedule", selector=selector)["scheduleState"]["ticks"]
        return found

    def stop_schedule(self, name: str) -> None:
        selector = {**REPOSITORY, "scheduleName": name}
        state = self._one(_TICKS, "Schedule", selector=selector)["scheduleState"]
        self.ask(_STOP_SCHEDULE, id=state["id"])

    def wait_for_run(self, run_id: str, seconds: float) -> str:
        """How a run ended. Raises TimeoutError."""
        deadline = time.monotonic() + seconds
        while (status := self.run_status(run_id)) not in ("SUCCESS", "FAILURE", "CANCELED"):
            if time.monotonic() > deadline:
                raise TimeoutError(f"run {run_id}: still {status} after {seconds:.0f} s")
            time.sleep(1)
        return status
