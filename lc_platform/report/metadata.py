"""The description of an artefact on its partition's page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import dagster as dg
import numpy as np

from lc_platform.artefacts.layout import Partition
from lc_platform.errors import some
from lc_platform.products.area_statistics import AreaStatistics
from lc_platform.products.change import Change, ChangeStatistics
from lc_platform.products.model import LandCoverModel
from lc_platform.products.training_samples import Samples
from lc_platform.report.area_table import area_table
from lc_platform.report.change_table import change_table
from lc_platform.report.facts import FACTS, SHARE
from lc_platform.report.map_links import MapLinks
from lc_platform.report.pictures import enlarged, inline, picture_of

_NAMED = 20
_SHARES = {name for name, fact in FACTS.items() if fact.unit == SHARE}
"""Facts between 0 and 1 that the UI shows in percent."""


class Describer:
    """Describes artefacts for the pages of their partitions.

    account  gives what is spent in the archive and what is left, which is shown of an artefact
             that has had requests to it
    links    to the web map; None where there is none
    """

    def __init__(
        self, account: Callable[[], Mapping[str, Any]] = dict, links: MapLinks | None = None
    ) -> None:
        self._account = account
        self._links = links

    def description(self, value: Any) -> dict[str, Any]:
        """Return an artefact's facts and its picture, as its record keeps them: of what JSON can
        hold."""
        facts = {**_shape(value), **_facts(value)}
        known = {name: _plain(v) for name, v in facts.items() if v is not None}
        found: dict[str, Any] = {"facts": known}
        picture = picture_of(value)
        if picture is not None:
            found["preview"] = inline(picture)
        if isinstance(value, AreaStatistics):
            found["areas"] = area_table(value)
        change = value.statistics if isinstance(value, Change) else value
        if isinstance(change, ChangeStatistics):
            found["transitions"] = change_table(change)
        return found

    def shown(
        self, description: Mapping[str, Any], size: int | None = None, seconds: float | None = None
    ) -> dict[str, Any]:
        """Return a description as the UI shows it, with the bytes and the seconds that it took."""
        facts = description.get("facts", {})
        metadata = dict(_shown(name, value) for name, value in facts.items())
        if preview := description.get("preview"):
            metadata["preview"] = dg.MetadataValue.md(enlarged(preview))
        for table in ("areas", "transitions"):
            if text := description.get(table):
                metadata[table] = dg.MetadataValue.md(text)
        if size is not None:
            metadata["bytes"] = size
        if seconds is not None:
            metadata["seconds"] = round(seconds, 3)
        return metadata

    def located(self, asset: str, where: Partition) -> Mapping[str, Any]:
        """Return the link to the web map at an artefact's place and layer, as the UI shows it."""
        address = None if self._links is None else self._links.of(asset, where)
        return {"map": dg.MetadataValue.url(address)} if address else {}

    def spent(self, description: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what is spent in the archive until now, if the artefact made requests to it."""
        return self._account() if description.get("facts", {}).get("requests") else {}


def _shape(value: Any) -> dict[str, Any]:
    """Of what is computed, and of a handle of what is stored."""
    grid = getattr(value, "geobox", None) or getattr(value, "grids", {}).get("")
    if grid is None:
        return {}
    rows, columns = grid.shape
    return {"rows": rows, "columns": columns}


def _facts(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Samples):
        ids, counts = np.unique(value.classes, return_counts=True)
        names = {class_id: name for class_id, (name, _) in value.legend.items()}
        found = {
            names.get(class_id, str(class_id)): count
            for class_id, count in zip(ids.tolist(), counts.tolist(), strict=True)
        }
        brought = {} if value.points is None else {"points": int(value.points.sum())}
        about = {"rows": len(value), "features": len(value.names), **brought}
        return {**about, "class_samples": found}
    if isinstance(value, LandCoverModel):
        card = value.card
        return {
            "model_version": value.version,
            "classes": len(card["classes"]),
            "features": len(card["features"]),
            "training_patches": len(card["training_patches"]),
            "test_patches": len(card["test_patches"]),
            "folds": len(value.fold_texts) or None,
            "rounds": card.get("early_stopping", {}).get("rounds"),
            "expected_calibration_error": card.get("calibration", {}).get(
                "expected_calibration_error_after"
            ),
            "missing_patches": _some(card.get("missing_patches", ())),
            "trained_elsewhere": card.get("trained_elsewhere", {}).get("path"),
            "samples": card["samples"],
            "regions": {one["name"]: one["samples"] for one in card.get("regions", ())} or None,
        }
    summary = getattr(value, "summary", None)
    if summary is None:
        return {}
    warnings = getattr(summary, "warnings", None)
    return {**summary.facts, "warnings": warnings} if warnings else summary.facts


def _some(patches: Sequence[str]) -> str | None:
    """Return patches in words, the first of many."""
    return some(patches, _NAMED) or None


def _plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


def _shown(name: str, value: Any) -> tuple[str, Any]:
    """A fact's name and value as people read them: a share is a percentage."""
    if isinstance(value, float) and name in _SHARES:
        return f"{name.removesuffix('_fraction')}_percent", round(100 * value, 2)
    if isinstance(value, Mapping):
        return name, dg.MetadataValue.json(dict(value))
    if isinstance(value, list):
        return name, dg.MetadataValue.json(value)
    return name, round(value, 4) if isinstance(value, float) else value
