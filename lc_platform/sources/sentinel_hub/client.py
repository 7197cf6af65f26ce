"""Requests to Sentinel Hub, one attempt at a time: who asks, what it costs, what an answer means.

sentinelhub builds the requests, fetches the tokens, turns the catalog's pages and decodes. Its
client also retries: without end after status 429, after fixed times otherwise, and it keeps the
answer to itself. So `Client` sends each request once, and `Limits` says when, and when again.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from email.utils import parsedate_to_datetime
from pathlib import Path
from threading import Lock, Thread
from typing import Any, TypeVar

import requests
import tomli
from oauthlib.oauth2 import OAuth2Error
from oauthlib.oauth2.rfc6749.errors import InsecureTransportError, MissingTokenError
from requests.adapters import HTTPAdapter
from requests.auth import AuthBase
from sentinelhub.config import SHConfig
from sentinelhub.constants import SHConstants
from sentinelhub.download.models import DownloadRequest, DownloadResponse
from sentinelhub.download.sentinelhub_client import SentinelHubDownloadClient
from sentinelhub.download.session import SentinelHubSession
from sentinelhub.exceptions import DownloadFailedException

from lc_platform.runtime import redaction
from lc_platform.sources.network.limits import Limits, Refused
from lc_platform.sources.network.requests import SLOWEST, is_untrusted, receive
from lc_platform.sources.protocol import (
    Cost,
    Ledger,
    QuotaError,
    SourceError,
    TransientSourceError,
)

UNITS_SPENT = "x-processingunits-spent"
CDSE_URL = "https://sh.dataspace.copernicus.eu"
CDSE_TOKEN_URL = (
    "https://identity.dataspace.copernicus.eu/auth/realms/CDSE/protocol/openid-connect/token"
)

_SPENT_SECONDS = 600.0
"""For how long a quota that was spent is taken to be spent, without asking again."""
_RENEWED_SECONDS = SentinelHubSession.DEFAULT_SECONDS_BEFORE_EXPIRY
_CLOCK_SECONDS = 60.0
_LOST = 10
"""Time-outs, after which a token that did not come is asked for anew."""
_FROM_HERE_ON_SERVERS = 500
_NO_PERMISSION = "INSUFFICIENT_PERMISSIONS"
# At level DEBUG these two log the secret and the tokens.
_TALKATIVE = ("requests_oauthlib", "oauthlib")

_T = TypeVar("_T")


def account(deployment: str, profile: str | None, service_url: str | None) -> SHConfig:
    """sentinelhub's configuration with an account, and the URLs of the deployment.

    deployment   ``sentinel_hub`` or ``cdse``
    profile      of sentinelhub's configuration file, None for its usual one
    service_url  where Sentinel Hub keeps the collection; URLs of the profile go before it

    Raises SourceError where there is no account, or the file cannot be used.
    """
    path = Path(SHConfig.get_config_location())
    try:
        if profile is None and not path.exists():
            config = _of_environment()  # sentinelhub would write the file
        else:
            config = SHConfig(profile=profile)
    except KeyError as error:
        raise SourceError(
            f"imagery.profile: {path} has no profile {profile or os.environ.get('SH_PROFILE')}. "
            "Name one that it has, or make it with `sentinelhub.config --profile NAME`"
        ) from error
    except (OSError, TypeError, ValueError, tomli.TOMLDecodeError) as error:
        raise SourceError(
            f"imagery.profile: {path} cannot be used ({type(error).__name__}: {error})"
        ) from error
    if not (config.sh_client_id and config.sh_client_secret):
        raise SourceError(
            "imagery.source: sentinel_hub needs an account, and there is none. Set the environment "
            "variables SH_CLIENT_ID and SH_CLIENT_SECRET, or name in imagery.profile a profile of "
            f"{path} that has sh_client_id and sh_client_secret"
        )
    redaction.keep(config.sh_client_id, "${SH_CLIENT_ID}")
    redaction.keep(config.sh_client_secret, "${SH_CLIENT_SECRET}")
    usual = SHConfig(use_defaults=True)
    if config.sh_base_url == usual.sh_base_url:
        if deployment == "cdse":
            config.sh_base_url = CDSE_URL
        elif service_url is not None:
            config.sh_base_url = service_url
    if config.sh_token_url == usual.sh_token_url and deployment == "cdse":
        config.sh_token_url = CDSE_TOKEN_URL
    config.max_download_attempts = 1
    return config


def _of_environment() -> SHConfig:
    named = {"sh_client_id": "SH_CLIENT_ID", "sh_client_secret": "SH_CLIENT_SECRET"}
    return SHConfig(use_defaults=True, **{k: os.environ.get(v, "") for k, v in named.items()})


class Service:
    """A deployment of Sentinel Hub as one account sees it; used by several threads at a time."""

    def __init__(self, config: SHConfig, limits: Limits, ledger: Ledger | None) -> None:
        self.config = config
        self.limits = limits
        self.ledger = ledger
        # Connections are kept: sentinelhub makes a new one, with its handshakes, each time.
        self.http = requests.Session()
        for scheme in ("https://", "http://"):
            self.http.mount(scheme, HTTPAdapter(pool_maxsize=limits.connections))
        self._token, self._renewed_from = "", 0.0
        self._fetching: tuple[float, Future[dict[str, Any]]] | None = None
        self._failed: tuple[float, Exception] | None = None
        self._lock = Lock()
        self._spent: tuple[float, str] | None = None
        for name in _TALKATIVE:
            logger = logging.getLogger(name)
            logger.setLevel(max(logger.level, logging.INFO))

    def token(self) -> str:
        """Return an access token that has not expired. Raises SourceError where the account is
        refused, TransientSourceError where the service of the tokens did not answer."""
        came = time.monotonic()
        with self._lock:
            if time.time() >= self._renewed_from:
                if self._failed is not None and came < self._failed[0]:
                    error = self._failed[1]  # that others waited for meanwhile
                    raise self._refused_account(error) from error
                try:
                    token = self._fetched()
                except (OAuth2Error, DownloadFailedException, requests.RequestException) as error:
                    redaction.conceal(error)
                    self._failed = (time.monotonic(), error)
                    raise self._refused_account(error) from error
                self._token = str(token["access_token"])
                self._renewed_from = float(token.get("expires_at", 0.0)) - _RENEWED_SECONDS
            return self._token

    def _fetched(self) -> dict[str, Any]:
        """Return a new token. sentinelhub waits for it without end: here it is left to itself after
        a time, and who asks again waits for the same answer, unless it seems to be lost."""
        seconds = self.config.download_timeout_seconds
        if self._fetching is None or time.monotonic() - self._fetching[0] > _LOST * seconds:
            self._fetching = (time.monotonic(), _in_thread(self._fetch))
        fetching = self._fetching[1]
        wait([fetching], timeout=seconds)
        if not fetching.done():
            raise requests.ReadTimeout
        self._fetching = None
        return fetching.result()

    def _fetch(self) -> dict[str, Any]:
        return _Session(self.config, refresh_before_expiry=None).token

    def renew(self, refused: str) -> None:
        """Have the next token be another than one that was refused."""
        with self._lock:
            if self._token == refused:
                self._renewed_from = 0.0

    def check_quota(self) -> None:
        """Raises QuotaError where the account's quota was found spent a short time ago."""
        if self._spent is not None and time.monotonic() - self._spent[0] < _SPENT_SECONDS:
            raise QuotaError(self._spent[1])

    def refusal(self, response: requests.Response) -> SourceError:
        """Return what an answer with another status than 2XX means."""
        status, said = response.status_code, _message(response)
        where = f"Sentinel Hub ({self.config.sh_base_url})"
        if status == requests.codes.too_many_requests or status >= _FROM_HERE_ON_SERVERS:
            return Refused(
                status, f"{where} answered with HTTP status {status}{said}.", _retry_after(response)
            )
        if status == requests.codes.request_timeout:
            return TransientSourceError(f"{where} answered with HTTP status {status}{said}.")
        if _is_page(response):
            return _page(response)
        if status == requests.codes.unauthorized:
            return SourceError(
                f"{where} refused the account's token{said}. {_clock(response)}Check that the "
                "credentials are of this deployment (imagery.deployment)"
            )
        if status == requests.codes.forbidden and _NO_PERMISSION not in response.text:
            spent = (
                f"{where} has nothing more for this account{said}. Nothing more is asked for. Wait "
                "until the quota is renewed, or extend it; what was acquired is kept"
            )
            self._spent = (time.monotonic(), spent)
            return QuotaError(spent)
        return SourceError(f"{where} refuses the request with HTTP status {status}{said}")

    def _refused_account(self, error: Exception) -> SourceError:
        where = f"Sentinel Hub's tokens ({self.config.sh_token_url})"
        if isinstance(error, DownloadFailedException) and error.request_exception is not None:
            error = error.request_exception
        if isinstance(error, InsecureTransportError):
            return SourceError(f"{where}: the URL is not https. Correct sh_token_url")
        if isinstance(error, MissingTokenError):
            return SourceError(
                f"{where}: the answer has no token, so that it is probably not Sentinel Hub's. "
                f"{_PROXY}"
            )
        if isinstance(error, requests.RequestException):
            response = error.response
            if response is None:
                return _broken(where, error, self.config.download_timeout_seconds)
            refused = response.status_code not in (
                requests.codes.too_many_requests,
                requests.codes.request_timeout,
            )
            if refused and response.status_code < _FROM_HERE_ON_SERVERS and not _is_page(response):
                return _wrong_credentials(where, _message(response))
            return self.refusal(response)
        detail = getattr(error, "description", None) or getattr(error, "error", None)
        return _wrong_credentials(where, f" ({detail})" if detail else "")


