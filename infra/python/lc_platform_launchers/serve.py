"""The `dagster` command, for code servers that must outlive their database.

A code server notices in a thread of its own when the process of a run has ended. In Dagster that
thread ends with its first error, such as a database that is restarting: runs that are killed after
that would be believed to be at work until their maximum run time is over.
"""

from __future__ import annotations

import logging

from dagster._cli import main
from dagster._grpc.server import DagsterApiServer

_check = DagsterApiServer._check_for_orphaned_runs


def _check_patiently(server: DagsterApiServer) -> None:
    try:
        _check(server)
    except Exception:
        logging.getLogger("dagster.code_server").exception("looking after the runs again soon")


if __name__ == "__main__":
    DagsterApiServer._check_for_orphaned_runs = _check_patiently  # type: ignore[method-assign]
    main()
