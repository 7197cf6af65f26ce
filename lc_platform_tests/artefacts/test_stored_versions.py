"""The versions of stored configurations: an upgrade makes nothing again that need not be."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from odc.geo.geobox import GeoBox

from lc_platform import assets
from lc_platform.area.grid import Patch, PatchGrid
from lc_platform.artefacts.layout import ASSETS, Partition, dimensions
from lc_platform.config import parse
from lc_platform.cube import Summary
from lc_platform.platform import Platform

CONFIGURATIONS = Path(__file__).parents[1] / "configurations" / "versions"
STORED = Path(__file__).with_suffix(".json")
NAMES = sorted(path.stem for path in CONFIGURATIONS.glob("*.yaml"))
PATCH = Patch(
    "p", GeoBox.from_bbox((500_000, 5_170_000, 501_000, 5_171_000), "EPSG:32633", resolution=10),
    "33N", 0, 0,
)  # fmt: skip


def versions(name: str) -> dict[str, Any]:
    """What the artefacts of a configuration should be, in a store that has none but a grid."""
    data = yaml.safe_load((CONFIGURATIONS / f"{name}.yaml").read_text("utf-8"))
    config = parse(data, CONFIGURATIONS)
    of = Platform(config, [asset.recipe for asset in assets.ALL]).versions
    of.grid = lambda: PatchGrid([PATCH], {PATCH.key: True}, Summary())
    look = of.look()
    found: dict[str, Any] = {"fingerprint": of.fingerprint}
    for asset in ASSETS:
        patch = PATCH.key if "patch" in dimensions(asset) else None
        year = config.years[0] if "year" in dimensions(asset) else None
        version, content = look.expected(asset, Partition(patch, year))
        told = {part: content[part] for part in ("code", "settings", "appearance", "inputs")}
        found[asset] = {"made": version.made, "look": version.look, **told}
    return found


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_example_keeps_its_versions(name: str) -> None:
    """Where artefacts are to be made again, as when the ``code_version`` of an asset changes:
    ``python -m lc_platform_tests.artefacts.test_stored_versions`` writes the versions down."""
    stored = json.loads(STORED.read_text(encoding="utf-8"))[name]
    assert json.loads(json.dumps(versions(name))) == stored


def test_versions_do_not_hang_on_the_folder_or_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = json.loads(STORED.read_text(encoding="utf-8"))["clipped"]
    moved = shutil.copytree(CONFIGURATIONS, tmp_path / "elsewhere")
    monkeypatch.setattr(f"{__name__}.CONFIGURATIONS", moved)
    assert json.loads(json.dumps(versions("clipped"))) == stored


if __name__ == "__main__":
    written = json.dumps({name: versions(name) for name in NAMES}, indent=2, sort_keys=True)
    STORED.write_text(written + "\n", encoding="utf-8")
