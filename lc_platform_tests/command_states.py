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

import yaml

from lc_platform.config import FILE_NAME, template
from lc_platform_tests.sites import Site, site
from lc_platform_tests.terminal import CTRL_C, started

SECONDS = 900.0


class Ended(NamedTuple):
    status: int | None
    """None where it has not ended in time."""
    last: str
    """The last line."""
    words: str


def _untouched(_: Path) -> None:
    """Nothing is done to it."""


def _damage_chunk(store: Path) -> None:
    """A byte of the pixels of an acquisition is another one."""
    chunks = store.glob("raw_bands/*/*.zarr/bands/c/**/*")
    chunk = next(path for path in sorted(chunks) if path.is_file())
    content = bytearray(chunk.read_bytes())
    content[len(content) // 3] ^= 0xFF
    chunk.write_bytes(bytes(content))


def _cut_cog(store: Path) -> None:
    """A patch's prediction ends in the middle."""
    cog = next(store.glob("predictions/*/*.tif")).resolve()
    cog.write_bytes(cog.read_bytes()[: cog.stat().st_size // 2])


def _forget_record(store: Path) -> None:
    """What the mosaic was made of is not known any more."""
    for record in store.glob(".records/mosaic*"):
        if record.is_dir():
            shutil.rmtree(record)
        else:
            record.unlink()


STATES: Mapping[str, Callable[[Path], None]] = {
    "new folder": _untouched,
    "finished": _untouched,
    "damaged chunk": _damage_chunk,
    "cut COG": _cut_cog,
    "missing record": _forget_record,
    "read-only folder": _untouched,
}
"""How the folder is, and what makes it so of a store; what is not new is finished first."""
NEW = "new folder"
READ_ONLY = "read-only folder"
DEMONSTRATION = "demonstration"
"""The folder of a demo, where there is one; its store is `data` in it."""
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "check": ("check", "-c", "lc.yaml"),
    "plan": ("plan", "-c", "lc.yaml"),
    "status": ("status", "-c", "lc.yaml"),
    "verify": ("verify", "-c", "lc.yaml"),
    "prune": ("prune", "-c", "lc.yaml", "--dry-run"),
    "metrics": ("metrics", "-c", "lc.yaml", "--port", "PORT"),
    "ui": ("ui", "-c", "lc.yaml", "--port", "PORT"),
    "map": ("map", "-c", "lc.yaml", "--port", "PORT"),
    "run": ("run", "-c", "lc.yaml"),
    "init": ("init", "another", "--source", "stac", "--yes"),
    "demo": ("demo", DEMONSTRATION),
}
"""In the order in which they are given: those that change something come last. `demo` takes
minutes in a new folder, and is for the table alone."""
SERVING: Mapping[str, str] = {
    "metrics": "Metrics at",
    "ui": "Serving Dagster's UI",
    "map": "The map is at",
}
"""Those that work until they are stopped, and what they say when they do."""


def finished(folder: Path) -> Site:
    """Two patches of 16 x 16 pixels and all that is made of them."""
    one = site(folder, patches=2)
    report = one.run()
    assert report.succeeded, report.failures
    return one


def finished_demo(folder: Path) -> None:
    """A demo of a few small patches."""
    settings = yaml.safe_load(template("simulated"))
    settings["aoi"] |= {"bbox": [14.991, 46.695, 15.009, 46.707], "patch_size": 640}
    settings["imagery"]["max_cloud_cover"] = 20
    settings["model"] = {"num_iterations": 5}
    settings["sampling"]["pixels_per_patch"] = 500
    folder.mkdir()
    (folder / FILE_NAME).write_text(yaml.safe_dump(settings))
    with started("demo", folder, terminal=False, folder=folder.parent) as begun:
        assert begun.ended(SECONDS) == 0, begun.words


@contextlib.contextmanager
def in_state(state: str, finished_one: Site) -> Iterator[Site]:
    """A copy of a finished folder that is in a state; anybody may read it."""
    with tempfile.TemporaryDirectory(prefix="lc-platform-state-") as temporary:
        folder = Path(temporary) / "site"
        shutil.copytree(finished_one.folder, folder, symlinks=True)
        one = Site(folder, list(finished_one.items))
        demonstration = folder / DEMONSTRATION
        if state == NEW:
            for made in (one.store, folder / "dagster", demonstration):
                shutil.rmtree(made, ignore_errors=True)
        for store in (one.store, demonstration / "data"):
            if store.exists():
                STATES[state](store)
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
        try:
            status: int | None = begun.ended(SECONDS)
        except AssertionError:
            status = None
        return Ended(status, begun.lines[-1] if begun.lines else "", begun.words)


def _marked(ended: Ended | None) -> str:
    if ended is None:
        return ""
    status = "not ended" if ended.status is None else str(ended.status)
    return f"{status} TRACEBACK" if "Traceback" in ended.words else status


def main() -> int:
    print("| state | command | terminal | pipe | last line |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory(prefix="lc-platform-finished-") as temporary:
        wanted = sys.argv[1:] or list(COMMANDS)
        made = finished(Path(temporary))
        if "demo" in wanted:
            finished_demo(Path(temporary) / DEMONSTRATION)
        wrong = 0
        for state in STATES:
            results: dict[tuple[str, bool], Ended] = {}
            for terminal in (True, False):
                with in_state(state, made) as one:
                    for command in wanted:
                        if command == "demo" and state == NEW and not terminal:
                            continue  # it is of full size
                        ended = given(command, state, one, terminal=terminal)
                        results[command, terminal] = ended
                        if ended.status is None or "Traceback" in ended.words:
                            wrong += 1
                            print(f"{state}, {command}:\n{ended.words[-5000:]}", file=sys.stderr)
            for command in wanted:
                seen, piped = (results.get((command, terminal)) for terminal in (True, False))
                last = (piped or seen or Ended(None, "", "")).last
                marks = f"{_marked(seen)} | {_marked(piped)}"
                print(f"| {state} | {command} | {marks} | {last} |", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
