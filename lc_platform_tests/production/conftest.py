"""Whole deployments: minutes each, and only where real servers are asked for."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from lc_platform_tests.left_out import REQUIRED
from lc_platform_tests.production import areas
from lc_platform_tests.production.artefacts import Digests

# What they start is not installed where it is not asked for.
collect_ignore_glob = [] if os.environ.get(REQUIRED) else ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.production)


@pytest.fixture(scope="session")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Callable[[areas.Area], Digests]:
    """The content of every artefact of an area that one process has made in a folder."""

    @cache
    def made(area: areas.Area) -> Digests:
        return areas.made_by_one_process(area, tmp_path_factory.mktemp("one-process"))

    return made
