"""Services as processes that are started again when they die, as compose and systemd do it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil  # type: ignore[import-untyped]

_LOOK_SECONDS = 0.1
_PAUSE_SECONDS = 1.0
_STOP_SECONDS = 20.0
_TAIL_BYTES = 6000


def wait_until(holds: Callable[[], bool], what: str, seconds: float) -> None:
    """Raises TimeoutError naming what does not hold."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not so after {seconds:.0f} s")
        time.sleep(0.2)


@dataclass
class Service:
    """A command and everything that it starts: they live and die together, like a container."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    ready: Callable[[], bool]
    folder: Path | None = None
    user: str | None = None
    starts: int = 0
    started_at: float = 0.0
    """Seconds since 1970, of the last start."""
    _process: subprocess.Popen[bytes] | None = field(default=None, repr=False)
    _not_before: float = 0.0

    def start(self) -> None:
        self.starts += 1
        self.started_at = time.time()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                env=dict(self.environment),
                cwd=self.folder,
                user=self.user,
                group=self.user,
                extra_groups=[] if self.user else None,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def children(self) -> list[psutil.Process]:
        """The processes that the service's own one has started itself."""
        with contextlib.suppress(psutil.NoSuchProcess):
            if self._process is not None:
                found: list[psutil.Process] = psutil.Process(self._process.pid).children()
                return found
        return []

    def kill(self, away: float = 0.0) -> None:
        """SIGKILL, to the process and then to all below it.

        away  seconds that pass before it is started again, beside the usual pause
        """
        process = self._process
        if process is None:
            return
        self._not_before = time.monotonic() + away
        below: list[psutil.Process] = []
        with contextlib.suppress(psutil.NoSuchProcess):
            below = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        for one in below:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        process.wait()
        _end_group(process.pid)

    def pause(self) -> float:
        """Seconds until it is to be started again."""
        return max(_PAUSE_SECONDS, self._not_before - time.monotonic())

    def bury(self) -> None:
        """End what has outlived the service's own process."""
        if self._process is not None:
            _end_group(self._process.pid)

    def stop(self) -> None:
        if self._process is None:
            return
        if self.alive:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS)
        self.kill()

    def last_words(self) -> str:
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - _TAIL_BYTES))
            return log.read().decode(errors="replace")


def _end_group(leader: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


class Supervisor:
    """Keeps services alive, each by a thread."""

    def __init__(self) -> None:
        self.services: dict[str, Service] = {}
        self._ending = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, *services: Service, seconds: float) -> None:
        """Start services, and wait until all of them are ready for at most so many seconds each."""
        for service in services:
            self.services[service.name] = service
            service.start()
            thread = threading.Thread(target=self._keep, args=(service,), name=service.name)
            thread.start()
            self._threads.append(thread)
        for service in services:
            wait_until(service.ready, f"{service.name} is ready", seconds)

    def _keep(self, service: Service) -> None:
        while not self._ending.wait(_LOOK_SECONDS):
            if not service.alive:
                service.bury()
                if not self._ending.wait(service.pause()):
                    service.start()

    def stop(self) -> None:
        """In the order in which they depend on each other: the last one first."""
        self._ending.set()
        for thread in self._threads:
            thread.join()
        for service in reversed(self.services.values()):
            service.stop()


@contextlib.contextmanager
def supervising() -> Iterator[Supervisor]:
    """A supervisor; what its services said last is shown where the block fails."""
    supervisor = Supervisor()
    try:
        yield supervisor
    except BaseException:
        for service in supervisor.services.values():
            print(f"--- {service.name}: {service.log}\n{service.last_words()}")
        raise
    finally:
        supervisor.stop()
