"""The area of each class, of the whole map and of units: counted in pixels, and estimated from
points that people have judged, with its uncertainty."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from lc_platform.cube import Summary, points_in
from lc_platform.eo import area_estimation
from lc_platform.eo.area_estimation import AreaEstimates, Estimate
from lc_platform.products.land_cover import LandCover
from lc_platform.products.options import AreaStatisticsOptions
from lc_platform.products.reference_sample import ReferenceSample, SampleFile, places_on
from lc_platform.products.units import Units, read_units

_DISTORTED = 0.005
"""Share by which the areas of a CRS may be off without being told."""


@dataclass(frozen=True)
class AreaStatistics:
    """The areas of a year's map."""

    content: Mapping[str, Any]
    """Of the JSON file."""

    @property
    def summary(self) -> Summary:
        """What the page of its partition shows."""
        content, total = self.content, self.content["total"]
        facts: dict[str, Any] = {
            "mapped_hectares": total["mapped_hectares"],
            "mosaic_version": content["mosaic_version"],
            "units": len(content["units"]),
        }
        if content["sample"]:
            facts |= {name: content["sample"][name] for name in ("points", "judged", "not_judged")}
        if accuracy := total.get("overall_accuracy"):
            facts["overall_accuracy"] = accuracy["value"]
            facts["overall_accuracy_standard_error"] = accuracy["standard_error"]
        if content["no_estimate_because"]:
            facts["no_estimate_because"] = content["no_estimate_because"]
        return Summary(facts, {f"{i}": said for i, said in enumerate(content["warnings"], 1)})

    @property
    def rows(self) -> list[dict[str, Any]]:
        """A row a class, of the whole map (where ``unit`` is null) and of each unit."""
        found = []
        for ground in (self.content["total"], *self.content["units"]):
            for one in ground["classes"]:
                row: dict[str, Any] = {
                    "unit": ground["unit"],
                    "class": one["id"],
                    "class_name": one["name"],
                    "pixels": one["pixels"],
                    "mapped_hectares": one["mapped_hectares"],
                }
                for name in ("hectares", "users_accuracy", "producers_accuracy"):
                    told = one.get(name) or {}
                    for part in ("value", "standard_error", "low", "high"):
                        key = name if part == "value" else f"{name}_{part}"
                        row[key] = told.get(part)
                found.append(row)
        return found


@dataclass
class _Count:
    """What one pass over the map finds."""

    geobox: GeoBox
    model_version: str
    total: NDArray[np.int64]
    """(256,), pixels by class."""
    by_unit: NDArray[np.int64]
    """(unit, 256)"""
    mapped: NDArray[np.int64]
    """(point,), classes of the map at the sample's points, 0 where it has no data."""
    units: NDArray[np.int64]
    """(point,), the number of the unit, from 1; 0 where there is none."""


def measure(
    year: int, land_cover: LandCover, options: AreaStatisticsOptions, file: SampleFile | None = None
) -> AreaStatistics:
    """Return the areas of a map, window by window, and their estimates where there is a sample.

    file  the sample that people have judged; None where there is none

    Raises DataError where the sample was not drawn at random, has points that were moved or are
    there twice, or names a class that the map does not have; and where units overlap.
    """
    warnings: list[str] = []
    sample = file.read() if file is not None else None
    references = sample.references(options.classes) if sample is not None else None
    with land_cover.opened() as opened:
        grid = opened.geobox
        units = _units(options, grid)
        rows, columns = places_on(sample, grid)
        count = _Count(
            grid,
            opened.model_version,
            np.zeros(256, np.int64),
            np.zeros((len(units.names) if units else 0, 256), np.int64),
            np.zeros(len(rows), np.int64),
            np.zeros(len(rows), np.int64),
        )
        for window, values in opened.windows():
            _add(count, window, values, units, rows, columns)
    if units is not None:
        warnings += units.warnings
    pixel_area = abs(grid.affine.a * grid.affine.e)
    scales = _areal_scales(grid)
    if max(abs(one - 1) for one in scales) > _DISTORTED:
        warnings.append(
            f"the map's CRS shows areas {scales[0]:.3f} to {scales[1]:.3f} times as large as they "
            "are, and so are those told here. Give mosaic_crs an equal-area CRS, such as EPSG:3035 "
            "in Europe"
        )
    ids = sorted({*options.classes, *np.flatnonzero(count.total[1:]) + 1})
    names = {one: options.classes[one][0] if one in options.classes else str(one) for one in ids}
    total = _ground(None, count.total, names, pixel_area)
    by_unit = [
        _ground(name, pixels, names, pixel_area)
        for name, pixels in zip(units.names if units else (), count.by_unit, strict=True)
    ]
    told = None
    if sample is not None and references is not None:
        warnings += sample.warnings
        told = _sampled(sample, references, count, land_cover.version)
        warnings += told.pop("notes")
        if told["reason"] is not None:
            warnings.append(f"no area is estimated: {told['reason']}")
        else:
            _estimate(sample, references, count, ids, [total, *by_unit])
    content: dict[str, Any] = {
        "year": year,
        "mosaic_version": land_cover.version,
        "model_version": count.model_version,
        "crs": str(grid.crs),
        "pixel_square_metres": pixel_area,
        "areal_scale": scales,
        "estimator": None if told is None else told.pop("estimator"),
        "no_estimate_because": _NO_SAMPLE if told is None else told.pop("reason"),
        "sample": told,
        "total": total,
        "units": by_unit,
        "warnings": warnings,
    }
    return AreaStatistics(content)


