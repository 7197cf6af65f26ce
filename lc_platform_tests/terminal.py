"""Commands as people start them: at a terminal, or with their words going into a pipe."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

CTRL_C = "Ctrl+C"
_DROP = 24
"""PR_CAPBSET_DROP of prctl."""
_ROOTS = (1, 2)
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH."""
_MARK = "LC_PLATFORM_STARTED_BY_TEST"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Started:
    """A command that is at work, and all processes that it has started."""

    def __init__(
        self,
        *arguments: str | Path,
        terminal: bool,
        folder: Path,
        environment: Mapping[str, str],
        as_owner: bool = False,
        ignored: Collection[signal.Signals] = (),
    ) -> None:
        self._mark = uuid.uuid4().hex
        self._words = bytearray()
        self.terminal = terminal
        command = [sys.executable, "-m", "lc_platform", *map(str, arguments)]
        told: dict[str, Any] = {
            "cwd": folder,
            "env": {**environment, _MARK: self._mark},
        }
        if terminal:
            self._read, slave = pty.openpty()
            self.process = subprocess.Popen(
                command,
                stdin=slave,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
                preexec_fn=partial(_begin, True, as_owner, ignored),
                **told,
            )
        else:
            self._read, slave = os.pipe()
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=slave,
                stderr=slave,
                start_new_session=True,
                preexec_fn=partial(_begin, False, as_owner, ignored),
                **told,
            )
        os.close(slave)
        self._reader = threading.Thread(target=self._collect, daemon=True)
        self._reader.start()

    def _collect(self) -> None:
        with contextlib.suppress(OSError):  # a terminal's other end is gone
            while part := os.read(self._read, 65536):
                self._words += part

    @property
    def words(self) -> str:
        """What it has said so far, without what moves a cursor or colours."""
        return _CONTROL.sub("", self._words.decode(errors="replace")).replace("\r", "\n")

    @property
    def lines(self) -> list[str]:
        return [line.rstrip() for line in self.words.splitlines() if line.strip()]

    def signalled(self, which: str | signal.Signals) -> None:
        """Ctrl+C as it is typed at a terminal, where there is one; else the signal."""
        if which == CTRL_C and self.terminal:
            os.write(self._terminal, b"\x03")
        else:
            self.process.send_signal(signal.SIGINT if which == CTRL_C else signal.Signals(which))

    @property
    def _terminal(self) -> int:
        return self._read

    def until(self, said: str, seconds: float = 600.0) -> None:
        """Wait until it has said something. Fails where it ends without."""
        assert self.says(said, seconds), f"it never said {said!r}:\n{self.words}"

    def says(self, said: str, seconds: float) -> bool:
        """Whether it says something before it ends, within a time."""
        _wait(lambda: said in self.words or self.process.poll() is not None, seconds)
        return said in self.words

    def ended(self, seconds: float) -> int:
        """Its exit status when it has ended, within a time."""
        try:
            status = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"not ended after {seconds} s:\n{self.words}") from None
        self._reader.join(5)
        return status

    def left(self, seconds: float = 60.0) -> list[str]:
        """Its processes that are still there a moment after it has ended."""
        until = time.monotonic() + seconds
        while (found := list(self._processes())) and time.monotonic() < until:
            time.sleep(0.05)
        return [words for _, words in found]

    def _processes(self) -> Iterator[tuple[int, str]]:
        for folder in Path("/proc").iterdir():
            if not folder.name.isdecimal() or folder.name == str(self.process.pid):
                continue
            with contextlib.suppress(OSError):
                if f"{_MARK}={self._mark}".encode() in (folder / "environ").read_bytes():
                    words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    yield int(folder.name), words

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for number, _ in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        self._reader.join(5)
        with contextlib.suppress(OSError):
            os.close(self._read)


def _begin(terminal: bool, as_owner: bool, ignored: Collection[signal.Signals]) -> None:
    """In the new process: make standard input the terminal that sends signals; give up root's right
    to write where nobody may; ignore what it begins with ignoring."""
    for one in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        # A shell's background job ignores some, and so would what the tests in it start.
        signal.signal(one, signal.SIG_IGN if one in ignored else signal.SIG_DFL)
    if terminal:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    if as_owner:
        library = ctypes.CDLL(None, use_errno=True)
        for capability in _ROOTS:
            if library.prctl(_DROP, capability, 0, 0, 0):
                raise OSError(ctypes.get_errno(), "a capability cannot be given up")


@contextlib.contextmanager
def started(
    *arguments: str | Path,
    terminal: bool,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    as_owner: bool = False,
    ignored: Collection[signal.Signals] = (),
) -> Iterator[Started]:
    """`lc-platform` with arguments, until the block ends.

    as_owner  whether it may do what the permissions of files say, and no more, also where it is
              root that starts it
    ignored   the signals that it begins with ignoring
    """
    without = {
        k: v for k, v in os.environ.items() if k not in ("DAGSTER_HOME", "LC_PLATFORM_CONFIG")
    }
    one = Started(
        *arguments,
        terminal=terminal,
        folder=folder,
        environment={**without, "COLUMNS": "120", **(environment or {})},
        as_owner=as_owner,
        ignored=ignored,
    )
    try:
        yield one
    finally:
        one.close()


def _wait(until: Callable[[], bool], seconds: float) -> None:
    last = time.monotonic() + seconds
    while not until() and time.monotonic() < last:
        time.sleep(0.02)
