"""Answers that are made once, and asked for again and again."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass

from fastapi import Request, Response

COMPRESSED_FROM = 1024
"""Bytes: shorter ones fit into one packet anyway."""


@dataclass(frozen=True)
class Tagged:
    """An answer with the tag that names its content."""

    body: bytes
    compressed: bytes | None
    """None where that is not worth it."""
    kind: str
    tag: str

    @classmethod
    def of(cls, body: bytes, kind: str, level: int = 5) -> Tagged:
        """Return an answer of a content type, compressed as well.

        level  of compression, 0 to 9: what is made once for many answers is worth the most
        """
        tag = hashlib.sha256(body).hexdigest()[:20]
        if len(body) < COMPRESSED_FROM:
            return cls(body, None, kind, tag)
        smaller = gzip.compress(body, level, mtime=0)
        return cls(body, smaller if len(smaller) < len(body) else None, kind, tag)


def tagged(request: Request, answer: Tagged) -> Response:
    """Return an answer, or that it is the same as what the browser has (304)."""
    zipped = answer.compressed is not None and "gzip" in request.headers.get("accept-encoding", "")
    headers = {
        "ETag": f'"{answer.tag}{"-gz" if zipped else ""}"',
        # The browser asks each time, and is told when nothing has changed.
        "Cache-Control": "no-cache",
        "Vary": "Accept-Encoding",
    }
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if zipped:
        headers["Content-Encoding"] = "gzip"
    body = answer.compressed if zipped else answer.body
    return Response(body, headers=headers, media_type=answer.kind)
