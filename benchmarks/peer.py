"""Peers' environments beside the platform's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from benchmarks.worker import Worker

_HERE = Path(__file__).parent
_FOLDER = _HERE / ".peer"


@dataclass(frozen=True)
class Environment:
    """A peer, with what it needs."""

    name: str
    """The package; of its folder too."""
    requirements: str
    """The file that lists what is installed."""
    module: str
    """Serves its calls, in its environment."""
    alone: str | None = None
    """What is installed without what it asks for."""
    common: tuple[str, ...] = ()
    """Taken in the platform's version, so that methods are compared and not versions."""
    shown: tuple[str, ...] = ("numpy", "numba")
    """Whose versions are told beside its own."""
    below: tuple[int, int] | None = None
    """The first Python that it does not run on."""

    def python(self) -> str:
        """The interpreter of the environment, which is made where it is not there.

        Raises RuntimeError where this Python is too new for it.
        """
        if self.below is not None and sys.version_info[:2] >= self.below:
            major, minor = self.below
            raise RuntimeError(
                f"{self.name} does not run on Python {major}.{minor}: run the benchmarks by an "
                "older one"
            )
        listed = _HERE / self.requirements
        wanted = [f"{package}=={version(package)}" for package in self.common]
        parts = [sys.version, *wanted, self.alone or "", listed.read_text(encoding="utf-8")]
        stamp = "\n".join(parts)
        folder = _FOLDER / self.name
        made = folder / "made-of.txt"
        interpreter = str(folder / ("Scripts" if os.name == "nt" else "bin") / "python")
        if not made.exists() or made.read_text(encoding="utf-8") != stamp:
            print(f"making {self.name}'s environment in {folder}", file=sys.stderr, flush=True)
            shutil.rmtree(folder, ignore_errors=True)
            venv.create(folder, with_pip=True)
            install = [interpreter, "-m", "pip", "install", "--quiet"]
            everything = [*install, "-r", str(listed), *wanted]
            subprocess.run(everything, check=True, stdout=sys.stderr)
            if self.alone is not None:
                alone = [*install, "--no-deps", self.alone]
                subprocess.run(alone, check=True, stdout=sys.stderr)
            made.write_text(stamp, encoding="utf-8")
        return interpreter

    def worker(self, threads: int, folder: Path) -> Worker:
        """A process in the environment; see its ``module`` for its calls."""
        return Worker(self.python(), self.module, threads, folder / f"{self.name}.log")

    def versions(self) -> dict[str, str]:
        """By package."""
        command = [self.python(), "-m", "pip", "list", "--format", "json"]
        listed = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        found = {one["name"]: one["version"] for one in listed}
        return {name: found[name] for name in (self.name, *self.shown)}


EO_LEARN = Environment(
    "eo-learn",
    "eo-learn-requirements.txt",
    "benchmarks.eo_learn_worker",
    common=("lightgbm", "s2cloudless"),
    shown=("numpy", "numba", "lightgbm", "s2cloudless"),
    below=(3, 13),
)
ZEIT = Environment(
    "zeit-cdts",
    "zeit-requirements.txt",
    "benchmarks.zeit_worker",
    alone="zeit-cdts==2.2.0",
)
"""Without what it only needs for deep learning and downloads, which brings gigabytes. Its licence
is the GPL: it is an oracle here, in a process of its own, and nothing of the platform."""
TITILER = Environment(
    "titiler-core",
    "titiler-requirements.txt",
    "benchmarks.titiler_server",
    common=("rasterio",),
    shown=("rio-tiler", "rasterio", "uvicorn"),
)
SEASON = Environment(
    "geomad",
    "season-requirements.txt",
    "benchmarks.season_worker",
    shown=("whittaker-eilers", "numpy"),
)
"""geomad (Apache-2.0) and whittaker-eilers (MIT or Apache-2.0)."""
