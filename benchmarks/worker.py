"""A warm process of its own that works when asked: one line of JSON asks, one answers.

Needs nothing but the standard library, so that the peer's environment can run it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parent.parent
_LIMITS = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Worker:
    """A process that holds what it has loaded and compiled between calls."""

    def __init__(self, python: str, module: str, threads: int, log: Path) -> None:
        """
        python   the interpreter of the environment it works in
        module   that calls `serve`
        threads  of its numerical libraries, and cores that it may run on
        log      where its warnings and errors go
        """
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        self._process = subprocess.Popen(
            [python, "-m", module, str(threads)],
            cwd=_ROOT,
            env=os.environ | dict.fromkeys(_LIMITS, str(threads)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log.open("w", encoding="utf-8"),
            text=True,
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait()

    def call(self, name: str, **arguments: Any) -> Any:
        """What a function of the module returns. Raises RuntimeError where it fails."""
        request, answers = self._process.stdin, self._process.stdout
        assert request is not None
        assert answers is not None
        try:
            request.write(json.dumps({"call": name, "arguments": arguments}) + "\n")
            request.flush()
            return json.loads(answers.readline())
        except (OSError, ValueError) as error:
            said = self._log.read_text(encoding="utf-8")[-4000:]
            raise RuntimeError(f"{name} failed in its process:\n{said}") from error


def serve(calls: Mapping[str, Callable[..., Any]]) -> None:
    """Answer until nobody asks any more. What else is printed goes to the log."""
    if hasattr(os, "sched_setaffinity"):
        # Some pools of threads are as large as the machine, whatever they are told.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[1])])
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        result = calls[request["call"]](**request["arguments"])
        answers.write(json.dumps(result) + "\n")
        answers.flush()
