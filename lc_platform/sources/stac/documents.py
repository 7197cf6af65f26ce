"""The JSON documents of STAC catalogs and APIs, asked for within limits."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import requests
from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from requests.adapters import HTTPAdapter

from lc_platform.sources.network.limits import Limits, Refused
from lc_platform.sources.network.requests import (
    MARKUP,
    is_passing,
    not_answered,
    receive,
    seconds_to_wait,
)
from lc_platform.sources.protocol import SourceError


class Documents(StacApiIO):
    """Reads documents, of files and over HTTP; used by several threads at the same time.

    Raises, besides what pystac-client does, TransientSourceError where a server did not answer
    after all retries, and SourceError where a web page answers.
    """

    def __init__(self, limits: Limits, seconds: float) -> None:
        super().__init__(timeout=seconds, max_retries=None)  # `Limits` does
        self._limits = limits
        adapter = HTTPAdapter(pool_maxsize=limits.connections)
        self.session.mount("http://", adapter)
        self.session.mount("https://", adapter)
        self._seconds = seconds
        self.session.hooks["response"] += [self._receive, _heed]

    def request(
        self,
        href: str,
        method: str | None = None,
        headers: dict[str, str] | None = None,
        parameters: dict[str, Any] | None = None,
    ) -> str:
        where = f"imagery.catalog: {href.partition('?')[0]}"
        text: str = self._limits.send(
            where, lambda: self._once(href, method=method, headers=headers, parameters=parameters)
        )
        if MARKUP.match(text[:200].encode()):
            raise SourceError(
                f"{where} answered with a web page and not with JSON: it is no STAC catalog, or a "
                "proxy or a login page answers instead. Check the URL, HTTP_PROXY, HTTPS_PROXY "
                "and NO_PROXY."
            )
        return text

    def _once(self, href: str, **asked: Any) -> str:
        try:
            answer: str = super().request(href, **asked)
            return answer
        except APIError as error:
            # It keeps of what went wrong the words alone.
            if isinstance(error.__context__, Refused):
                raise error.__context__ from None
            if getattr(error, "status_code", None) is None:
                failure = not_answered(error.__context__ or error)
                if not failure.transient:
                    failure = SourceError(f"imagery.catalog: {href.partition('?')[0]} {failure}")
                raise failure from error
            raise

    def _receive(self, answer: requests.Response, **_: Any) -> None:
        """Within a time of its own, however slowly it comes."""
        until = time.monotonic() + self._seconds
        receive(answer, until)


def _heed(answer: requests.Response, **_: Any) -> None:
    headers: Mapping[str, str] = answer.headers
    if is_passing(answer.status_code):
        raise Refused(
            answer.status_code,
            f"did not answer (HTTP status {answer.status_code}: {answer.text[:200]}).",
            seconds_to_wait(headers),
        )
