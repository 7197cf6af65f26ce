"""A function in a process of its own: what it returns, and the most memory it held."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

THREADS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS")


@dataclass(frozen=True)
class Alone:
    """What a process of its own gave."""

    result: Any
    peak: int
    """Bytes resident at most; processes that it started itself are not counted."""


def alone(function: str, threads: int = 0, cores: int = 0, **arguments: Any) -> Alone:
    """Call a function in a fresh process.

    function   ``package.module:name``; it takes and returns what JSON can hold
    threads    of its numerical libraries, 0 for what they choose
    cores      that it may run on, 0 for all; Linux alone knows how to bound them
    Raises RuntimeError with what the process said last where it fails.
    """
    environment = {k: v for k, v in os.environ.items() if k not in THREADS}
    environment |= dict.fromkeys(THREADS, str(threads)) if threads else {}
    bound = ["taskset", "--cpu-list", f"0-{cores - 1}"] if cores else []
    done = subprocess.run(
        [*bound, sys.executable, "-m", "benchmarks.memory", function],
        input=json.dumps(arguments),
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{function} failed:\n{done.stderr[-4000:]}")
    answer = json.loads(done.stdout.splitlines()[-1])
    return Alone(answer["result"], answer["peak"])


def peak() -> int:
    """Bytes that this process has had resident at most."""
    told = Path("/proc/self/status")
    if told.exists():
        # Not the resource module's figure, which on Linux a process inherits from its parent.
        found = re.search(r"^VmHWM:\s+(\d+) kB", told.read_text(), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def gigabytes(size: float) -> str:
    return f"{size / 1e9:.2f} GB"


def _answer(function: str, arguments: Mapping[str, Any]) -> None:
    module, _, name = function.partition(":")
    result = getattr(import_module(module), name)(**arguments)
    print(json.dumps({"result": result, "peak": peak()}))


if __name__ == "__main__":
    _answer(sys.argv[1], json.load(sys.stdin))
