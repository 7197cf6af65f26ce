"""What a person's folder may be like when a command is given, and what each command says then.

`python -m lc_platform_tests.command_states` prints the exit status and the last line of every
command on every state, at a terminal and in a pipe.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from lc_platform_tests.sites import Site, site
from lc_platform_tests.terminal import CTRL_C, started

SECONDS = 300.0


class Ended(NamedTuple):
    status: int
    last: str
    """The last line."""
    words: str


def _untouched(_: Site) -> None:
    """Nothing is done to it."""


def _damage_chunk(one: Site) -> None:
    """A byte of the pixels of an acquisition is another one."""
    chunks = one.store.glob("raw_bands/2021/*.zarr/bands/c/**/*")
    chunk = next(path for path in sorted(chunks) if path.is_file())
    content = bytearray(chunk.read_bytes())
    content[len(content) // 3] ^= 0xFF
    chunk.write_bytes(bytes(content))


def _cut_cog(one: Site) -> None:
    """A patch's prediction ends in the middle."""
    cog = next(one.store.glob("predictions/2021/*.tif")).resolve()
    cog.write_bytes(cog.read_bytes()[: cog.stat().st_size // 2])


def _forget_record(one: Site) -> None:
    """What the mosaic was made of is not known any more."""
    for record in one.store.glob(".records/mosaic*"):
        if record.is_dir():
            shutil.rmtree(record)
        else:
            record.unlink()


STATES: Mapping[str, Callable[[Site], None]] = {
    "new folder": _untouched,
    "finished": _untouched,
    "damaged chunk": _damage_chunk,
    "cut COG": _cut_cog,
    "missing record": _forget_record,
    "read-only folder": _untouched,
}
"""How the folder is, and what makes it so; what is not new is finished first."""
READ_ONLY = "read-only folder"
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "check": ("check", "-c", "lc.yaml"),
    "plan": ("plan", "-c", "lc.yaml"),
    "status": ("status", "-c", "lc.yaml"),
    "verify": ("verify", "-c", "lc.yaml"),
    "prune": ("prune", "-c", "lc.yaml", "--dry-run"),
    "metrics": ("metrics", "-c", "lc.yaml", "--port", "PORT"),
    "ui": ("ui", "-c", "lc.yaml", "--port", "PORT"),
    "run": ("run", "-c", "lc.yaml"),
    "init": ("init", "another", "--source", "stac"),
    "demo": ("demo", "demonstration"),
}
"""In the order in which they are given: those that change something come last. `demo` takes
minutes, and is for the table alone."""
SERVING: Mapping[str, str] = {"metrics": "Metrics at", "ui": "Serving dagster-webserver"}
"""Those that work until they are stopped, and what they say when they do."""


def finished(folder: Path) -> Site:
    """Two patches of 16 x 16 pixels and all that is made of them."""
    one = site(folder, patches=2)
    report = one.run()
    assert report.succeeded, report.failures
    return one


@contextlib.contextmanager
def in_state(state: str, finished_one: Site) -> Iterator[Site]:
    """A copy of a finished folder that is in a state; anybody may read it."""
    with tempfile.TemporaryDirectory(prefix="lc-platform-state-") as temporary:
        folder = Path(temporary) / "site"
        shutil.copytree(finished_one.folder, folder, symlinks=True)
        one = Site(folder, list(finished_one.items))
        if state == "new folder":
            shutil.rmtree(one.store)
            shutil.rmtree(folder / "dagster")
        STATES[state](one)
        if state == READ_ONLY:
            for path in (Path(temporary), folder, *folder.rglob("*")):
                if not path.is_symlink():
                    path.chmod(0o555 if path.is_dir() else 0o444)
        try:
            yield one
        finally:
            for path in (Path(temporary), folder, *folder.rglob("*")):
                if path.is_dir() and not path.is_symlink():
                    path.chmod(0o755)


def given(command: str, state: str, one: Site, *, terminal: bool) -> Ended:
    """What a command says and ends with; one that serves is stopped by Ctrl+C when it does."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    words = [port if word == "PORT" else word for word in COMMANDS[command]]
    with started(
        *words,
        terminal=terminal,
        folder=one.folder,
        environment={"PYTHONDONTWRITEBYTECODE": "1"},
        as_owner=state == READ_ONLY and os.geteuid() == 0,
    ) as begun:
        if command in SERVING and begun.says(SERVING[command], SECONDS):
            begun.signalled(CTRL_C if terminal else signal.SIGTERM)
        status = begun.ended(SECONDS)
        return Ended(status, begun.lines[-1] if begun.lines else "", begun.words)


def main() -> int:
    print("| state | command | terminal | pipe | last line |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix="lc-platform-finished-") as temporary:
        made = finished(Path(temporary))
        wanted = sys.argv[1:] or list(COMMANDS)
        tracebacks = 0
        for state in STATES:
            results: dict[bool, dict[str, Ended]] = {True: {}, False: {}}
            for terminal in results:
                with in_state(state, made) as one:
                    for command in wanted:
                        ended = given(command, state, one, terminal=terminal)
                        results[terminal][command] = ended
                        tracebacks += "Traceback" in ended.words
            for command in wanted:
                seen, piped = results[True][command], results[False][command]
                marks = [
                    f"{one.status}{' TRACEBACK' if 'Traceback' in one.words else ''}"
                    for one in (seen, piped)
                ]
                print(f"| {state} | {command} | {' | '.join(marks)} | {piped.last} |", flush=True)
    return 1 if tracebacks else 0


if __name__ == "__main__":
    sys.exit(main())
