"""Google Cloud Storage as a file system, reached as the configuration says.

gcsfs brings the operations, of which the plain kind is taken: the other asks for each bucket's
type beside, by a way that knows neither endpoint, nor retries, nor timeouts. Every request is made
here, because gcsfs tries again as often as it likes, and tells errors without their codes.
"""

from __future__ import annotations

import asyncio
import errno
import json as json_format
import os
import random
from collections.abc import Mapping
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout
from gcsfs.core import GCSFileSystem
from google.auth.exceptions import DefaultCredentialsError, TransportError

from lc_platform.config import ObjectStore
from lc_platform.storage.remote.http import PART, UnusableError, close_at_exit, connector, pause
from lc_platform.storage.remote.objects import (
    WRITING,
    AsyncObjects,
    ObjectPart,
    byte_range,
    content_type,
    whole,
)

_PASSING = {408, 429, 500, 502, 503, 504}
_THERE = 412
"""The answer where an object was to be made that must not be there, and is."""
_CANCELLED = 499
"""The answer to taking an upload back."""


class GoogleFileSystem(AsyncObjects, GCSFileSystem):  # type: ignore[misc]
    """What the application default credentials may reach.

    A server that is reached by http is none of Google's, and is told no credentials.
    """

    _session: Any

    def __init__(self, *, settings: dict[str, Any], **given: Any) -> None:
        """``settings`` are those of `ObjectStore`. Raises UnusableError where there are no
        credentials."""
        self._settings = reached = ObjectStore(**settings)
        self._connector = connector(reached)
        self._timeout = ClientTimeout(
            total=None, sock_connect=reached.connect_timeout, sock_read=reached.read_timeout
        )
        try:
            super().__init__(token=self._method(), endpoint_url=reached.endpoint, **given)
        except DefaultCredentialsError as error:
            raise UnusableError(
                "no Google credentials were found, or they cannot be read. Have "
                "GOOGLE_APPLICATION_CREDENTIALS name their file, or run "
                "`gcloud auth application-default login`"
            ) from error
        self.place = self._location

    def _method(self) -> str:
        place = self._settings.endpoint or os.environ.get("STORAGE_EMULATOR_HOST") or "https://"
        return "google_default" if place.startswith("https://") else "anon"

    async def _set_session(self) -> Any:
        if self._session is None:
            self._session = ClientSession(connector=self._connector(), trust_env=True)
            close_at_exit(self, self._session)
        return self._session

    async def _request(
        self,
        method: str,
        path: str,
        *args: str,
        headers: Mapping[str, str] | None = None,
        json: Any = None,
        data: Any = None,
        cache_type: str | None = None,
        cache_source: str | None = None,
        **parameters: Any,
    ) -> tuple[int, Any, Any, bytes]:
        await self._set_session()
        url = self._format_path(path, args)
        for attempt in range(self._settings.retries + 1):
            try:
                async with self.session.request(
                    method=method,
                    url=url,
                    params=self._get_params(parameters),
                    json=json,
                    headers=self._get_headers(headers, cache_type, cache_source),
                    data=data,
                    timeout=self._timeout,
                ) as answer:
                    content = await answer.read()
                    if answer.status < 400 or answer.status == _CANCELLED:
                        return answer.status, answer.headers, answer.request_info, content
                    refusal = _refusal(method, url, answer.status, content)
                    if answer.status not in _PASSING or attempt == self._settings.retries:
                        raise refusal
            except (ClientError, TimeoutError, TransportError):
                if attempt == self._settings.retries:
                    raise
            await asyncio.sleep(pause(attempt, random.random()))
        raise AssertionError("the last attempt returns or raises")

    async def _fetch(
        self, path: str, start: int = 0, end: int | None = None, *, origin: bool = False
    ) -> ObjectPart:
        some = {"Range": byte_range(start, end)}
        while True:
            headers, content = await self._call(
                "GET", self.url(path), headers=some if start or end is not None else {}
            )
            state = headers["X-Goog-Generation"]
            size = whole(headers.get("Content-Range"), content)
            if not origin:
                return ObjectPart(content, size, state, None)
            bucket, key, _ = self.split_path(path)
            about = await self._call("GET", "b/{}/o/{}", bucket, key, json_out=True)
            if str(about["generation"]) == state:
                writing = about.get("metadata", {}).get(WRITING)
                return ObjectPart(content, size, state, writing)

    async def _send(self, file: str, path: str, writing: str | None) -> None:
        given = {WRITING: writing} if writing else None
        await self._put_file(
            file, path, metadata=given, content_type=content_type(path), chunksize=PART
        )

    async def _delete_files(self, files: list[str], batchsize: int) -> list[Any]:  # noqa: ARG002
        # Their errors are told one by one so, and a batch's are not.
        removals = (self._rm_file(file) for file in files)
        return list(await asyncio.gather(*removals, return_exceptions=True))


class RefusedError(OSError):
    """An answer of the store that is an error."""

    def __init__(self, code: str, words: str) -> None:
        super().__init__(words)
        self.error_code = code


def _refusal(method: str, url: str, status: int, content: bytes) -> OSError:
    """What an answer means."""
    if status == 404 and not _is_of_bucket(method, url):
        return FileNotFoundError(errno.ENOENT, "not there", url)
    code = "NoSuchBucket" if status == 404 else _reason(content) or str(status)
    if status in _PASSING or status == _THERE:
        code = str(status)
    # gcsfs tells by this word that listing may be allowed where reading is not.
    return RefusedError(code, f"{'Forbidden' if status == 403 else 'refused'}: {url} ({code})")


def _is_of_bucket(method: str, url: str) -> bool:
    """Whether nothing but the bucket may be missing: for a new object, and for a listing."""
    beginning = method == "POST" and "/upload/storage/" in url and "upload_id=" not in url
    return beginning or url.endswith("/o")


def _reason(content: bytes) -> str | None:
    try:
        return str(json_format.loads(content)["error"]["errors"][0]["reason"])
    except (ValueError, KeyError, TypeError, IndexError):
        return None