_NO_SAMPLE = (
    "there is no reference sample. Pixel counts are wrong by as much as the map is: draw points by "
    "`lc-platform sample`, and judge them"
)


def _units(options: AreaStatisticsOptions, grid: GeoBox) -> Units | None:
    if options.units is None or options.unit_name is None:
        return None
    return read_units(options.units, options.unit_name, str(grid.crs))


def _add(
    count: _Count,
    window: tuple[slice, slice],
    values: NDArray[np.uint8],
    units: Units | None,
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
) -> None:
    count.total += np.bincount(values.ravel(), minlength=256)
    here, at = points_in(window, rows, columns)
    count.mapped[here] = values[at]
    if units is None:
        return
    numbers = units.on(count.geobox, window)
    count.units[here] = numbers[at]
    cells = numbers.astype(np.int64) * 256 + values
    found = np.bincount(cells.ravel(), minlength=(len(units.names) + 1) * 256)
    count.by_unit += found.reshape(-1, 256)[1:]


def _areal_scales(grid: GeoBox) -> list[float]:
    """Return the least and the greatest factor by which areas on the grid are larger than on the
    ground, at its corners, its middle and the middles of its edges."""
    from pyproj import CRS, Proj, Transformer

    crs = CRS(str(grid.crs))
    assert crs.geodetic_crs is not None
    box = grid.boundingbox
    xs = np.repeat([box.left, (box.left + box.right) / 2, box.right], 3)
    ys = np.tile([box.bottom, (box.bottom + box.top) / 2, box.top], 3)
    longitudes, latitudes = Transformer.from_crs(crs, crs.geodetic_crs, always_xy=True).transform(
        xs, ys
    )
    scales = Proj(crs).get_factors(longitudes, latitudes).areal_scale
    return [round(float(np.min(scales)), 6), round(float(np.max(scales)), 6)]


def _ground(
    unit: str | None, pixels: NDArray[np.int64], names: Mapping[int, str], pixel_area: float
) -> dict[str, Any]:
    """Return what is counted on some ground."""
    return {
        "unit": unit,
        "mapped_hectares": int(pixels[1:].sum()) * pixel_area / 1e4,
        "no_data_pixels": int(pixels[0]),
        "classes": [
            {
                "id": int(one),
                "name": name,
                "pixels": int(pixels[one]),
                "mapped_hectares": int(pixels[one]) * pixel_area / 1e4,
            }
            for one, name in names.items()
        ],
    }


