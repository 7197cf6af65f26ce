"""Ranges of files' bytes, over HTTP and from S3: one request each, and what its answer means."""

from __future__ import annotations

import io
import re
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.exceptions import DecodeError, HTTPError, InvalidHeader, ReadTimeoutError
from urllib3.util import Retry

from lc_platform.sources.network.limits import Refused
from lc_platform.sources.protocol import SourceError, TransientSourceError

HTTP_SECONDS = 60.0
"""Seconds that an archive may take to answer."""
SLOWEST = 100_000
"""Bytes a second."""
MARKUP = re.compile(rb"\s*<(!doctype|html|head|body|\?xml)", re.IGNORECASE)
"""The beginning of a web page."""

_WHOLE_FILE_BYTES = 100_000_000
_BROKEN = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)


@dataclass(frozen=True, slots=True)
class Part:
    """Some of a file."""

    first: int
    content: bytes
    size: int
    """Of the whole file."""
    tag: str = ""
    """What the server identifies the file's state by; empty where it gives nothing."""

    @property
    def end(self) -> int:
        """The first byte after it."""
        return self.first + len(self.content)

    def holds(self, first: int, size: int) -> bool:
        return self.first <= first and first + size <= self.end

    def cut(self, first: int, size: int) -> memoryview:
        start = first - self.first
        return memoryview(self.content)[start : start + size]


class Web:
    """Files at http(s) links."""

    def __init__(self, connections: int, seconds: float) -> None:
        self._seconds = seconds
        self._session = requests.Session()
        adapter = HTTPAdapter(pool_connections=connections, pool_maxsize=connections)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def get(self, uri: str, token: str, first: int, last: int) -> Part:
        """Return bytes ``first`` to ``last`` of the file at a link, or all where the server gives
        no ranges; ``token`` is the query that signs the link, or empty. The errors have no subject:
        they begin with what goes wrong.

        Raises SourceError, of it AccessError where access is refused, and TransientSourceError
        where another attempt may succeed.
        """
        until = time.monotonic() + self._seconds + (last - first) / SLOWEST
        signed = uri if not token else f"{uri}{'&' if '?' in uri else '?'}{token}"
        # An encoded body would be another range.
        headers = {"Range": f"bytes={first}-{last}", "Accept-Encoding": "identity"}
        failure: SourceError | None = None
        try:
            with self._session.get(
                signed, headers=headers, stream=True, timeout=self._seconds
            ) as answer:
                _refuse(answer.status_code, answer.headers)
                return self._received(answer, first, until)
        except _BROKEN as error:
            failure = not_answered(error)
        except requests.RequestException as error:
            failure = SourceError(f"cannot be asked for ({reason(error)}).")
        # Outside of the handler: the error's words have the link with its signature.
        raise failure

    def _received(self, answer: requests.Response, first: int, until: float) -> Part:
        content_range = re.fullmatch(
            r"bytes (\d+)-(\d+)/(\d+)", answer.headers.get("Content-Range", "")
        )
        if answer.status_code == 206 and (content_range is None or int(content_range[1]) != first):
            raise TransientSourceError("answered with another part of the file than was asked for.")
        found, size = [], 0
        for piece in pieces(answer, until):
            found.append(piece)
            size += len(piece)
            if content_range is None and size > _WHOLE_FILE_BYTES:
                raise SourceError(
                    "comes only as a whole: its server gives no ranges of files (HTTP Range). Use "
                    "another archive, or a copy on a server that does."
                )
        content = b"".join(found)
        if (first == 0 or content_range is None) and MARKUP.match(content):
            raise SourceError(
                "is a web page and no image: a proxy or a login page answers instead of the "
                "archive. Check HTTP_PROXY, HTTPS_PROXY and NO_PROXY."
            )
        tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
        if content_range is None:
            return Part(0, content, len(content), tag)
        if size != int(content_range[2]) - first + 1:
            raise TransientSourceError("answered with a body that was cut short.")
        return Part(first, content, int(content_range[3]), tag)


