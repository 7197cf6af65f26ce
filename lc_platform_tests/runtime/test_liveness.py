"""A process is known to run until it has ended."""

from __future__ import annotations

import os
import subprocess
import sys

from lc_platform.runtime.liveness import is_running


def test_a_process_runs_until_it_has_ended() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert is_running(child.pid)
    child.communicate(b"\n")
    assert not is_running(child.pid)


def test_this_process_and_that_of_another_user_run() -> None:
    assert is_running(os.getpid())
    assert is_running(1)
