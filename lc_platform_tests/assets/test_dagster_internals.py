"""What the platform takes from Dagster beside what Dagster promises."""

from __future__ import annotations

import inspect
from importlib.metadata import version
from pathlib import Path

import dagster as dg
from packaging.requirements import Requirement

from lc_platform.assets import dagster_internals

PROJECT = Path(__file__).resolve().parents[2]


def test_all_of_it_is_there() -> None:
    there = [name for name in dagster_internals.__all__ if hasattr(dagster_internals, name)]
    assert there == dagster_internals.__all__


def test_the_installed_dagster_is_one_that_the_project_allows() -> None:
    import tomllib

    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (wanted,) = (
        requirement
        for text in project["dependencies"]
        if (requirement := Requirement(text)).name == "dagster"
    )
    assert version("dagster") in wanted.specifier


def test_the_cursor_of_the_retries_is_where_the_daemon_looks_for_it() -> None:
    key = dagster_internals.retry_cursor_key(dg.DagsterEventType.RUN_FAILURE)
    assert "RUN_FAILURE" in key or "PIPELINE_FAILURE" in key, key


def test_the_webserver_is_started_with_what_it_takes() -> None:
    from dagster_webserver.app import create_app_from_workspace_process_context as app_of

    inspect.signature(app_of).bind(None)
    inspect.signature(dg.DagsterInstance.optimize_for_webserver).bind(None, 1, 2, 3)
    inspect.signature(dagster_internals.WorkspaceProcessContext).bind(None, None, version="")
    assert dagster_internals.WorkspaceFileTarget(["workspace.yaml"]).paths == ["workspace.yaml"]