class Client(SentinelHubDownloadClient):
    """sentinelhub's client, whose requests are sent by `Limits`.

    what    is asked for, as an error names it
    price   of one request, by the price list

    ``spent`` tells what all requests together took, those that failed included.
    """

    def __init__(self, service: Service, what: str, price: Cost) -> None:
        super().__init__(config=service.config)
        self._service = service
        self._what = what
        self._price = price
        self.spent = Cost()

    def send(self, request: DownloadRequest, decode: Callable[[DownloadResponse], _T]) -> _T:
        """Return the decoded answer. An answer that cannot be decoded is asked for again.

        Raises SourceError, TransientSourceError after all retries, and QuotaError.
        """
        return self._service.limits.send(self._what, lambda: self._attempt(request, decode))

    def _execute_download(self, request: DownloadRequest) -> DownloadResponse:
        def checked(response: DownloadResponse) -> DownloadResponse:
            response.decode()
            return response

        return self.send(request, checked)

    def _attempt(self, request: DownloadRequest, decode: Callable[[DownloadResponse], _T]) -> _T:
        service, what = self._service, self._what
        token = service.token()
        response = self._post(request, token)
        if response.status_code == requests.codes.unauthorized:
            service.renew(token)
            renewed = service.token()
            if renewed != token:
                response = self._post(request, renewed)
        if not response.ok:
            refusal = service.refusal(response)
            if isinstance(refusal, QuotaError | TransientSourceError):
                raise refusal
            raise SourceError(f"{what}: {refusal}")
        if _is_page(response):
            raise SourceError(f"{what}: {_page(response)}")
        try:
            return decode(DownloadResponse.from_response(response, request))
        except SourceError as error:
            raise SourceError(f"{what}: {error}") from error
        except Exception as error:  # decoders raise whatever damaged bytes bring about
            size = len(response.content)
            raise TransientSourceError(
                f"the answer of Sentinel Hub ({service.config.sh_base_url}), {size} bytes, is "
                f"damaged: it is no {request.data_type.extension.upper()} as asked for "
                f"({type(error).__name__}: {error})."
            ) from error

    def _post(self, request: DownloadRequest, token: str) -> requests.Response:
        service, price = self._service, self._price
        seconds = service.config.download_timeout_seconds
        service.check_quota()
        if service.ledger is not None:
            service.ledger.reserve(price)
        spent, answered = Cost(requests=1), False
        try:
            with service.http.request(
                request.request_type.value,
                request.url or "",
                json=request.post_values,
                headers={**SHConstants.HEADERS, **request.headers},
                auth=_Bearer(token),
                timeout=seconds,
                stream=True,
            ) as response:
                # The headers have the cost; the body may break off.
                spent, answered = Cost(1, _units(response, price)), True
                until = time.monotonic() + seconds + price.bytes / SLOWEST
                receive(response, until)
                spent += Cost(bytes=len(response.content))
            return response
        except requests.RequestException as error:
            if isinstance(error, requests.ReadTimeout) and not answered:
                # It may have been computed, and is paid for then.
                spent = Cost(1, price.processing_units)
            raise _broken(f"Sentinel Hub ({service.config.sh_base_url})", error, seconds) from error
        finally:
            self.spent += spent
            if service.ledger is not None:
                service.ledger.settle(price, spent)


