"""What goes wrong with a request, as its answer."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from lc_platform.errors import PlatformError
from lc_platform.reading.errors import NotFoundError
from lc_platform.storage.errors import MissingArtefactError, UnavailableError

_LOG = logging.getLogger(__name__)


class Problem(BaseModel):
    """Why there is no answer."""

    detail: str
    """What is wrong, and what to do."""


class RequestError(PlatformError):
    """A request that cannot be understood."""


class ConflictError(PlatformError):
    """A request that does not fit what there is meanwhile."""


_STATUS: Mapping[type[PlatformError], int] = {
    NotFoundError: 404,
    MissingArtefactError: 404,
    ConflictError: 409,
    RequestError: 422,
    UnavailableError: 503,
}

RESPONSES: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "It is not there, or not made yet."},
    422: {"model": Problem, "description": "The request cannot be understood."},
    500: {"model": Problem, "description": "What is stored is damaged."},
    503: {"model": Problem, "description": "The store cannot be reached for now."},
}
"""The answers that every endpoint may give in place of its own."""


def answer_problems(app: FastAPI) -> None:
    """Have an app answer errors with sentences, and never with a traceback."""
    app.add_exception_handler(PlatformError, _of_the_platform)
    app.add_exception_handler(RequestValidationError, _of_a_request)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(Exception, _unexpected)


def problem(status: int, detail: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return the answer that something is wrong."""
    return JSONResponse(
        {"detail": detail}, status, {"Cache-Control": "no-store", **(headers or {})}
    )


def _of_the_platform(_: Request, error: Exception) -> JSONResponse:
    status = next((of for kind, of in _STATUS.items() if isinstance(error, kind)), 500)
    if status == 500:
        _LOG.error("%s", error)
    return problem(status, str(error))


def _of_a_request(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    said = [
        f"{'.'.join(str(part) for part in one['loc'][1:]) or one['loc'][0]}: {one['msg']}"
        for one in error.errors()
    ]
    return problem(422, f"{'. '.join(said)}. Correct the request")


def _of_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    detail = str(error.detail)
    if error.status_code == 404 and detail == "Not Found":
        detail = f"{request.url.path}: is no address of the map. Begin at its first page"
    if error.status_code == 405 and detail == "Method Not Allowed":
        detail = f"{request.url.path}: does not take {request.method}"
    return problem(error.status_code, detail, error.headers)


def _unexpected(request: Request, error: Exception) -> JSONResponse:
    _LOG.error("%s: failed", request.url.path, exc_info=error)
    return problem(
        500, f"{request.url.path}: failed ({type(error).__name__}). The map's log says why"
    )
