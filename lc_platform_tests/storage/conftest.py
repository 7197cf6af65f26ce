"""The object store of the tests that need one."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from lc_platform_tests.servers import SeaweedFS, seaweedfs


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedFS]:
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as running:
            patch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(running.credentials))
            patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
            yield running
