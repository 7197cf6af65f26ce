"""What servers of tests have in common that break connections, and whose clients do."""

from __future__ import annotations

import socket
import struct
from http.server import BaseHTTPRequestHandler
from typing import Any


class BreakableHandler(BaseHTTPRequestHandler):
    """Says nothing of requests, and takes no harm where either side breaks off."""

    def reset(self) -> None:
        """Break the connection, so that the client is told of a reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def handle(self) -> None:
        try:
            super().handle()
        except OSError:
            self.close_connection = True  # the client is gone, as it may be

    def finish(self) -> None:
        try:
            super().finish()
        except (OSError, ValueError):
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        return
