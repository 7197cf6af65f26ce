"""Transient errors, which are retried; all others fail at once.

The network, the store, the database, memory and a lost worker may be available again in a minute.
All else (an invalid geometry, a missing key, a fault of the code) fails the same way every time, so
that retries cost minutes and help nothing. What is not in the table fails at once.
"""

from __future__ import annotations

import errno
import re
import ssl
from collections.abc import Callable, Hashable, Mapping
from typing import Any

from lc_platform.errors import PlatformError

TRANSIENT_CODES = {
    "SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "Throttling",
    "ThrottlingException", "RequestLimitExceeded", "OperationAborted",
    "ServerBusy", "OperationTimedOut", "ContainerBeingDeleted",
    "408", "425", "429", "500", "502", "503", "504",
}  # fmt: skip
"""Codes of object stores and HTTP servers after which a later request may succeed."""

_TRANSIENT_ERRNO = {
    # The file system: a network mount that comes back, scratch space that other work gives back.
    errno.EIO, errno.ESTALE, errno.ENOSPC, errno.EDQUOT, errno.EBUSY, errno.EREMOTEIO,
    errno.ENOLCK, errno.ETXTBSY, errno.EDEADLK,
    # Memory, files and processes of the machine.
    errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.EINTR,
    # The network.
    errno.EPIPE, errno.ETIMEDOUT, errno.ECONNREFUSED, errno.ECONNRESET, errno.ECONNABORTED,
    errno.ENOTCONN, errno.ESHUTDOWN, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN,
    errno.ENETUNREACH, errno.ENETRESET, errno.EADDRNOTAVAIL,
}  # fmt: skip

_TRANSIENT_TEXT = re.compile(
    r"timed out|timeout was reached|operation too slow|connection (?:refused|reset|aborted|closed)"
    r"|could(?: not|n't) (?:connect|resolve)|failed to connect|network is unreachable"
    r"|temporarily|temporary failure|empty reply from server|transfer closed|partial file"
    r"|error sending request|after \d+ retries"
    r"|input/output error|stale (?:nfs )?file handle|no space left|cannot allocate memory"
    r"|out of memory|bad_alloc|unable to allocate|too many open files|resource deadlock"
    r"|(?:http|response|status)(?: \w+)?(?: code)?\s*[:=]?\s*(?:408|425|429|500|502|503|504)\b",
    re.IGNORECASE,
)
"""Texts of C libraries about the network, the file system and memory: they have one type of error
for everything."""
_MEMORY_TEXT = re.compile(
    r"bad_alloc|cannot allocate memory|unable to allocate|out of memory|can't start new thread",
    re.IGNORECASE,
)

Rule = Callable[[Any], bool | None]
"""Returns whether an error is transient; None if it does not say."""


def is_transient(error: BaseException) -> bool:
    """Whether the same attempt may succeed later by itself.

    The error's type decides, or its nearest base in the table; if that does not say, the error that
    it was raised from. In a group of errors each must be transient.
    """
    seen: set[int] = set()
    here: BaseException | None = error
    while here is not None and id(here) not in seen:
        seen.add(id(here))
        if (verdict := _verdict(here)) is not None:
            return verdict
        here = here.__cause__
    return False


def _verdict(error: BaseException) -> bool | None:
    for base in type(error).__mro__:
        name = f"{base.__module__.partition('.')[0]}.{base.__name__}"
        if name in _TABLE:
            rule = _TABLE[name]
            return rule(error) if callable(rule) else rule
    return None


def _own(error: PlatformError) -> bool:
    return error.transient


def _retryable(error: Any) -> bool:
    """Dagster's own errors say whether they may be retried."""
    return bool(error.allow_retries)


def _group(error: BaseExceptionGroup[BaseException]) -> bool:
    return all(map(is_transient, error.exceptions))


def _numbered(error: OSError) -> bool | None:
    """By its number; an error without (a damaged picture, another file format) does not say."""
    return None if error.errno is None else error.errno in _TRANSIENT_ERRNO