_PROXY = (
    "A proxy or a portal between may answer in its place: check HTTPS_PROXY and the sh_base_url "
    "and sh_token_url of the profile"
)


class _Session(SentinelHubSession):
    """Tells apart who is to wait and who is refused: sentinelhub takes both to be refused."""

    @staticmethod
    def _compliance_hook(response: requests.Response) -> requests.Response:
        if response.status_code in (
            requests.codes.request_timeout,
            requests.codes.too_many_requests,
        ):
            response.raise_for_status()
        return SentinelHubSession._compliance_hook(response)


class _Bearer(AuthBase):
    """Who asks. As a mere header requests would replace it by what ~/.netrc has for the host."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def _in_thread(call: Callable[[], _T]) -> Future[_T]:
    future: Future[_T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    Thread(target=run, daemon=True).start()
    return future


def _units(response: requests.Response, price: Cost) -> float:
    """As the answer tells, or else by the price list, by which a failure costs nothing."""
    try:
        return float(response.headers[UNITS_SPENT])
    except (KeyError, ValueError):
        return price.processing_units if response.ok else 0.0


def _retry_after(response: requests.Response) -> float | None:
    """Return seconds; Sentinel Hub's Retry-After is in milliseconds."""
    header = response.headers.get("Retry-After", "")
    return int(header) / 1000 if header.isdecimal() else None


