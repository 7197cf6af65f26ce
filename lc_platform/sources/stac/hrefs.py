"""The targets of references in STAC documents.

pystac takes a path for a URL, and loses what follows ``#`` and ``?`` in it. A folder may be called
"site #2", so what a document of this machine refers to is found here.
"""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pystac.utils import make_absolute_href

from lc_platform.config.input_files import is_elsewhere

_FILE = "file://"


def located(href: str, document: str | None = None) -> str:
    """Return the URL, or the absolute path, that a reference in a document leads to.

    document  URL or path; None where the reference stands in none and is from the working folder

    A path is taken as it is written where there is such a file, and failing that without the
    escapes of URLs (``%20``).
    """
    if href.startswith(_FILE):
        return _existing(Path("/"), "/" + href.removeprefix(_FILE).partition("/")[2])
    if is_elsewhere(href):
        return href
    if document is not None and document.startswith(_FILE):
        document = located(document)
    if document is not None and is_elsewhere(document):
        return str(make_absolute_href(href, document))
    return _existing(Path.cwd() if document is None else Path(document).parent, href)


def relative(href: str | None, document: str) -> str:
    """Return the reference by which a document, at a URL or path, leads to another: one of the same
    server, or of this machine. Empty where it is elsewhere, or has a query, which may be a
    signature."""
    if href is None or is_elsewhere(href) != is_elsewhere(document):
        return ""
    if not is_elsewhere(document):
        return Path(os.path.relpath(href, Path(document).parent)).as_posix()
    to, of = urlsplit(href), urlsplit(document)
    if to.query or (to.scheme, to.netloc) != (of.scheme, of.netloc):
        return ""
    return posixpath.relpath(to.path, posixpath.dirname(of.path) or "/")


def resolve(document: dict[str, Any], href: str) -> None:
    """Have the references to catalogs, items and files in a STAC document, which lies at a URL or
    path, lead where they do from anywhere; in place."""
    links, assets = document.get("links"), document.get("assets")
    referring = [link for link in links or () if isinstance(link, dict)]
    referring = [link for link in referring if link.get("rel") in ("item", "child")]
    if isinstance(assets, dict):
        referring += [asset for asset in assets.values() if isinstance(asset, dict)]
    for one in referring:
        if isinstance(one.get("href"), str):
            one["href"] = located(one["href"], href)


def _existing(folder: Path, path: str) -> str:
    found = os.path.normpath(folder / path)
    if "%" in path and not Path(found).exists():
        plain = os.path.normpath(folder / unquote(path))
        if Path(plain).exists():
            return plain
    return found
