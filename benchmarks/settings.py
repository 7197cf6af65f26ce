"""What a benchmark is run with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """The same for all benchmarks of a run."""

    size: int
    """Pixels along the side of a patch."""
    pairs: int
    """How often peer and platform are timed, in turn."""
    threads: tuple[int, ...]
    """Each is measured on its own."""
    folder: Path
    """Where inputs and stores are made; exists."""
    data: Path
    """The folder of the real imagery, which is only read; ``slovenia/l1c`` lies in it."""
    full: bool = False
    """Whether the largest sizes are measured too, which takes hours."""

    @property
    def scenes(self) -> Path:
        """Folders of real Sentinel-2 L1C scenes."""
        return self.data / "slovenia" / "l1c"
