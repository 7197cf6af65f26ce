"""On which side each error is: what may pass by itself, and what fails the same way every time."""

from __future__ import annotations

import concurrent.futures.process
import errno
import http.client
import io
import json
import multiprocessing
import pickle
import sqlite3
import ssl
import urllib.error
import zipfile
import zlib
from collections.abc import Callable
from email.message import Message
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import grpc
import lightgbm
import numba.core.errors
import numcodecs
import numpy as np
import PIL.Image
import pyarrow as pa
import pyogrio.errors
import pyproj
import pyproj.exceptions
import pytest
import rasterio
import requests
import shapely
import sqlalchemy
import sqlalchemy.exc
import urllib3
import zarr
from dagster._core.errors import DagsterUserCodeUnreachableError
from pystac_client.exceptions import APIError
from sentinelhub.exceptions import DownloadFailedException

from lc_platform.errors import DataError
from lc_platform.errors.transient import is_transient
from lc_platform.sources.protocol import QuotaError, SourceError, TransientSourceError
from lc_platform.storage.errors import DamagedArtefactError, StorageError, UnavailableError

Raise = Callable[[], object]


def raised(call: Raise) -> BaseException:
    """What a library raises itself."""
    with pytest.raises(BaseException) as caught:  # noqa: PT011
        call()
    return caught.value


def of_http(status: int) -> requests.HTTPError:
    answer = requests.Response()
    answer.status_code = status
    return requests.HTTPError(response=answer)


def asked_by_urllib(status: int) -> urllib.error.HTTPError:
    return urllib.error.HTTPError("http://x", status, "", Message(), io.BytesIO())


def from_catalog(status: int | None, cause: Exception | None = None) -> APIError:
    error = APIError("no answer")
    error.status_code = status
    error.__cause__ = cause
    return error


class RpcError(grpc.RpcError):
    def __init__(self, code: grpc.StatusCode) -> None:
        self._code = code

    def code(self) -> grpc.StatusCode:
        return self._code


def of_boto(code: str, status: int) -> Exception:
    exceptions = pytest.importorskip("botocore.exceptions")
    told = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    error: Exception = exceptions.ClientError(told, "PutObject")
    return error


def of_azure(name: str, status: int | None = None) -> Exception:
    exceptions = pytest.importorskip("azure.core.exceptions")
    error: Exception = getattr(exceptions, name)("no")
    if status is not None:
        error.status_code = status  # type: ignore[attr-defined]
    return error


def of(package: str, name: str, *given: object, **named: object) -> Exception:
    error: Exception = getattr(pytest.importorskip(package), name)(*given, **named)
    return error


def in_database(kind: type[sqlalchemy.exc.DBAPIError], orig: Exception) -> Exception:
    return kind("SELECT 1", {}, orig)


