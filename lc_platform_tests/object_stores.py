"""The object store of the tests that need one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from lc_platform_tests.servers import Emulator, SeaweedFS, azurite, fake_gcs, seaweedfs


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as running:
            patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(running.credentials))
            patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
            yield running


@pytest.fixture(scope="module")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with azurite(tmp_path_factory.mktemp("azure")) as running:
        yield running


@pytest.fixture(scope="module")
def google(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with fake_gcs(tmp_path_factory.mktemp("google")) as running:
        yield running


@pytest.fixture(scope="module", params=["azure", "google"])
def emulator(request: pytest.FixtureRequest) -> Iterator[Emulator]:
    """Another provider's store, and an environment that names it and nothing else."""
    running: Emulator = request.getfixturevalue(request.param)
    with pytest.MonkeyPatch.context() as patch:
        for name in [one for one in os.environ if one.startswith(("AZURE_", "GOOGLE_"))]:
            patch.delenv(name)
        patch.delenv("STORAGE_EMULATOR_HOST", raising=False)
        for name, value in running.environment.items():
            patch.setenv(name, value)
        yield running
