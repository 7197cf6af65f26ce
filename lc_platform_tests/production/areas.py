"""The small simulated areas that deployments are tried on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

from lc_platform import config as configuration
from lc_platform.artefacts.layout import ASSETS, dimensions
from lc_platform.commands import run
from lc_platform_tests.graphs import configured, silent
from lc_platform_tests.production import artefacts
from lc_platform_tests.production.artefacts import Digests


class Area(NamedTuple):
    """Patches of 32 x 32 pixels."""

    columns: int
    rows: int
    years: tuple[int, ...]
    chunk: int
    """Patches that a run takes together."""

    @property
    def artefacts(self) -> int:
        """How many there are when all is made."""
        patches, years = self.columns * self.rows, len(self.years)
        sizes = {
            frozenset[str](): 1,
            frozenset({"patch"}): patches,
            frozenset({"year"}): years,
            frozenset({"patch", "year"}): patches * years,
        }
        return sum(sizes[dimensions(asset)] for asset in ASSETS)

    def settings(self, **sections: Any) -> dict[str, Any]:
        """What its configuration file holds."""
        small = configured(Path(), self.columns, self.rows, processing={"chunk": self.chunk})
        settings = small.model_dump(mode="json", exclude_unset=True)
        return {**settings, "years": list(self.years), **sections}


def made_by_one_process(area: Area, folder: Path) -> Digests:
    """The content of every artefact, made in a folder without a server."""
    config = configuration.parse(area.settings(), folder)
    before = os.environ.get(run.HOME_VARIABLE)
    os.environ[run.HOME_VARIABLE] = str(folder / "home")
    try:
        report = run.run(config, silent)
    finally:
        os.environ.pop(run.HOME_VARIABLE)
        if before is not None:
            os.environ[run.HOME_VARIABLE] = before
    assert report.succeeded, report.failures
    return artefacts.digests(config)