def wrapped(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def numbered(number: int) -> OSError:
    return OSError(number, "no")


PASSING: dict[str, Callable[[], BaseException]] = {
    # The network
    "connection reset": lambda: ConnectionResetError(errno.ECONNRESET, "reset"),
    "connection refused": lambda: numbered(errno.ECONNREFUSED),
    "no route": lambda: numbered(errno.EHOSTUNREACH),
    "broken pipe": lambda: BrokenPipeError(errno.EPIPE, "broken"),
    "time-out": TimeoutError,
    "name not resolved": lambda: __import__("socket").gaierror(-3, "Temporary failure"),
    "TLS cut off": lambda: ssl.SSLEOFError(8, "EOF occurred in violation of protocol"),
    "cut body": lambda: http.client.IncompleteRead(b"half"),
    "server hung up": lambda: http.client.RemoteDisconnected("closed"),
    "urllib 503": lambda: asked_by_urllib(503),
    "urllib unreachable": lambda: urllib.error.URLError(ConnectionRefusedError(111, "refused")),
    "requests connection": lambda: requests.ConnectionError("refused"),
    "requests time-out": lambda: requests.ReadTimeout("slow"),
    "requests cut body": lambda: requests.exceptions.ChunkedEncodingError("cut"),
    "requests 429": lambda: of_http(429),
    "requests 502": lambda: of_http(502),
    "urllib3 cut body": lambda: urllib3.exceptions.ProtocolError("cut"),
    "urllib3 time-out": lambda: urllib3.exceptions.ReadTimeoutError(None, "u", "slow"),  # type: ignore[arg-type]
    "aiohttp gone": lambda: of("aiohttp", "ServerDisconnectedError"),
    "aiohttp cut body": lambda: of("aiohttp", "ClientPayloadError", "cut"),
    "aiohttp 503": lambda: of("aiohttp", "ClientResponseError", None, (), status=503),
    "catalog 500": lambda: from_catalog(500),
    "catalog unreachable": lambda: from_catalog(None, requests.ConnectionError("refused")),
    "sentinelhub 503": lambda: DownloadFailedException("no", request_exception=of_http(503)),
    # The store
    "S3 slow down": lambda: of_boto("SlowDown", 503),
    "S3 internal error": lambda: of_boto("InternalError", 500),
    "S3 unreachable": lambda: of(
        "botocore.exceptions", "EndpointConnectionError", endpoint_url="http://x"
    ),
    "S3 read time-out": lambda: of(
        "botocore.exceptions", "ReadTimeoutError", endpoint_url="http://x", error="slow"
    ),
    "Azure unreachable": lambda: of_azure("ServiceRequestError"),
    "Azure 503": lambda: of_azure("HttpResponseError", 503),
    "GCS 429": lambda: of("gcsfs.retry", "HttpError", {"message": "later", "code": 429}),
    "fsspec time-out": lambda: of("fsspec.exceptions", "FSTimeoutError"),
    "stale NFS handle": lambda: numbered(errno.ESTALE),
    "disk error": lambda: numbered(errno.EIO),
    "scratch space full": lambda: numbered(errno.ENOSPC),
    "device busy": lambda: numbered(errno.EBUSY),
    "the store's own": lambda: UnavailableError("away"),
    "the archive's own": lambda: TransientSourceError("away"),
    # The database and Dagster
    "SQLite locked": lambda: in_database(
        sqlalchemy.exc.OperationalError, sqlite3.OperationalError("database is locked")
    ),
    "Postgres restarts": lambda: in_database(
        sqlalchemy.exc.OperationalError,
        of("psycopg2", "OperationalError", "terminating connection"),
    ),
    "pool exhausted": lambda: sqlalchemy.exc.TimeoutError("QueuePool limit"),
    "psycopg2 alone": lambda: of("psycopg2", "OperationalError", "server closed the connection"),
    "code server away": lambda: DagsterUserCodeUnreachableError("away"),
    "gRPC unavailable": lambda: RpcError(grpc.StatusCode.UNAVAILABLE),
    "failure that allows it": lambda: dg.Failure("later", allow_retries=True),
    # Memory, and lost workers
    "memory": MemoryError,
    "numpy's memory": lambda: raised(lambda: np.empty((2**62,), np.uint8)),
    "Arrow's memory": lambda: pa.lib.ArrowMemoryError("malloc of size 10 failed"),
    "C++ memory": lambda: RuntimeError("std::bad_alloc"),
    "LightGBM's memory": lambda: lightgbm.basic.LightGBMError("Cannot allocate memory"),
    "no more threads": lambda: RuntimeError("can't start new thread"),
    "too many open files": lambda: numbered(errno.EMFILE),
    "lost process": lambda: concurrent.futures.process.BrokenProcessPool("killed"),
    "process too slow": lambda: multiprocessing.TimeoutError(),
    # Libraries in C
    "GDAL over HTTP": lambda: rasterio.errors.RasterioIOError("HTTP response code: 503"),
    "GDAL time-out": lambda: rasterio.errors.RasterioIOError("CURL error: Operation timed out"),
    "GDAL, NFS": lambda: rasterio.errors.RasterioIOError("read failed: Stale file handle"),
    "OGR over HTTP": lambda: pyogrio.errors.DataSourceError("HTTP error code : 502"),
    # What came of it
    "said by its cause": lambda: wrapped(Exception("no pixels"), ConnectionResetError()),
    "all of several": lambda: ExceptionGroup("both", [TimeoutError(), MemoryError()]),
}

CRS = pyproj.CRS(4326)
INVALID = b"not what it should be"

STAYING: dict[str, Callable[[], BaseException]] = {
    # Geometry and projections
    "GEOS": lambda: raised(
        lambda: shapely.union(
            shapely.from_wkt("POLYGON ((0 0, 2 2, 2 0, 0 2, 0 0))"),
            shapely.from_wkt("POLYGON ((0 0, 2 1, 2 0, 0 2, 0 0))"),
        )
    ),
    "WKT": lambda: raised(lambda: shapely.from_wkt("POLYGON ((0 0, 1 1))")),
    "PROJ": lambda: raised(
        lambda: pyproj.Transformer.from_crs(4326, 32633).transform(1e9, 1e9, errcheck=True)
    ),
    "CRS": lambda: raised(lambda: pyproj.CRS("EPSG:0")),
    "rasterio's CRS": lambda: raised(lambda: rasterio.CRS.from_user_input("EPSG:0")),
    "pyogrio's CRS": lambda: pyogrio.errors.CRSError("no"),
    # Faults of the code, and of what nobody checked
    "key": lambda: raised(lambda: {}["B04"]),  # type: ignore[var-annotated]
    "index": lambda: raised(lambda: [][1]),  # type: ignore[var-annotated]
    "type": lambda: raised(lambda: None + 1),  # type: ignore[operator]
    "attribute": lambda: raised(lambda: None.shape),  # type: ignore[attr-defined]
    "shapes": lambda: raised(lambda: np.zeros(2) + np.zeros(3)),
    "division": lambda: raised(lambda: 1 / 0),
    "assertion": AssertionError,
    "recursion": RecursionError,
    "any": lambda: Exception("what?"),
    "JSON": lambda: raised(lambda: json.loads("{")),
    "encoding": lambda: raised(lambda: b"\xff".decode()),
    "numba": lambda: numba.core.errors.TypingError("no"),
    # Files
    "denied": lambda: PermissionError(errno.EACCES, "denied"),
    "not there": lambda: raised(lambda: Path("/nowhere/x").read_bytes()),
    "read-only": lambda: numbered(errno.EROFS),
    "a folder": lambda: IsADirectoryError(errno.EISDIR, "folder"),
    "not a folder": lambda: NotADirectoryError(errno.ENOTDIR, "file"),
    "name too long": lambda: numbered(errno.ENAMETOOLONG),
    "too large a file": lambda: numbered(errno.EFBIG),
    "no image": lambda: raised(lambda: PIL.Image.open(io.BytesIO(INVALID))),
    "no zip": lambda: raised(lambda: zipfile.ZipFile(io.BytesIO(INVALID))),
    "no zlib": lambda: raised(lambda: zlib.decompress(INVALID)),
    "no pickle": lambda: raised(lambda: pickle.loads(b"")),
    "GDAL, not there": lambda: raised(lambda: rasterio.open("/nowhere/x.tif")),
    "GDAL, 404": lambda: rasterio.errors.RasterioIOError("HTTP response code: 404"),
    "GDAL, damaged": lambda: rasterio.errors.RasterioIOError("Read failed at block 503, 429"),
    "OGR": lambda: raised(lambda: pyogrio.read_dataframe("/nowhere/x.gpkg")),
    "OGR layer": lambda: pyogrio.errors.DataLayerError("no layer"),
    "Arrow": lambda: raised(lambda: pa.ipc.open_file(INVALID)),
    "Zarr": lambda: raised(lambda: zarr.open_array({}, mode="r")),
    "codec": lambda: raised(lambda: numcodecs.Blosc().decode(INVALID)),
    "LightGBM": lambda: raised(lambda: lightgbm.Booster(model_str="no model")),
    # Servers that say no
    "404": lambda: of_http(404),
    "401": lambda: of_http(401),
    "urllib 403": lambda: asked_by_urllib(403),
    "no URL": lambda: raised(lambda: requests.get("nowhere", timeout=1)),
    "certificate": lambda: ssl.SSLCertVerificationError(1, "CERTIFICATE_VERIFY_FAILED"),
    "requests certificate": lambda: requests.exceptions.SSLError("CERTIFICATE_VERIFY_FAILED"),
    "urllib certificate": lambda: urllib.error.URLError(ssl.SSLCertVerificationError(1, "no")),
    "redirects": lambda: requests.TooManyRedirects("31"),
    "catalog 400": lambda: from_catalog(400),
    "aiohttp 403": lambda: of("aiohttp", "ClientResponseError", None, (), status=403),
    "S3 denied": lambda: of_boto("AccessDenied", 403),
    "S3 expired": lambda: of_boto("ExpiredToken", 400),
    "S3 without credentials": lambda: of("botocore.exceptions", "NoCredentialsError"),
    "Azure denied": lambda: of_azure("ClientAuthenticationError", 403),
    "Azure 404": lambda: of_azure("ResourceNotFoundError", 404),
    "GCS 403": lambda: of("gcsfs.retry", "HttpError", {"message": "no", "code": 403}),
    "sentinelhub 400": lambda: DownloadFailedException("no", request_exception=of_http(400)),
    "no table": lambda: in_database(
        sqlalchemy.exc.OperationalError, sqlite3.OperationalError("no such table: runs")
    ),
    "SQL": lambda: in_database(sqlalchemy.exc.ProgrammingError, Exception("syntax error")),
    "constraint": lambda: in_database(sqlalchemy.exc.IntegrityError, Exception("unique")),
    "gRPC unimplemented": lambda: RpcError(grpc.StatusCode.UNIMPLEMENTED),
    # The platform's, and Dagster's
    "the platform's own": lambda: DataError("no pixel"),
    "a full store": lambda: wrapped(StorageError("full"), numbered(errno.ENOSPC)),
    "a damaged artefact": lambda: DamagedArtefactError("damaged", "a"),
    "quota": lambda: QuotaError("spent"),
    "refused": lambda: wrapped(SourceError("no"), TimeoutError()),
    "failure": lambda: dg.Failure("no", allow_retries=False),
    "definition": lambda: dg.DagsterInvalidDefinitionError("no"),
    "invariant": lambda: dg.DagsterInvariantViolationError("no"),
    "one of several": lambda: ExceptionGroup("both", [TimeoutError(), KeyError("B04")]),
    "while another was handled": lambda: raised(_missed_in_a_handler),
}


def _missed_in_a_handler() -> None:
    try:
        raise TimeoutError
    except TimeoutError:
        SimpleNamespace().not_there  # noqa: B018


@pytest.mark.parametrize("name", PASSING)
def test_what_may_pass_by_itself_is_transient(name: str) -> None:
    error = PASSING[name]()
    assert is_transient(error), f"{type(error).__mro__}: {error}"


@pytest.mark.parametrize("name", STAYING)
def test_what_fails_the_same_way_every_time_is_not(name: str) -> None:
    error = STAYING[name]()
    assert not is_transient(error), f"{type(error).__mro__}: {error}"
