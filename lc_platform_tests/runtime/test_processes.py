"""Worker processes, as who starts them sees them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import multiprocessing

from lc_platform.runtime.processes import Workers

kept = []


def start():
    def run(task):
        # As libraries do, of which a worker knows nothing.
        kept.append(multiprocessing.get_context("spawn").Lock())
        return task + 1

    return run


if __name__ == "__main__":
    with Workers(2, start) as workers:
        print(sorted(done for _, done in workers.run([1, 2, 3])))
"""


def test_workers_that_hold_locks_end_without_a_word(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, program], capture_output=True, text=True, check=False, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[2, 3, 4]\n", "")
