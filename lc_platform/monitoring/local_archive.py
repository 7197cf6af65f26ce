"""What has changed in an archive of files on this machine since it was acquired.

To look into a folder asks no archive: so it is known without a run.
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


def changed(platform: Platform, look: Snapshot, year: int) -> dict[Partition, str]:
    """Of which patches' raw bands the archive has something else now, with the reason: none of an
    archive that is not a STAC catalog in a folder, or that cannot be read.

    The catalog is read only where a file below its folder is newer than raw bands are.
    """
    config = platform.config
    if config.imagery.source != "stac" or config.imagery.catalog is None:
        return {}
    try:
        catalog = config.located(config.imagery.catalog, "imagery.catalog")
        if "://" in catalog or not Path(catalog).is_file():
            return {}
        recorded = look.recorded("raw_bands", year)
        told = look.records.read("raw_bands", recorded) if recorded else {}
        own = {Path(config.storage_url), config.folder / "dagster"}
        latest = _latest(Path(catalog).parent, own) if told else 0.0
        older = [where for where, content in told.items() if _made(content.get("made_at")) < latest]
        if not older:
            return {}
        patches = {patch.key: patch for patch in platform.grid().patches}
        return {
            where: CHANGED
            for where in older
            if where.patch in patches
            and _named(platform, patches[where.patch], year) != recorded[where].given
        }
    except PlatformError:
        return {}  # the next run says what is wrong with it


def _named(platform: Platform, patch: Patch, year: int) -> str:
    """What the archive has of a patch now; empty where that is nothing."""
    from lc_platform.acquisition.acquire import NoAcquisitionError

    try:
        return digest(platform.search(patch, year).named)
    except NoAcquisitionError:
        return ""


def _made(told: object) -> float:
    """When, in seconds since 1970: the beginning of that second."""
    try:
        return datetime.fromisoformat(str(told)).timestamp()
    except ValueError:
        return 0.0


def _latest(folder: Path, without: Collection[Path]) -> float:
    """When the latest of all files below a folder was written, without those of some folders."""
    latest = 0.0
    for where, folders, names in os.walk(folder):
        folders[:] = [one for one in folders if Path(where) / one not in without]
        for name in names:
            try:
                latest = max(latest, os.stat(os.path.join(where, name)).st_mtime)  # noqa: PTH116, PTH118
            except OSError:
                continue  # it is gone meanwhile
    return latest
