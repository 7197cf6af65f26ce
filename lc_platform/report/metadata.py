"""What an artefact says of itself on its partition's page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import dagster as dg
import numpy as np

from lc_platform.products.model import LandCoverModel
from lc_platform.products.training_samples import Samples
from lc_platform.report.pictures import inline, picture_of


def describer(
    colors: Mapping[int, str],
    names: Mapping[int, str] = MappingProxyType({}),
    account: Callable[[], Mapping[str, Any]] = dict,
) -> Callable[[Any, int, float], Mapping[str, Any]]:
    """What describes artefacts: (value, bytes, seconds) -> metadata.

    colors   of the classes, by id
    names    of the classes, by id: what is counted by class is told by these
    account  what is spent in the archive and what is left, told of what has had requests to it

    The metadata are the artefact's facts, its picture, ``bytes`` and ``seconds``.
    """

    def describe(value: Any, size: int, seconds: float) -> Mapping[str, Any]:
        metadata: dict[str, Any] = {"bytes": size, "seconds": round(seconds, 3)}
        facts = {**_shape(value), **_facts(value)}
        if facts.get("requests"):
            facts |= account()
        metadata |= {name: _shown(v, names) for name, v in facts.items() if v is not None}
        picture = picture_of(value, colors)
        if picture is not None:
            metadata["preview"] = dg.MetadataValue.md(inline(picture))
        return metadata

    return describe


def _shape(value: Any) -> dict[str, Any]:
    if not hasattr(value, "geobox"):
        return {}
    rows, columns = value.geobox.shape
    return {"rows": rows, "columns": columns}


def _facts(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Samples):
        ids, counts = np.unique(value.classes, return_counts=True)
        found = dict(zip(ids.tolist(), counts.tolist(), strict=True))
        return {"rows": len(value), "features": len(value.names), "class_samples": found}
    if isinstance(value, LandCoverModel):
        card = value.card
        return {
            "model_version": value.version,
            "classes": len(card["classes"]),
            "features": len(card["features"]),
            "training_patches": len(card["training_patches"]),
            "test_patches": len(card["test_patches"]),
            "samples": card["samples"],
        }
    summary = getattr(value, "summary", None)
    if summary is None:
        return {}
    warnings = getattr(summary, "warnings", None)
    return {**summary.facts, "warnings": warnings} if warnings else summary.facts


def _shown(value: Any, names: Mapping[int, str]) -> Any:
    if isinstance(value, Mapping):
        return dg.MetadataValue.json({str(names.get(k, k)): v for k, v in value.items()})
    if isinstance(value, float | np.floating):
        return round(float(value), 4)
    if isinstance(value, np.integer):
        return int(value)
    return value