def _certificate(error: BaseException) -> bool:
    """An untrusted certificate is permanent; a broken connection is transient."""
    return not (
        isinstance(error, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(error)
    )


def _reason(error: Any) -> bool | None:
    """By the reason of urllib's error."""
    reason = error.reason
    return is_transient(reason) if isinstance(reason, BaseException) else True


def _answer(error: Any) -> bool | None:
    """By the server's code or HTTP status."""
    response = getattr(error, "response", None)
    if isinstance(response, Mapping):  # botocore's
        codes = [response.get("Error", {}).get("Code")]
        codes += [response.get("ResponseMetadata", {}).get("HTTPStatusCode")]
    else:
        code = getattr(error, "error_code", None)
        codes = [getattr(code, "value", code), getattr(response, "status_code", None)]
    names = ("status_code", "status", "code")
    codes += [getattr(error, next((n for n in names if hasattr(error, n)), ""), None)]
    found = [str(code) for code in codes if isinstance(code, str | int) and str(code)]
    return any(code in TRANSIENT_CODES for code in found) if found else None


def _by_text(error: BaseException) -> bool:
    return _TRANSIENT_TEXT.search(str(error)) is not None


def _by_memory_text(error: BaseException) -> bool | None:
    return True if _MEMORY_TEXT.search(str(error)) else None


def _database(error: Any) -> bool | None:
    """An unreachable or locked database is transient; a missing table or column is permanent."""
    return not re.search(
        r"no such (?:table|column)|does not exist|syntax error|already exists|has no column"
        r"|authentication failed|readonly database|not a database",
        str(getattr(error, "orig", None) or error),
        re.IGNORECASE,
    )


def _broken_connection(error: Any) -> bool | None:
    return True if error.connection_invalidated else None


def _rpc(error: Any) -> bool | None:
    code = error.code() if callable(getattr(error, "code", None)) else None
    passing = {"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "ABORTED", "CANCELLED"}
    return getattr(code, "name", None) in passing


def _downloaded(error: Any) -> bool | None:
    """By the cause of sentinelhub's failed download."""
    cause = getattr(error, "request_exception", None)
    return is_transient(cause) if cause is not None else None


_TABLE: Mapping[str, bool | Rule] = {
    # The platform's own errors say it themselves.
    "lc_platform.PlatformError": _own,
    # Python
    "builtins.BaseExceptionGroup": _group,
    "builtins.MemoryError": True,
    "builtins.ConnectionError": True,
    "builtins.TimeoutError": True,
    "builtins.InterruptedError": True,
    "builtins.BlockingIOError": True,
    "builtins.FileNotFoundError": False,
    "builtins.PermissionError": False,
    "builtins.OSError": _numbered,
    "builtins.RuntimeError": _by_memory_text,
    "builtins.SystemError": _by_memory_text,
    "socket.gaierror": True,
    "socket.herror": True,
    "ssl.SSLError": _certificate,
    "http.HTTPException": True,
    "http.InvalidURL": False,
    "urllib.HTTPError": _answer,
    "urllib.URLError": _reason,
    "asyncio.IncompleteReadError": True,
    "concurrent.BrokenExecutor": True,
    "concurrent.TimeoutError": True,
    "multiprocessing.TimeoutError": True,
    # The network
    "requests.ConnectionError": True,
    "requests.Timeout": True,
    "requests.ChunkedEncodingError": True,
    "requests.ContentDecodingError": True,
    "requests.RetryError": True,
    "requests.SSLError": _certificate,
    "requests.HTTPError": _answer,
    "requests.RequestException": False,
    "urllib3.TimeoutError": True,
    "urllib3.ProtocolError": True,
    "urllib3.ProxyError": True,
    "urllib3.DecodeError": True,
    "urllib3.MaxRetryError": _reason,
    "urllib3.SSLError": _certificate,
    "urllib3.HTTPError": False,
    "aiohttp.ClientConnectionError": True,
    "aiohttp.ClientPayloadError": True,
    "aiohttp.ClientConnectorCertificateError": False,
    "aiohttp.ClientSSLError": _certificate,
    "aiohttp.ClientResponseError": _answer,
    "aiohttp.ClientError": False,
    "httpx.TransportError": True,
    "httpx.UnsupportedProtocol": False,
    "httpx.HTTPStatusError": _answer,
    "pystac_client.APIError": _answer,
    "oauthlib.OAuth2Error": _answer,
    "sentinelhub.DownloadFailedException": _downloaded,
    # Object stores
    "botocore.ClientError": _answer,
    "botocore.ConnectionError": True,
    "botocore.HTTPClientError": True,
    "botocore.IncompleteReadError": True,
    "botocore.ResponseParserError": True,
    "botocore.MetadataRetrievalError": True,
    "botocore.SSLError": _certificate,
    "botocore.BotoCoreError": False,
    "azure.ServiceRequestError": True,
    "azure.ServiceResponseError": True,
    "azure.IncompleteReadError": True,
    "azure.ClientAuthenticationError": False,
    "azure.HttpResponseError": _answer,
    "gcsfs.HttpError": _answer,
    "google.TransportError": True,
    "google.GoogleAPICallError": _answer,
    "google.RetryError": True,
    "obstore.GenericError": _by_text,
    "obstore.JoinError": True,
    # Databases, and Dagster's processes
    "sqlalchemy.TimeoutError": True,
    "sqlalchemy.DisconnectionError": True,
    "sqlalchemy.OperationalError": _database,
    "sqlalchemy.InterfaceError": _database,
    "sqlalchemy.DBAPIError": _broken_connection,
    "sqlite3.OperationalError": _database,
    "psycopg2.OperationalError": _database,
    "psycopg2.InterfaceError": _database,
    "grpc.RpcError": _rpc,
    "dagster.Failure": _retryable,
    "dagster.RetryRequested": True,
    "dagster.DagsterUserCodeUnreachableError": True,
    # Libraries in C that have one type of error for all
    "rasterio.RasterioIOError": _by_text,
    "rasterio.CPLE_OutOfMemoryError": True,
    "rasterio.CPLE_BaseError": _by_text,
    "rasterio.RasterioError": _by_text,
    "pyogrio.DataSourceError": _by_text,
    "lightgbm.LightGBMError": _by_memory_text,
    "cv2.error": _by_memory_text,
    "pyarrow.ArrowMemoryError": True,
    # These are permanent.
    "builtins.ValueError": False,
    "builtins.LookupError": False,
    "builtins.TypeError": False,
    "builtins.AttributeError": False,
    "builtins.ArithmeticError": False,
    "builtins.AssertionError": False,
    "shapely.ShapelyError": False,
    "pyproj.ProjError": False,
    "rasterio.CRSError": False,
    "pyogrio.CRSError": False,
    "numba.NumbaError": False,
    "zarr.BaseZarrError": False,
}
"""Package and type -> whether it is transient, or a rule."""


class PermanentFailures:
    """Permanent failures of the present run.

    A step that is retried for a transient failure of one patch does not compute these again.
    """

    def __init__(self) -> None:
        self._run = ""
        self._failed: dict[tuple[str, Hashable], Exception] = {}

    def note(self, run: str, asset: str, where: Hashable, error: Exception) -> None:
        if run != self._run:
            self._run, self._failed = run, {}
        self._failed[asset, where] = error

    def of(self, run: str, asset: str, where: Hashable) -> Exception | None:
        return self._failed.get((asset, where)) if run == self._run else None
