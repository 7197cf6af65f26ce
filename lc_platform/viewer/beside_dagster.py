"""Dagster's web UI and, below a path of the same address, the web map.

`lc-platform ui` runs this module. Dagster's UI is started as `dagster-webserver` starts it; what
fails in the map is an answer of the map's, and the UI goes on.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import dagster as dg
import uvicorn
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.version import __version__
from starlette.types import ASGIApp

from lc_platform import config
from lc_platform.assets.dagster_internals import (
    WorkspaceFileTarget,
    WorkspaceProcessContext,
    configure_loggers,
)
from lc_platform.commands import ports
from lc_platform.reading.reader import opened
from lc_platform.viewer.server import Below, Opened, app_of

_PATH = config.MAP_PATH
_STATEMENT_SECONDS, _RECYCLE_SECONDS, _MOST_CONNECTIONS = 15, 3600, 20
"""Of Dagster's database, as `dagster-webserver` has them by default."""


def _map() -> ASGIApp:
    """Return the map of the configuration that LC_PLATFORM_CONFIG names."""
    return app_of(opened(config.current()), dagster="/")


def serve(workspace: Path, host: str, port: int) -> None:
    """Serve both until the process is asked to end.

    workspace  the file of Dagster's code locations; DAGSTER_HOME has its records
    """
    configure_loggers(formatter="colored", log_level="INFO")
    with (
        dg.DagsterInstance.get() as instance,
        ports.listening(host, port) as listening,
    ):
        instance.optimize_for_webserver(
            1000 * _STATEMENT_SECONDS, _RECYCLE_SECONDS, _MOST_CONNECTIONS
        )
        target = WorkspaceFileTarget([str(workspace)])
        with WorkspaceProcessContext(instance, target, version=__version__) as process:
            ui = create_app_from_workspace_process_context(process)
            both = Below(_PATH, Opened(_map), beside=ui)
            settings = uvicorn.Config(both, log_level="warning")
            address = ports.url(host, listening)
            print(f"Serving Dagster's UI at {address}, the map at {address}{_PATH}/", flush=True)
            uvicorn.Server(settings).run(sockets=[listening])


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        serve(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
