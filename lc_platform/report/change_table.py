"""The transitions on the page of a year's change: a table."""

from __future__ import annotations

from lc_platform.products.change import ChangeStatistics

_SHOWN = 25
"""Transitions that are shown, the largest first."""


def change_table(of: ChangeStatistics) -> str:
    """Return the changes of a year as a table in Markdown, the largest first, and their sum."""
    content = of.content
    changes = [one for one in content["transitions"] if one["is_change"]]
    changes.sort(key=lambda one: -one["pixels"])
    lines = [
        f"| {content['from_year']} | {content['year']} | mapped (ha) | confirmed | estimated (ha) "
        "| 95 % interval (ha) |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for one in changes[:_SHOWN]:
        lines.append(f"| {one['from_name']} | {one['to_name']} {_areas(one)}")
    if rest := changes[_SHOWN:]:
        pixels = sum(one["pixels"] for one in rest)
        hectares = sum(one["mapped_hectares"] for one in rest)
        confirmed = sum(one["confirmed_pixels"] for one in rest)
        other = {"pixels": pixels, "mapped_hectares": hectares, "confirmed_pixels": confirmed}
        lines.append(f"| {len(rest)} others | {_areas(other)}")
    lines.append(f"| **all changes** | {_areas(content['changed'])}")
    return "\n".join(lines)


def _areas(of: dict[str, object]) -> str:
    pixels, confirmed = int(str(of["pixels"])), int(str(of["confirmed_pixels"]))
    area = of.get("hectares")
    share = f"{100 * confirmed / pixels:.0f} %" if pixels else ""
    mapped = float(str(of["mapped_hectares"]))
    if not isinstance(area, dict):
        return f"| {mapped:,.1f} | {share} | | |"
    return (
        f"| {mapped:,.1f} | {share} | {area['value']:,.1f} | {area['low']:,.1f} to "
        f"{area['high']:,.1f} |"
    )
