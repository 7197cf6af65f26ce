"""How the libraries' threads are told to share the cores before they are loaded."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


def openmp(program: str, **environment: str) -> set[str]:
    """What the OpenMP libraries that a program loads say of how their threads wait."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**own, "OMP_DISPLAY_ENV": "TRUE", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = done.stderr.splitlines()
    return {line.split("=")[1].strip(" '") for line in lines if "OMP_WAIT_POLICY" in line}


@pytest.mark.parametrize(
    "program",
    [
        "import lc_platform.eo.classifier",
        "import lc_platform.runtime.processes, lightgbm",
        "from lc_platform import cli; import lc_platform.commands.demo, lightgbm",
    ],
    ids=["the science", "a worker's process", "a command"],
)
def test_threads_of_openmp_sleep_while_they_wait(program: str) -> None:
    """LightGBM's spin otherwise: on a machine that is busy elsewhere they take the cores from each
    other, and training takes many times as long."""
    assert openmp(program) == {"PASSIVE"}


def test_the_environment_may_say_otherwise() -> None:
    program = "import lc_platform.eo.classifier"
    assert openmp(program, OMP_WAIT_POLICY="ACTIVE") == {"ACTIVE"}
