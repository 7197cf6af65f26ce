"""How S3, Google Cloud Storage and Azure Blob Storage are reached, and what their errors mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem
from fsspec.utils import get_protocol
from upath import UPath

from lc_platform.config import AZURE, GCS, ObjectStore
from lc_platform.errors.transient import TRANSIENT_CODES

_S3 = ("s3", "s3a")
_DRIVERS = (
    dict.fromkeys(_S3, ("s3fs", "s3"))
    | dict.fromkeys(GCS, ("gcsfs", "gcs"))
    | dict.fromkeys(AZURE, ("adlfs", "azure"))
)


def driver(url: str) -> tuple[str, str] | None:
    """(the package that reaches a URL, the extra of this project that brings it), where any is
    needed."""
    return _DRIVERS.get(get_protocol(url))


def file_system(url: str, settings: ObjectStore) -> AbstractFileSystem:
    """What reaches a URL; nothing is asked of the store yet.

    Raises ImportError where its driver is not installed, ValueError where the URL names no place,
    UnusableError where credentials, or the authorities' file, are missing.
    """
    protocol = get_protocol(url)
    if protocol in GCS:
        from lc_platform.storage.remote.gcs import GoogleFileSystem

        return GoogleFileSystem(settings=settings.model_dump(), use_listings_cache=False)
    if protocol in AZURE:
        from lc_platform.storage.remote.azure import AzureFileSystem

        account = AzureFileSystem._get_kwargs_from_urls(url)
        return AzureFileSystem(settings=settings.model_dump(), use_listings_cache=False, **account)
    if protocol in _S3:
        from lc_platform.storage.remote.s3 import S3FileSystem

        return S3FileSystem(settings=settings.model_dump(), use_listings_cache=False)
    found = UPath(url).fs
    if protocol == "memory":
        from lc_platform.storage.remote.objects import MemoryObjects

        return MemoryObjects()
    if not isinstance(found, LocalFileSystem):
        raise ValueError(f"{protocol} is no object store that is known here")
    return found


def place(fs: Any, settings: ObjectStore) -> str | None:
    """The server, for messages; None where it is the provider's own."""
    return getattr(fs, "place", None) or settings.endpoint


class Fault(NamedTuple):
    """What is wrong with the way to a store."""

    words: str
    """What, and what to do."""
    transient: bool = False


