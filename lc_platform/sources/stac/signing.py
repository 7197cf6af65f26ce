"""Links that an archive gives for a while: Azure's shared access signatures.

The Planetary Computer signs by a token a collection, which anybody may ask for and which ends
after some minutes. That is one request. The archive's own package (planetary-computer 1.0, the
last, of 2023) makes it outside of an archive's limits, and nothing tells it of a token that ended
before its time.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from lc_platform.runtime import redaction
from lc_platform.sources.protocol import SourceError

_RENEWED_BEFORE_END = 120.0
"""Seconds. A read that begins with a token shall end with it."""
_SIGNATURE = re.compile(r"\bsig=[^&\s\"']+")


@dataclass(frozen=True)
class _Token:
    query: str
    ends: float
    """On the monotonic clock."""

    def __repr__(self) -> str:
        return "_Token(...)"


class Signing:
    """A collection's tokens; used by several threads at the same time.

    ask    gets the JSON document at a URL. Raises SourceError where it cannot
    url    that gives the collection's token
    hosts  how the hosts' names end whose links are signed; no other host gets a token
    """

    def __init__(self, ask: Callable[[str], Mapping[str, Any]], url: str, hosts: str) -> None:
        self._ask, self._url, self._hosts = ask, url, hosts
        self._lock = threading.Lock()
        self._token: _Token | None = None
        logging.getLogger("urllib3.connectionpool").addFilter(_without_signature)

    def token(self, uri: str, *, instead_of: str = "") -> str:
        """Return the query that a link is to have; empty where it needs none.

        One that is about to end is replaced, and so is ``instead_of``, a token that the archive
        does not take. Raises SourceError where the archive gives none.
        """
        if not (urlsplit(uri).hostname or "").endswith(self._hosts):
            return ""
        with self._lock:
            token = self._token
            if token is None or token.query == instead_of or token.ends < time.monotonic():
                token = self._token = self._renewed()
            return token.query

    def _renewed(self) -> _Token:
        document = self._ask(self._url)
        try:
            query = str(document["token"]).removeprefix("?")
            end = datetime.fromisoformat(str(document["msft:expiry"]))
        except (KeyError, ValueError) as error:
            raise SourceError(
                f"{self._url} gives no token that is understood ({type(error).__name__}). "
                "Check imagery.collection."
            ) from None
        for signature in _SIGNATURE.findall(query):
            redaction.keep(signature, "sig=...")
        end = end.replace(tzinfo=UTC) if end.tzinfo is None else end
        left = (end - datetime.now(UTC)).total_seconds()
        # A clock that is off must not ask for a token before each request.
        return _Token(query, time.monotonic() + max(left - _RENEWED_BEFORE_END, left / 2, 1.0))


def _without_signature(record: logging.LogRecord) -> bool:
    """Take signatures out of what is logged of requests."""
    message = record.getMessage()
    if "sig=" in message:
        record.msg, record.args = _SIGNATURE.sub("sig=...", message), None
    return True
