"""Servers that the tests of infra/ share, one of each a session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lc_platform_tests.infra import servers


@pytest.fixture(scope="session")
def infra() -> Path:
    """The folder infra/ of the project."""
    return Path(__file__).resolve().parents[2] / "infra"


@pytest.fixture(scope="session")
def postgres() -> Iterator[servers.Postgres]:
    with servers.postgres() as server:
        yield server


@pytest.fixture(scope="session")
def broker(infra: Path) -> Iterator[str]:
    """The URL of a Redis as the cluster's head has it."""
    with servers.redis(infra / "cluster" / "redis.conf") as url:
        yield url


@pytest.fixture(scope="session")
def object_store(infra: Path) -> Iterator[dict[str, str]]:
    """The object store of compose.yaml, with a bucket; the variables that reach it."""
    with servers.object_store(infra / "compose" / "compose.yaml") as variables:
        yield variables