_DENIED = (
    "these credentials may not do this ({code}). Give them the right to read, write, list and "
    "delete there, or take others"
)
_EXPIRED = "the credentials have expired ({code}). Renew them, and run again"
_FULL = (
    "the store is full, or over its quota ({code}). Nothing was left half-written. Make room, for "
    "example with `lc-platform prune`, or move `storage`, and run again"
)
_ELSEWHERE = "the bucket is in another region ({code}). Give that as object_store.region"
_KEY = (
    "the access key is not known at {endpoint} ({code}). Check AWS_ACCESS_KEY_ID, or the profile, "
    "and object_store.endpoint"
)
_BUSY = "{endpoint} cannot serve this now ({code}). It was tried several times; run again later"
_UNKNOWN = (
    "these credentials are not accepted, or have expired ({code}). Renew them, or take others, "
    "and run again"
)
_NAMELESS = "404 without a name"
"""What Azure never answers: it says what is not there."""
_ANSWERS = {
    _NAMELESS: "what answers at {endpoint} is no such store. Check object_store.endpoint",
    "NoSuchBucket": "there is no bucket of this name at {endpoint}. Make it, or change `storage`",
    "InvalidBucketName": "this is no name of a bucket. Change `storage`",
    "InvalidAccessKeyId": _KEY,
    "InvalidClientTokenId": _KEY,
    "SignatureDoesNotMatch": "the secret key does not belong to the access key ({code}). Check "
    "AWS_SECRET_ACCESS_KEY, or the profile",
    "InvalidToken": "the session token is not valid ({code}). Check AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": "this machine's clock is too far from the store's ({code}). Set it, "
    "for example by NTP, and run again",
    "ContainerNotFound": "there is no container of this name at {endpoint}. Make it, or change "
    "`storage`",
    "InvalidResourceName": "this is no name of a container. Change `storage`",
    "AuthenticationFailed": "the key, or the token, is not accepted ({code}). Check "
    "AZURE_STORAGE_ACCOUNT_KEY, or AZURE_STORAGE_SAS_TOKEN, AZURE_STORAGE_ACCOUNT_NAME, and this "
    "machine's clock",
    "KeyBasedAuthenticationNotPermitted": "the account takes no keys ({code}). Unset "
    "AZURE_STORAGE_ACCOUNT_KEY, and sign in by `az login`, or by AZURE_CLIENT_ID",
    **dict.fromkeys(
        (
            "401",
            "authError",
            "required",
            "NoAuthenticationInformation",
            "InvalidAuthenticationInfo",
        ),
        _UNKNOWN,
    ),
    **dict.fromkeys(
        (
            "AccessDenied",
            "AllAccessDisabled",
            "403",
            "forbidden",
            "AccountIsDisabled",
            "AuthorizationFailure",
            "AuthorizationPermissionMismatch",
            "AuthorizationSourceIPMismatch",
            "InsufficientAccountPermissions",
        ),
        _DENIED,
    ),
    **dict.fromkeys(
        ("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "RequestExpired"),
        _EXPIRED,
    ),
    **dict.fromkeys(
        ("InsufficientStorage", "QuotaExceeded", "XMinioStorageFull", "StorageFull", "507"), _FULL
    ),
    **dict.fromkeys(
        ("PermanentRedirect", "AuthorizationHeaderMalformed", "301", "307"), _ELSEWHERE
    ),
}
EMPTY = {"416", "InvalidRange"}
"""The answer to a request for an object from its first byte on, where it has none."""
THERE_ALREADY = {
    "412", "PreconditionFailed", "conditionNotMet", "ConditionNotMet", "ConditionalRequestConflict",
    "BlobAlreadyExists",
}  # fmt: skip
"""The answers where an object was to be made that must not be there, and is."""
_NOT_THERE = {
    "404", "NoSuchKey", "NoSuchUpload", "NoSuchVersion", "BlobNotFound", "ResourceNotFound",
} | EMPTY  # fmt: skip

_CLIENT_ERRORS = {
    "NoCredentialsError": "no credentials were found. Set AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, or name a profile in object_store.profile",
    "PartialCredentialsError": "the credentials are not complete. Set both AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY",
    "ProfileNotFound": "there is no such profile in the credentials file. Change "
    "object_store.profile, or AWS_PROFILE",
    "NoRegionError": "no region is known. Give object_store.region",
    **dict.fromkeys(
        ("SSLError", "SSLCertVerificationError", "ClientSSLError"),
        "the certificate of {endpoint} is not trusted. Name the file of its authority in "
        "object_store.verify",
    ),
    "AzureSigningError": "the account key is none. Check AZURE_STORAGE_ACCOUNT_KEY",
    "ClientAuthenticationError": "no Azure credentials were found, or they are refused. Set "
    "AZURE_STORAGE_ACCOUNT_KEY, or AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET, or "
    "run `az login`",
}
"""By the name of the error's type, which says the same in each provider's library."""
_UNREACHED = {
    "EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError",
    "ClientConnectorError", "ConnectionRefusedError", "ServiceRequestError", "TransportError",
}  # fmt: skip
_CUT = {
    "ReadTimeoutError", "ConnectionClosedError", "ConnectionError", "HTTPClientError",
    "IncompleteReadError", "IncompleteRead", "ResponseStreamingError", "ClientPayloadError",
    "ClientOSError", "ServerDisconnectedError", "ConnectionResetError", "FSTimeoutError",
    "TimeoutError", "ResponseParserError", "ServiceResponseError", "BrokenPipeError",
    "AioReadTimeoutError",
}  # fmt: skip


def fault(error: BaseException, endpoint: str | None) -> Fault | None:
    """What an error of a driver says of the way to the store; None where it says something of one
    object, or nothing that is known here."""
    place = endpoint or "the provider"
    if code := answer(error):
        if code in _NOT_THERE:
            return None
        if code in TRANSIENT_CODES:
            return Fault(_BUSY.format(endpoint=place, code=code), transient=True)
        words = _ANSWERS.get(code, "{endpoint} refuses this ({code}). Check `storage`")
        return Fault(words.format(endpoint=place, code=code))
    names = [{base.__name__ for base in type(one).__mro__} for one in _chain(error)]
    for known, words in _CLIENT_ERRORS.items():
        if any(known in of for of in names):
            return Fault(words.format(endpoint=place))
    if any(of & _UNREACHED for of in names):
        return Fault(
            f"{place} cannot be reached. Check object_store.endpoint and the network, and run "
            "again",
            transient=True,
        )
    if any(of & _CUT for of in names):
        return Fault(
            f"{place} did not answer in time, or broke off. It was tried several times; run again "
            "later",
            transient=True,
        )
    return None


def answer(error: BaseException) -> str | None:
    """What a store answered when an error came of it: its own code, or the status."""
    return next((code for one in _chain(error) if (code := _code(one))), None)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _code(error: BaseException) -> str | None:
    response = getattr(error, "response", None)
    if isinstance(response, Mapping) and "Error" in response:
        status = str(response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
        return _known(str(response["Error"].get("Code") or status), status)
    if hasattr(error, "error_code"):
        status = str(getattr(error, "status_code", None) or "")
        told = error.error_code
        if not told and status == "404":
            return _NAMELESS
        return _known(str(getattr(told, "value", told) or status), status) or None
    if type(error).__name__ in _CLIENT_ERRORS:
        return None  # of who gives the credentials, not of the store
    if type(error).__module__.startswith("aiohttp."):
        return None  # whose codes are its own words for a broken answer
    for name in ("status_code", "code"):
        number = getattr(error, name, None)
        if isinstance(number, int) and 400 <= number < 600:
            return str(number)
    return None


def _known(code: str, status: str) -> str:
    """A store's own code; where it is not known here, rather the status that says "later"."""
    known = code in _ANSWERS or code in TRANSIENT_CODES or code in _NOT_THERE
    return code if known or not status.startswith("5") else status


def abandoned_uploads(fs: Any, root: str) -> Iterator[tuple[str, str, Any]]:
    """Uploads in parts to S3 that were never finished: (path, its identifier, when it began)."""
    if fs.protocol not in (_S3, "s3"):
        return
    bucket, _, prefix = root.partition("/")
    prefix = f"{prefix}/" if prefix else ""
    marks: dict[str, str] = {}
    while True:
        page = fs.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=prefix, **marks)
        for one in page.get("Uploads", []):
            yield f"{bucket}/{one['Key']}", one["UploadId"], one["Initiated"]
        if not page.get("IsTruncated"):
            return
        marks = {
            "KeyMarker": page["NextKeyMarker"],
            "UploadIdMarker": page["NextUploadIdMarker"],
        }


def abort_upload(fs: Any, path: str, identifier: str) -> None:
    """Have S3 forget the parts of an upload."""
    bucket, _, key = path.partition("/")
    fs.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=identifier)
