"""eo-learn's environment beside the platform's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

from benchmarks.worker import Worker

_HERE = Path(__file__).parent
_FOLDER = _HERE / ".peer"
_REQUIREMENTS = _HERE / "peer-requirements.txt"
_COMMON = "lightgbm", "s2cloudless"
"""Taken in the same version as the platform's, so that methods are compared and not versions."""
_SHOWN = "eo-learn", "numpy", "numba", *_COMMON


def python() -> str:
    """The interpreter of the peer's environment, which is made where it is not there.

    Raises RuntimeError where this Python is too new for it.
    """
    if sys.version_info >= (3, 13):
        raise RuntimeError("eo-learn needs numpy 1.26: run the benchmarks by Python 3.11 or 3.12")
    wanted = [f"{package}=={version(package)}" for package in _COMMON]
    stamp = "\n".join([sys.version, *wanted, _REQUIREMENTS.read_text(encoding="utf-8")])
    made = _FOLDER / "made-of.txt"
    interpreter = str(_FOLDER / ("Scripts" if os.name == "nt" else "bin") / "python")
    if not made.exists() or made.read_text(encoding="utf-8") != stamp:
        print(f"making the peer's environment in {_FOLDER}", file=sys.stderr, flush=True)
        shutil.rmtree(_FOLDER, ignore_errors=True)
        venv.create(_FOLDER, with_pip=True)
        install = [interpreter, "-m", "pip", "install", "--quiet", "-r", str(_REQUIREMENTS)]
        subprocess.run([*install, *wanted], check=True, stdout=sys.stderr)
        made.write_text(stamp, encoding="utf-8")
    return interpreter


def worker(threads: int, folder: Path) -> Worker:
    """A process in the peer's environment; see `benchmarks.peer_worker` for its calls."""
    return Worker(python(), "benchmarks.peer_worker", threads, folder / "peer.log")


def versions() -> dict[str, str]:
    """By package, of the peer's environment."""
    command = [python(), "-m", "pip", "list", "--format", "json"]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    found = {one["name"]: one["version"] for one in listed}
    return {name: found[name] for name in _SHOWN}
