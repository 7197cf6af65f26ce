"""What the web map shows, and to whom."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from lc_platform.config import BaseMap
from lc_platform.reading.reader import Reader


@dataclass(frozen=True)
class View:
    """What the web map shows, and to whom; the same for every request."""

    reader: Reader
    dagster: str | None = None
    """The address of Dagster's UI, without a slash at its end; None where there is none."""
    base_map: BaseMap | None = None
    """Tiles of another server that lie below the layers."""
    user_header: str | None = None
    """The header in which a proxy says who is logged in. None where nobody logs in: then there is
    one person, who has started the map."""
    hosts: frozenset[str] = frozenset()
    """Names beside this machine's own, in lower case, that lead here by the deployment's choice."""

    def user(self, request: Request) -> str | None:
        """Return who asks, None where nobody is logged in."""
        if self.user_header is None:
            return getpass.getuser()
        return request.headers.get(self.user_header) or None


def _of(request: Request) -> View:
    view: View = request.app.state.view
    return view


CurrentView = Annotated[View, Depends(_of)]
"""A parameter of an endpoint: the view."""
