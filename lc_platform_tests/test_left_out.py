"""A run of the tests says what it left out, and how that is run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lc_platform_tests.left_out import REQUIRED

PROJECT = Path(__file__).parents[1]
CONFTEST = """
from lc_platform_tests.left_out import *
from lc_platform_tests.left_out import write_summary

def pytest_terminal_summary(terminalreporter):
    write_summary(terminalreporter)
"""
TESTS = """
import pytest

def test_quick():
    pass

@pytest.mark.slow
@pytest.mark.parametrize("number", range(3))
def test_slow(number):
    pass

def test_of_a_server():
    pytest.skip("needs Redis, which is not installed")
"""
SLOW = "3 tests are slow: pytest -m slow"
SERVERS = "1 tests need servers or their drivers: .ci/run installs these and runs them"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow\n")
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "test_some.py").write_text(TESTS)
    return tmp_path


@pytest.mark.parametrize(
    ("asked", "passed", "said"),
    [
        (["test_some.py"], 1, {SLOW, SERVERS}),
        (["-n", "2"], 1, {SLOW, SERVERS}),
        (["-m", "slow"], 3, set()),
        (["test_some.py::test_slow"], 3, set()),
    ],
    ids=["a file", "two workers", "by marker", "by name"],
)
def test_slow_tests_run_where_they_are_asked_for_and_are_counted_where_not(
    folder: Path, asked: list[str], passed: int, said: set[str]
) -> None:
    environment = {k: v for k, v in os.environ.items() if k != REQUIRED}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "xdist", *asked],
        cwd=folder,
        env={**environment, "PYTHONPATH": str(PROJECT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert f"{passed} passed" in done.stdout, done.stdout + done.stderr
    assert {line for line in done.stdout.splitlines() if line in {SLOW, SERVERS}} == said
