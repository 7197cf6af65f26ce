"""What a run makes, and what is stale then."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lc_platform import assets
from lc_platform.artefacts.layout import ASSETS, Partition
from lc_platform.artefacts.versions import Snapshot
from lc_platform.commands import run as running
from lc_platform.config import Config
from lc_platform.platform import Platform
from lc_platform_tests.graphs import YEAR

RECIPES = [asset.recipe for asset in assets.ALL]


def look(config: Config) -> Snapshot:
    return Platform(config, RECIPES).versions.look()


def stale(seen: Snapshot) -> dict[str, list[Partition]]:
    found = {
        asset: [w for w, state in seen.states(asset, YEAR).items() if state.kind != "current"]
        for asset in ASSETS
    }
    return {asset: places for asset, places in found.items() if places}


def run(config: Config, **asked: Any) -> running.Report:
    def unseen(stage: str, total: int, outcomes: Any) -> Iterator[Any]:  # noqa: ARG001
        yield from outcomes

    return running.run(config, unseen, **asked)