class Buckets:
    """Files at s3:// links."""

    def __init__(
        self, connections: int, seconds: float, requester_pays: bool, region: str | None
    ) -> None:
        self._connections, self._seconds = connections, seconds
        self._requester_pays, self._region = requester_pays, region
        self._lock = threading.Lock()
        self._opened: Any = None

    def get(self, uri: str, _: str, first: int, last: int) -> Part:
        """As of `Web`."""
        if find_spec("botocore") is None:
            raise SourceError(
                "is in S3, for which a package is missing. Install lc-platform with its extra s3: "
                "pip install 'lc-platform[s3]'"
            )
        from botocore.exceptions import (
            BotoCoreError,
            ClientError,
            HTTPClientError,
            IncompleteReadError,
            NoCredentialsError,
        )

        bucket, _, key = uri.removeprefix("s3://").partition("/")
        pays = {"RequestPayer": "requester"} if self._requester_pays else {}
        until = time.monotonic() + self._seconds + (last - first) / SLOWEST
        try:
            answer = self._client().get_object(
                Bucket=bucket, Key=key, Range=f"bytes={first}-{last}", **pays
            )
            content = bytearray()
            for piece in answer["Body"].iter_chunks(65_536):
                content += piece
                if time.monotonic() > until:
                    raise TransientSourceError("did not answer in time.")
        except NoCredentialsError as error:
            raise SourceError(_NO_ACCOUNT) from error
        except ClientError as error:
            metadata = error.response.get("ResponseMetadata", {})
            status = int(metadata.get("HTTPStatusCode", 0))
            if is_passing(status) or status in (404, 410, 416):
                _refuse(status, metadata.get("HTTPHeaders", {}))
            # S3 says why: an unknown account, a right that lacks, a clock that is off.
            kind = AccessError if status in (401, 403) else SourceError
            raise kind(
                f"is refused by the archive ({error}). Check the account, its rights and this "
                "machine's clock."
            ) from error
        except (HTTPClientError, IncompleteReadError) as error:
            raise TransientSourceError(f"did not answer ({error}).") from error
        except BotoCoreError as error:
            raise SourceError(
                f"cannot be asked for ({error}). Correct the AWS account's settings: AWS_PROFILE, "
                "AWS_REGION and the files they are read from."
            ) from error
        told_range = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", answer.get("ContentRange", ""))
        tag = str(answer.get("ETag") or "")
        if told_range is None:
            return Part(0, bytes(content), len(content), tag)
        return Part(first, bytes(content), int(told_range[3]), tag)

    def _client(self) -> Any:
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _open(self) -> Any:
        from botocore import UNSIGNED
        from botocore.config import Config
        from botocore.session import get_session

        session = get_session()
        known = session.get_credentials() is not None
        if self._requester_pays and not known:
            raise SourceError(_NO_ACCOUNT)
        settings: dict[str, Any] = {
            "retries": {"total_max_attempts": 1},  # `Limits` does
            "connect_timeout": self._seconds,
            "read_timeout": self._seconds,
            "max_pool_connections": self._connections,
        }
        if not known:
            settings["signature_version"] = UNSIGNED
        return session.create_client("s3", region_name=self._region, config=Config(**settings))


_NO_ACCOUNT = (
    "is in a bucket whose readers pay for what they read, and there is no AWS account to "
    "pay. Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE; or take an archive "
    "that is free to read."
)


def pieces(answer: requests.Response, until: float) -> Iterator[bytes]:
    """Yield an answer's body as it arrives, however slowly. Raises RequestException where it breaks
    off, ReadTimeout where it has not ended at a time of the monotonic clock."""
    # requests' own way waits until there are as many bytes as were asked for.
    try:
        while piece := answer.raw.read1(65_536, decode_content=True):
            yield piece
            if time.monotonic() > until:
                raise requests.ReadTimeout
    except ReadTimeoutError as error:
        raise requests.ReadTimeout(error) from error
    except DecodeError as error:
        raise requests.exceptions.ContentDecodingError(error) from error
    except HTTPError as error:
        raise requests.exceptions.ChunkedEncodingError(error) from error


def receive(answer: requests.Response, until: float) -> None:
    """Read the body of an answer that was asked for as a stream, as `pieces` does; ``content`` of
    the answer has it from then on."""
    answer.raw = io.BytesIO(b"".join(pieces(answer, until)))
    _ = answer.content


def not_answered(error: BaseException) -> SourceError:
    """Return what a request means that no answer came to, without its subject."""
    if is_untrusted(error):
        return SourceError(
            "answers with a certificate that is not trusted. A proxy may answer in its place: "
            "check HTTPS_PROXY and NO_PROXY, and name its authority's file in REQUESTS_CA_BUNDLE."
        )
    return TransientSourceError(f"did not answer ({reason(error)}).")


def is_untrusted(error: BaseException) -> bool:
    """Return whether a server's certificate is what an error came from."""
    seen: list[Any] = [error]
    for one in seen:
        if isinstance(one, ssl.SSLCertVerificationError):
            return True
        causes = [*getattr(one, "args", ()), getattr(one, "reason", None)]
        seen += [cause for cause in causes if isinstance(cause, BaseException)]
    return False


class GoneError(SourceError):
    """A file that is listed is not there (status 404 or 410)."""


class AccessError(SourceError):
    """An archive refuses access (status 401 or 403)."""


def is_passing(status: int) -> bool:
    """Return whether a status of HTTP says that a later attempt may succeed."""
    return status in (408, 429) or status >= 500


def _refuse(status: int, headers: Mapping[str, str]) -> None:
    """Raise what a status means."""
    if status in (404, 410):
        raise GoneError(
            f"is listed in the catalog but is not there (HTTP status {status}). The archive has "
            "removed it since: search again, or take the item out of the catalog."
        )
    if status in (401, 403):
        raise AccessError(
            f"is refused by the archive (HTTP status {status}). Check the account and its rights."
        )
    if is_passing(status):
        raise Refused(status, f"did not answer (HTTP status {status}).", seconds_to_wait(headers))
    if status == 416:
        raise SourceError("is shorter than it says of itself; it is damaged. Fetch it again.")
    if status not in (200, 206):
        raise SourceError(f"cannot be read (HTTP status {status}).")


def seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """Return what Retry-After says, a number of seconds or a date; None where it says nothing."""
    header = CaseInsensitiveDict(headers).get("Retry-After", "")
    try:
        return float(Retry().parse_retry_after(header))
    except InvalidHeader:
        return None


def reason(error: BaseException) -> str:
    """Return what went wrong, without the link that was asked for."""
    if isinstance(error, requests.Timeout):
        return "it took too long"
    cause: Any = error
    while cause.args and isinstance(cause.args[0], BaseException):
        cause = cause.args[0]
    reason = getattr(cause, "reason", None) or cause
    words = re.sub(r"<[^>]*>:? ?|\?\S*", "", str(reason))
    return words if words and "://" not in words and "url:" not in words else type(reason).__name__