def _sampled(
    sample: ReferenceSample, references: NDArray[np.int64], count: _Count, version: str
) -> dict[str, Any]:
    """Return what there is to say of a sample, and why nothing is estimated from it, if so."""
    design, notes = sample.design, []
    strata = sample.points["stratum"].to_numpy(np.int64)
    judged = {one: int(((strata == one) & (references > 0)).sum()) for one in design.pixels}
    drawn = sum(design.points.values())
    seen = int((references > 0).sum())
    if seen < drawn:
        notes.append(f"{drawn - seen} of {drawn} points are not judged")
    few = [one for one, n in judged.items() if n < min(2, design.pixels[one])]
    reason = None
    if not seen:
        reason = (
            f"no point of {sample.path} is judged yet: fill in the column `reference` of its layer "
            "reference_sample"
        )
    elif few:
        reason = (
            f"of stratum {', '.join(map(str, few))} fewer than two points are judged, and two are "
            "needed of each for the areas and their errors: judge more of its points"
        )
    pixels = {int(one): int(count.total[one]) for one in np.flatnonzero(count.total[1:]) + 1}
    same = pixels == dict(design.pixels) and bool((count.mapped == strata).all())
    if not same or design.mosaic_version != version:
        notes.append(
            "the sample was drawn from an earlier map; it serves this one by the general estimator "
            "(Stehman 2014), with that map's classes as strata"
            if not same
            else "the sample was drawn from an earlier map, whose classes are the same"
        )
    elsewhere = int((count.mapped == 0).sum())
    if elsewhere:
        notes.append(
            f"{elsewhere} points lie where this map has no data, or beyond it: they count for the "
            "areas, not for its accuracy"
        )
    mapped = sum(pixels.values()) * abs(count.geobox.affine.a * count.geobox.affine.e) / 1e4
    if abs(mapped - design.hectares) > 1e-3 * design.hectares:
        notes.append(
            f"the areas are estimated of the {design.hectares:.6g} ha that the sample was drawn "
            f"from; the map has {mapped:.6g} ha"
        )
    return {
        "path": sample.path,
        "points": drawn,
        "judged": seen,
        "not_judged": drawn - seen,
        "strata": [
            {"stratum": one, "pixels": n, "points": design.points[one], "judged": judged[one]}
            for one, n in design.pixels.items()
        ],
        "seed": design.seed,
        "drawn_from_mosaic_version": design.mosaic_version,
        "estimator": (
            "stratified, strata are the map's classes (Olofsson et al. 2014)"
            if same
            else "stratified, strata are not the map's classes (Stehman 2014)"
        ),
        "reason": reason,
        "notes": notes,
    }


def _estimate(
    sample: ReferenceSample,
    references: NDArray[np.int64],
    count: _Count,
    ids: list[int],
    grounds: list[dict[str, Any]],
) -> None:
    """Add to each ground what is estimated of it: the whole first, then the units in order."""
    design = sample.design
    for number, ground in enumerate(grounds):
        inside = count.units == number if number else None
        hectares = ground["mapped_hectares"] if number else design.hectares
        seen = references > 0 if inside is None else inside & (references > 0)
        ground["judged_points"] = int(seen.sum())
        if not seen.any():
            continue
        counts = area_estimation.count_points(
            sample.points["id"].to_numpy(np.int64),
            sample.points["stratum"].to_numpy(np.int64),
            count.mapped,
            references,
            pixels=design.pixels,
            class_ids=ids,
            inside=inside,
        )
        found = area_estimation.estimate(counts, hectares)
        if not number:
            ground["error_matrix"] = {
                "rows": ["no data", *(one["name"] for one in ground["classes"])],
                "columns": [one["name"] for one in ground["classes"]],
                "points": counts.points.sum(axis=0).tolist(),
                "shares": np.round(found.shares.value, 9).tolist(),
            }
        _tell(ground, found)


def _tell(ground: dict[str, Any], found: AreaEstimates) -> None:
    ground["overall_accuracy"] = _plain(found.overall_accuracy, ())
    for position, one in enumerate(ground["classes"]):
        one["hectares"] = _plain(found.area, position)
        one["users_accuracy"] = _plain(found.users_accuracy, position)
        one["producers_accuracy"] = _plain(found.producers_accuracy, position)


def _plain(estimate: Estimate, at: Any) -> dict[str, float] | None:
    """Return an estimate with its 95 % interval; None where the sample says nothing."""
    names = ("value", "standard_error", "low", "high")
    found = {name: float(getattr(estimate, name)[at]) for name in names}
    return None if any(np.isnan(value) for value in found.values()) else found
