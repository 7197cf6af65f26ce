"""Hosts on one machine: network namespaces with addresses of their own, joined by a bridge."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from lc_platform_tests.servers import lacking


@dataclass(frozen=True)
class Host:
    """A network namespace; a process is in it when its command is run by ``prefix``."""

    name: str
    address: str
    link: str
    """The end of its cable that is in the bridge."""

    @property
    def prefix(self) -> Sequence[str]:
        return ["ip", "netns", "exec", self.name]

    def cut_off(self) -> None:
        """Pull the cable: what is sent is lost, and nobody is told."""
        _ip("link", "set", self.link, "down")

    def bring_back(self) -> None:
        _ip("link", "set", self.link, "up")


@dataclass(frozen=True)
class Network:
    head: str
    """This machine's own address in it."""
    hosts: Sequence[Host]


@contextmanager
def network(count: int) -> Iterator[Network]:
    """A network of so many hosts and this machine, gone afterwards."""
    own, net = secrets.token_hex(3), f"10.{200 + secrets.randbelow(50)}.{secrets.randbelow(250)}"
    bridge = f"lcb{own}"
    with ExitStack() as stack:
        try:
            _ip("link", "add", bridge, "type", "bridge")
        except (OSError, subprocess.CalledProcessError):
            lacking("iproute2, with root's right to make networks")
        stack.callback(_ip, "link", "delete", bridge)
        _ip("address", "add", f"{net}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        hosts = []
        for number in range(count):
            host = Host(f"lc{own}-{number}", f"{net}.{11 + number}", f"lcv{own}{number}")
            _ip("netns", "add", host.name)
            stack.callback(_ip, "netns", "delete", host.name)
            _ip("link", "add", host.link, "type", "veth", "peer", "eth0", "netns", host.name)
            _ip("link", "set", host.link, "master", bridge, "up")
            for command in (
                ("address", "add", f"{host.address}/24", "dev", "eth0"),
                ("link", "set", "eth0", "up"),
                ("link", "set", "lo", "up"),
            ):
                _ip("-n", host.name, *command)
            hosts.append(host)
        yield Network(f"{net}.1", hosts)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)
