"""Whose a store is: two deployments with different configurations undo each other's work."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from lc_platform.artefacts.layout import CLAIM
from lc_platform.storage.errors import MissingArtefactError, StorageError
from lc_platform.storage.store import Store


def claim(store: Store, deployment: str, configuration: str, name: str) -> None:
    """Say that a deployment works on a store under a configuration.

    deployment     names Dagster's records, which are one for all of a deployment's processes
    configuration  names what of it the artefacts depend on
    name           the configuration's own

    Raises StorageError where another deployment works on it under another configuration.
    """
    found = _found(store)
    if (found.get("deployment"), found.get("configuration")) == (deployment, configuration):
        return
    if found and deployment != found["deployment"] and configuration != found["configuration"]:
        raise StorageError(
            f"{store}: another deployment works here with another configuration ({found['name']}, "
            f"since {found['since']}), and each would make again what the other has made. Give "
            f"this one a `storage` of its own; if that one is no more, remove {store.path(CLAIM)}"
        )
    if found and deployment != found["deployment"]:
        return  # a guest with the same configuration
    now = datetime.now(UTC).isoformat(timespec="seconds")
    told = {
        "deployment": deployment,
        "configuration": configuration,
        "name": name,
        "since": now,
    }
    store.put(CLAIM, json.dumps(told).encode())


def _found(store: Store) -> dict[str, str]:
    try:
        told = json.loads(store.read_bytes(CLAIM))
        return {name: str(told[name]) for name in ("deployment", "configuration", "name", "since")}
    except (MissingArtefactError, ValueError, KeyError, TypeError):
        return {}
