"""Tables, the machine they were measured on, and the document they are written into."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

LIBRARIES = ("lc-platform", "numpy", "numba", "lightgbm", "s2cloudless", "zarr", "rasterio")
"""Those whose versions decide how fast the platform is."""


@dataclass(frozen=True)
class Table:
    """What was measured, ready to be read."""

    name: str
    """Names its place in the document: ``<!-- benchmarks:NAME -->``."""
    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    notes: tuple[str, ...] = ()
    """Sentences below the table."""


def seconds(times: Sequence[float]) -> str:
    """The median of times in seconds, to three digits."""
    middle = median(times)
    return f"{middle:.0f} s" if middle >= 100 else f"{middle:.3g} s"


def ratios(slow: Sequence[float], fast: Sequence[float]) -> str:
    """How many times as fast: the median of pairs, and the least and the most of them."""
    each = [a / b for a, b in zip(slow, fast, strict=True)]
    return f"{median(each):.1f} ({min(each):.1f} to {max(each):.1f})"


def markdown(table: Table) -> str:
    """A table as Markdown, without its title."""
    lines = [table.columns, tuple("---" for _ in table.columns), *table.rows]
    rows = "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
    return "\n\n".join((rows, *table.notes))


def machine(*peers: dict[str, str]) -> Table:
    """The machine and the versions of this run.

    peers  of each that takes part, versions by package of its environment
    """
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    rows: list[tuple[str, ...]] = [
        ("CPU", f"{_cpu()}, {os.cpu_count()} cores"),
        ("memory", f"{memory / 2**30:.0f} GiB"),
        ("system", f"{platform.system()} {platform.release()}"),
        ("Python", platform.python_version()),
        ("platform", ", ".join(f"{name} {version(name)}" for name in LIBRARIES)),
    ]
    rows += [("peer", ", ".join(f"{name} {found}" for name, found in one.items())) for one in peers]
    return Table("machine", "The machine and the versions", ("what", "which"), rows)


def _cpu() -> str:
    """The processor's name as the system tells it."""
    listed = Path("/proc/cpuinfo")
    if listed.exists():
        found = re.search(r"^model name\s*: (.+)$", listed.read_text(), re.MULTILINE)
        if found:
            return found[1]
    return platform.processor() or platform.machine()


def write(tables: Sequence[Table], document: Path) -> None:
    """Put each table between its markers in a document, and one that has none there at the end
    under its title; all else stays."""
    text = document.read_text(encoding="utf-8")
    for table in tables:
        begin, end = f"<!-- benchmarks:{table.name} -->", f"<!-- /benchmarks:{table.name} -->"
        block = f"{begin}\n{markdown(table)}\n{end}"
        before, opened, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if opened and closed:
            text = before + block + after
        else:
            text = f"{text.rstrip()}\n\n## {table.title}\n\n{block}\n"
    document.write_text(text, encoding="utf-8")
