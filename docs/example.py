"""The store that the notebooks read: two patches and two years of the simulated archive, made when
the documentation is built and kept until what makes it changes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from lc_platform import config
from lc_platform.commands import run as running

STORE = Path(__file__).parents[1] / "build" / "example"
YEARS = (2022, 2023)
_SETTINGS: dict[str, Any] = {
    "years": list(YEARS),
    "aoi": {"bbox": [15.0406, 46.7295, 15.0473, 46.7312], "crs": "EPSG:32633", "patch_size": 320},
    "clouds": {"resolution": 40},
    "features": {"interval": 32},
    "validation": {"folds": 2},
    "model": {"method": "lightgbm", "num_iterations": 20},
    "sampling": {"pixels_per_patch": 500, "erosion": 0},
    "change": {"enabled": True},
}


def make() -> None:
    """Make what is missing or stale of the store. Raises RuntimeError where that fails."""
    settings = yaml.safe_load(config.template("simulated"))
    for section, change in _SETTINGS.items():
        both = isinstance(change, dict) and section in settings
        settings[section] = {**settings[section], **change} if both else change
    settings["aoi"].pop("buffer", None)
    settings["imagery"]["max_cloud_cover"] = 10
    settings["imagery"]["simulation"] = {
        "changes": {"since": 2022, "felled": 0.4, "built": 0.4, "reference_until": 2023}
    }
    settings["reference"] = {}
    STORE.mkdir(parents=True, exist_ok=True)
    file = STORE / config.FILE_NAME
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")

    def unseen(_: str, __: int, outcomes: Iterable[Any]) -> Iterator[Any]:
        return iter(outcomes)

    report = running.run(config.load(file), unseen)
    if not report.succeeded:
        raise RuntimeError(f"the store of the notebooks: {report.failures}")


if __name__ == "__main__":
    make()
