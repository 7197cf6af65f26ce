"""The areas on the page of a year's area statistics: a table, and a small picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.products.area_statistics import AreaStatistics


def area_table(of: AreaStatistics) -> str:
    """Return the areas of the whole map as a table in Markdown."""
    lines = [
        "| class | mapped (ha) | estimated (ha) | 95 % interval (ha) | user's accuracy | "
        "producer's accuracy |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for one in of.content["total"]["classes"]:
        area = one.get("hectares")
        estimated = f"{area['value']:,.1f}" if area else ""
        interval = f"{area['low']:,.1f} to {area['high']:,.1f}" if area else ""
        lines.append(
            f"| {one['name']} | {one['mapped_hectares']:,.1f} | {estimated} | {interval} | "
            f"{_share(one.get('users_accuracy'))} | {_share(one.get('producers_accuracy'))} |"
        )
    return "\n".join(lines)


_WIDTH = 64
_MAPPED, _INTERVAL = (150, 170, 200), (20, 40, 90)


def area_bars(of: AreaStatistics) -> NDArray[np.uint8]:
    """Return a bar a class, (y, x, 3): as long as its area on the map, over the interval of the
    estimate where there is one."""
    classes = of.content["total"]["classes"]
    ends = [(one["mapped_hectares"], one.get("hectares")) for one in classes]
    longest = max([mapped if area is None else max(mapped, area["high"]) for mapped, area in ends])
    scale = (_WIDTH - 1) / max(longest, 1e-9)
    picture = np.full((4 * len(classes) + 1, _WIDTH, 3), 255, np.uint8)
    for position, (mapped, area) in enumerate(ends):
        top = 4 * position + 1
        picture[top : top + 3, : round(mapped * scale)] = _MAPPED
        if area is not None:
            low, high = (round(area[bound] * scale) for bound in ("low", "high"))
            picture[top + 1, low : high + 1] = _INTERVAL
    return picture


def _share(estimate: dict[str, Any] | None) -> str:
    if not estimate:
        return ""
    return f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"
