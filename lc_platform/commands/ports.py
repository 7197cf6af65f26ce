"""Ports that commands listen on."""

from __future__ import annotations

import errno
import socket

from lc_platform.commands.instance import RunError

_WAITING = 256
"""Connections that may wait until they are accepted."""
_REASONS = {
    errno.EADDRINUSE: "is in use on {host}. Give another port",
    errno.EACCES: "may not be listened on by this user on {host}. Give a port from 1024 on",
}


def expect_free(host: str, port: int) -> None:
    """Raises RunError naming the option where nothing can listen on a port of an address."""
    listening(host, port).close()


def listening(host: str, port: int) -> socket.socket:
    """Return a socket that listens on a port of an address, on a free one where it is 0.

    Raises RunError naming the option where that is not possible.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise _of_host(host, error) from error
    found = socket.socket(family, kind, protocol)
    # As servers do it: connections that have ended do not keep a port.
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind(address)
        found.listen(_WAITING)
    except OSError as error:
        found.close()
        raise refused(host, port, error) from error
    return found


def url(host: str, at: socket.socket) -> str:
    """Return the address of a server that listens there, as a browser takes it, without a slash at
    its end.

    host  as it was given
    """
    return f"http://{in_url(host)}:{at.getsockname()[1]}"


def in_url(host: str) -> str:
    """Return a name or an address as it stands in a URL."""
    return f"[{host}]" if ":" in host else host


def refused(host: str, port: int, error: OSError) -> RunError:
    """Return the error for an address that cannot be listened on."""
    if error.errno not in _REASONS:
        return _of_host(host, error)
    return RunError(f"--port {port}: {_REASONS[error.errno].format(host=host)}")


def _of_host(host: str, error: OSError | UnicodeError) -> RunError:
    why = error.strerror if isinstance(error, OSError) else None
    return RunError(
        f"--host {host}: cannot be listened on ({why or error}). Give an address of this machine, "
        "such as 127.0.0.1, or 0.0.0.0 for all that it has"
    )
