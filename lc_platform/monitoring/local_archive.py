"""Changes in an archive of files on this machine since it was acquired.

Reading a folder costs nothing, so they are known without a run.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lc_platform.artefacts.layout import Partition
from lc_platform.artefacts.versions import Snapshot, digest
from lc_platform.errors import PlatformError
from lc_platform.platform import Platform

if TYPE_CHECKING:
    from lc_platform.area.grid import Patch

CHANGED = "the catalog's files, or what it tells of them, have changed"


def changed(platform: Platform, snapshot: Snapshot, year: int) -> dict[Partition, str]:
    """Return the raw bands of which the archive has something else now, with the reason; none where
    the archive is not a STAC catalog in a folder, or cannot be read.

    The catalog is read only where a file below its folder is newer than raw bands are.
    """
    config = platform.config
    if config.imagery.source != "stac" or config.imagery.catalog is None:
        return {}
    try:
        catalog = config.located(config.imagery.catalog, "imagery.catalog")
        if "://" in catalog or not Path(catalog).is_file():
            return {}
        recorded = snapshot.recorded("raw_bands", year)
        contents = snapshot.records.read("raw_bands", recorded) if recorded else {}
        own = {Path(config.storage_url), config.folder / "dagster"}
        latest = _latest(Path(catalog).parent, own) if contents else 0.0
        outdated = [
            where
            for where, content in contents.items()
            if _seconds(content.get("made_at")) < latest
        ]
        if not outdated:
            return {}
        patches = {patch.key: patch for patch in platform.grid().patches}
        return {
            where: CHANGED
            for where in outdated
            if where.patch in patches
            and _named(platform, patches[where.patch], year) != recorded[where].given
        }
    except PlatformError:
        return {}  # the next run says what is wrong with it


def _named(platform: Platform, patch: Patch, year: int) -> str:
    """Return a digest of what the archive has of a patch now; empty where it has nothing."""
    from lc_platform.acquisition.search import NoAcquisitionError

    try:
        return digest(platform.search(patch, year).identity)
    except NoAcquisitionError:
        return ""


def _seconds(made_at: object) -> float:
    """Return the beginning of that second, in seconds since 1970; 0 where it is not known."""
    try:
        return datetime.fromisoformat(str(made_at)).timestamp()
    except ValueError:
        return 0.0


def _latest(folder: Path, without: Collection[Path]) -> float:
    """Return when the latest file below a folder was written; some folders are left out."""
    latest = 0.0
    for where, folders, names in os.walk(folder):
        folders[:] = [one for one in folders if Path(where) / one not in without]
        for name in names:
            try:
                latest = max(latest, os.stat(os.path.join(where, name)).st_mtime)  # noqa: PTH116, PTH118
            except OSError:
                continue  # the file was removed meanwhile
    return latest
