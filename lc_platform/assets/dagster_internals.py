"""What the platform takes from Dagster that Dagster does not promise to keep: all of it, in one
place.

Each import says which issue of https://github.com/dagster-io/dagster makes it unnecessary when it
is resolved. `lc_platform_tests/assets/test_dagster_internals.py` holds that they are there in the
oldest and the newest Dagster that `pyproject.toml` allows.
"""

# What a check that is recorded partition by partition looks at (#17005).
from dagster._core.definitions.asset_checks.asset_check_evaluation import (
    AssetCheckEvaluationTargetMaterializationData,
)

# Backfills can be launched, listed and cancelled with private names only (#26731).
from dagster._core.definitions.assets.graph.asset_graph_subset import AssetGraphSubset
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.definitions.events import AssetKeyPartitionKey

# Runs that a process executes itself belong to no code location, so that the UI's timeline and the
# pages of jobs leave them out (#17707).
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.definitions.repository_definition.valid_definitions import (
    SINGLETON_REPOSITORY_NAME,
)
from dagster._core.execution.api import execute_run_iterator
from dagster._core.execution.backfill import (
    BULK_ACTION_TERMINAL_STATUSES,
    BulkActionsFilter,
    BulkActionStatus,
    PartitionBackfill,
)
from dagster._core.remote_origin import (
    ManagedGrpcPythonEnvCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)

# How a tick of a schedule or a sensor ended has no public name (#12825).
from dagster._core.scheduler.instigation import TickStatus

# The identity of an instance's records, by which two deployments of one store are told apart, has
# no public name; it is of telemetry alone (#12825 asks for such state).
from dagster._core.storage.runs.sql_run_storage import SqlRunStorage

# The tags of runs are documented by their text (#12256), and have no public names.
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    AUTO_RETRY_RUN_ID_TAG,
    BACKFILL_ID_TAG,
    MAX_RETRIES_TAG,
    PARTITION_NAME_TAG,
    RETRY_NUMBER_TAG,
    RETRY_ON_ASSET_OR_OP_FAILURE_TAG,
    WILL_RETRY_TAG,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin

# The webserver takes no routes beside its own (#2219), so that the platform starts it itself, with
# the code locations and the log of `dagster-webserver`.
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget

# The daemon looks at a failed run once, and has to be made to look again (#33741).
from dagster._daemon.auto_run_reexecution.event_log_consumer import _create_cursor_key
from dagster._utils.log import configure_loggers

# Why a step failed is an object without a public name (#9509).
from dagster_shared.error import SerializableErrorInfo

retry_cursor_key = _create_cursor_key

__all__ = [
    "ASSET_PARTITION_RANGE_END_TAG",
    "ASSET_PARTITION_RANGE_START_TAG",
    "AUTO_RETRY_RUN_ID_TAG",
    "BACKFILL_ID_TAG",
    "BULK_ACTION_TERMINAL_STATUSES",
    "MAX_RETRIES_TAG",
    "PARTITION_NAME_TAG",
    "RETRY_NUMBER_TAG",
    "RETRY_ON_ASSET_OR_OP_FAILURE_TAG",
    "SINGLETON_REPOSITORY_NAME",
    "WILL_RETRY_TAG",
    "AssetCheckEvaluationTargetMaterializationData",
    "AssetGraphSubset",
    "AssetKeyPartitionKey",
    "BaseAssetGraph",
    "BulkActionStatus",
    "BulkActionsFilter",
    "InMemoryJob",
    "LoadableTargetOrigin",
    "ManagedGrpcPythonEnvCodeLocationOrigin",
    "PartitionBackfill",
    "RemoteJobOrigin",
    "RemoteRepositoryOrigin",
    "SerializableErrorInfo",
    "SqlRunStorage",
    "TickStatus",
    "WorkspaceFileTarget",
    "WorkspaceProcessContext",
    "configure_loggers",
    "execute_run_iterator",
    "retry_cursor_key",
]
