"""What an artefact says of itself on its partition's page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
import numpy as np

from lc_platform.report.pictures import inline


def describe(value: Any, size: int, seconds: float) -> Mapping[str, Any]:
    """Metadata of a written artefact: its summary's facts, its picture, ``bytes``, ``seconds``."""
    metadata: dict[str, Any] = {"bytes": size, "seconds": round(seconds, 3)}
    shape = _shape(value)
    if shape is not None:
        metadata["rows"] = shape[0]
        if len(shape) > 1:
            metadata["columns"] = shape[1]
    summary = getattr(value, "summary", None)
    if summary is not None:
        metadata |= {name: _shown(v) for name, v in summary.facts.items() if v is not None}
        if summary.picture is not None:
            metadata["preview"] = dg.MetadataValue.md(inline(summary.picture))
    return metadata


def _shape(value: Any) -> tuple[int, ...] | None:
    if hasattr(value, "geobox"):
        return tuple(value.geobox.shape)
    return (len(value),) if hasattr(value, "__len__") else None


def _shown(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dg.MetadataValue.json({str(k): v for k, v in value.items()})
    if isinstance(value, float | np.floating):
        return round(float(value), 4)
    if isinstance(value, np.integer):
        return int(value)
    return value