def _is_page(response: requests.Response) -> bool:
    kind = response.headers.get("Content-Type", "").lower()
    return "text/html" in kind or response.content[:100].lstrip().lower().startswith(
        (b"<!doctype html", b"<html")
    )


def _page(response: requests.Response) -> SourceError:
    return SourceError(
        f"{response.url} answered with a web page (HTTP status {response.status_code}) and not as "
        f"Sentinel Hub. {_PROXY}"
    )


def _message(response: requests.Response) -> str:
    """Return the service's own words, in brackets after a blank; empty where it has none."""
    if _is_page(response):
        return ""
    try:
        message: Any = json.loads(response.content)
    except ValueError:
        message = response.text.strip()
    if isinstance(message, dict):
        inner = message.get("error", message)
        inner = inner if isinstance(inner, dict) else message
        parts = [
            inner.get(key) for key in ("message", "description", "error_description", "detail")
        ]
        parts += [
            f"{one.get('parameter', '')} {one.get('description', '')}".strip()
            for one in inner.get("errors") or ()
            if isinstance(one, dict)
        ]
        message = "; ".join(str(part) for part in parts if part) or json.dumps(inner)
    words = " ".join(str(message).split())[:500]
    return f" ({words})" if words else ""


def _clock(response: requests.Response) -> str:
    """Return a sentence where this machine's clock and the service's differ."""
    try:
        theirs = parsedate_to_datetime(response.headers.get("Date", "")).timestamp()
    except ValueError:
        return ""
    behind = theirs - time.time()
    if abs(behind) < _CLOCK_SECONDS:
        return ""
    return (
        f"This machine's clock is {abs(behind):.0f} s {'behind' if behind > 0 else 'ahead of'} "
        "the service's, so that tokens are not valid yet or no longer: set the clock. "
    )


def _wrong_credentials(where: str, said: str) -> SourceError:
    return SourceError(
        f"{where}: the account is refused{said}. Correct SH_CLIENT_ID and SH_CLIENT_SECRET, or "
        "sh_client_id and sh_client_secret of the profile (imagery.profile), and check that they "
        "are of this deployment (imagery.deployment)"
    )


def _broken(where: str, error: requests.RequestException, timeout: float) -> SourceError:
    if is_untrusted(error):
        return SourceError(f"{where}: its certificate is not trusted. {_PROXY}")
    if isinstance(error, requests.Timeout):
        return TransientSourceError(f"{where} did not answer within {timeout:g} s.")
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return TransientSourceError(f"{where} broke off in the middle of an answer.")
    if isinstance(error, requests.ConnectionError | requests.exceptions.ContentDecodingError):
        return TransientSourceError(f"{where} cannot be reached ({type(error).__name__}).")
    return SourceError(f"{where}: the request cannot be made ({type(error).__name__}: {error})")
