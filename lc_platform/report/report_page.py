"""The report of a year's map as one HTML file that needs no other."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import resources
from importlib.metadata import version
from typing import Any

import numpy as np
from jinja2 import Environment, Undefined
from markupsafe import Markup

from lc_platform.config.template import is_of_other_ground
from lc_platform.cube import Summary
from lc_platform.eo.season import CALENDAR_YEAR
from lc_platform.eo.series_layout import date_of
from lc_platform.errors import once
from lc_platform.products.mosaic import (
    APPLICABLE,
    APPLICABLE_SHARES,
    CONFIDENCE,
    LAND_COVER,
    PICTURE,
    VALID_OBSERVATIONS,
)
from lc_platform.products.options import ReportOptions
from lc_platform.products.reference_rasters import colored
from lc_platform.products.report import Report
from lc_platform.report import report_figures as draw
from lc_platform.report.baseline import baseline, few_blocks
from lc_platform.report.references import cited
from lc_platform.report.report_facts import Acquisitions, Contents, acquisitions, layer, left_out
from lc_platform.report.simulated import of_simulated_imagery

SCORES = {
    "overall_accuracy": "overall accuracy",
    "balanced_accuracy": "balanced accuracy",
    "f1_weighted": "weighted F1",
    "f1_macro": "macro F1",
}
"""What the scores of a map are called."""
_PACKAGES = (
    "lc-platform",
    "lightgbm",
    "numpy",
    "rasterio",
    "s2cloudless",
    "scikit-learn",
    "scipy",
    "zarr",
)


def write_report(of: Contents, options: ReportOptions) -> Report:
    """Return the report of a year. A section of which there is nothing says what is missing, and
    what would make it."""
    seen = acquisitions(of)
    classes = layer(of, LAND_COVER)
    context = {
        "name": options.name,
        "year": of.year,
        "made": datetime.now(UTC).date().isoformat(),
        "area": _area(of, options),
        "simulated": of_simulated_imagery(options.source, options.reference),
        "seen": _seen(seen),
        "observed": _observed(of, classes),
        "settings": dict(options.settings),
        "model": _model(of),
        "metrics": of.metrics,
        "accuracy": _accuracy(of.metrics, options),
        "matrix": _matrix(of.metrics),
        "calibration": _calibration(of.metrics),
        "applicability": _applicability(of, classes),
        "areas": _areas(of, options),
        "objects": of.objects,
        "change": of.change,
        "left_out": left_out(of, options),
        "alignment": _alignment(of, options),
        "versions": dict(of.versions),
        "packages": _packages(of.card),
        "python": platform.python_version(),
        "citation": _citation(of, options),
        "references": cited(of, options),
        "picture": _picture(of),
    }
    return Report(rendered("report.html", context), _summary(of, options, classes))


def rendered(page: str, context: Mapping[str, Any]) -> str:
    """Return a page of this folder in the style of them all, as HTML that needs no other file."""
    files = resources.files("lc_platform.report")
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": _number, "score": _score, "percent": _percent}
    style = Markup(files.joinpath("page.css").read_text("utf-8"))
    template = environment.from_string(files.joinpath(page).read_text("utf-8"))
    return template.render(style=style, **context)


def _summary(of: Contents, options: ReportOptions, classes: Any) -> Summary:
    facts = {
        "overall_accuracy": of.metrics.get("overall_accuracy"),
        "f1_weighted": of.metrics.get("f1_weighted"),
        "mapped_hectares": of.areas["total"]["mapped_hectares"],
    }
    picture = None
    if classes is not None:
        step = max(1, -(-max(classes.shape) // 64))
        picture = colored(classes[::step, ::step].astype(np.uint8), options.classes)
    return Summary({k: v for k, v in facts.items() if v is not None}, picture=picture)


def _unknown(value: Any) -> bool:
    """Whether an artefact does not tell a value, as one of an earlier release may not."""
    return value is None or isinstance(value, Undefined)


def _number(value: Any, digits: int = 0) -> str:
    return "" if _unknown(value) else f"{value:,.{digits}f}"


def _score(value: Any) -> str:
    return "" if _unknown(value) else f"{value:.3f}"


def _percent(value: Any, digits: int = 1) -> str:
    return "" if _unknown(value) else f"{100 * value:.{digits}f} %"


def _area(of: Contents, options: ReportOptions) -> dict[str, Any]:
    patches = of.grid.patches
    return {
        "patches": len(patches),
        "with_reference": sum(bool(of.grid.has_reference.get(p.key)) for p in patches),
        "mapped_hectares": of.areas["total"]["mapped_hectares"],
        "crs": of.areas["crs"],
        "pixel": np.sqrt(of.areas["pixel_square_metres"]),
        "source": options.source,
        "collections": list(options.collections),
        "season": _season(of, options),
        "reference": options.reference or "the simulated archive's own",
        "classes": [(name, color) for name, color in options.classes.values()],
    }


def _season(of: Contents, options: ReportOptions) -> str:
    """Return the first and the last day that the map is of; empty of a calendar year."""
    if options.season == CALENDAR_YEAR:
        return ""
    return f"{options.season.first(of.year)} to {options.season.last(of.year)}"


def _seen(seen: Acquisitions) -> dict[str, Any] | None:
    if not seen.keys:
        return None
    return {
        "count": len(seen.keys),
        "first": str(seen.days[0]),
        "last": str(seen.days[-1]),
        "valid": float(np.mean(seen.valid)),
        "figure": _shown(draw.timeline(seen)),
        "rows": [
            {"key": key, "day": str(day), "patches": count, "valid": valid}
            for key, day, count, valid in zip(
                seen.keys, seen.days, seen.patches, seen.valid, strict=True
            )
        ],
    }


def _observed(of: Contents, classes: Any) -> dict[str, Any] | None:
    valid, confidence = layer(of, VALID_OBSERVATIONS), layer(of, CONFIDENCE)
    if valid is None or confidence is None or classes is None or not (classes > 0).any():
        return None
    mapped = classes > 0
    counts = valid[mapped]
    shown = [
        ("valid observations in the year", np.where(mapped, valid, np.nan), "cividis", None),
        ("confidence (%)", np.where(mapped, confidence, np.nan), "cividis", 100.0),
    ]
    return {
        "median": float(np.median(counts)),
        "few": float(np.percentile(counts, 5)),
        "fewest": float(counts.min()),
        "confidence": float(confidence[mapped].mean()),
        "figure": _shown(draw.maps(shown)),
    }


def _model(of: Contents) -> dict[str, Any]:
    card = of.card
    validation = card.get("validation") or {}
    return {
        "method": card.get("method", "lightgbm"),
        "features": len(card["features"]),
        "undated": sum(date_of(name) is None for name in card["features"]),
        "samples": sum(card["samples"].values()),
        "patches": len(card["training_patches"]),
        "class_samples": card["samples"],
        "parameters": card["parameters"],
        "folds": len(validation.get("folds") or []),
        "block_size": validation.get("block_size"),
        "blocks": validation.get("blocks"),
        "stopping": card.get("early_stopping"),
        "elsewhere": card.get("trained_elsewhere"),
        "regions": card.get("regions"),
        "region_blend": card.get("region_blend"),
    }


def _accuracy(metrics: Mapping[str, Any], options: ReportOptions) -> dict[str, Any]:
    """Return the scores as rows, each with its interval where there is one."""
    intervals = metrics.get("intervals") or {}
    of_classes = intervals.get("per_class") or {}
    return {
        "rows": [
            {"name": words, "value": metrics[name], "interval": intervals.get(name)}
            for name, words in SCORES.items()
            if name in metrics
        ],
        "classes": [
            {"name": name, "intervals": of_classes.get(name) or {}, **scores}
            for name, scores in metrics["per_class"].items()
        ],
        "has_intervals": bool(intervals),
        "confidence": intervals.get("confidence"),
        "blocks": intervals.get("blocks"),
        "few_blocks": few_blocks(intervals.get("blocks")),
        "guess": baseline(metrics),
        "balanced": "sampling.class_weights" not in options.settings,
        "figure": _shown(draw.scores(metrics["per_class"], of_classes)),
        "random": metrics.get("random_split"),
        "by_blocks": metrics.get("block_split"),
        "curve": _shown(draw.learning_curve(metrics["learning_curve"]))
        if metrics.get("learning_curve")
        else None,
        "sets": metrics.get("prediction_sets"),
        "by_object": metrics.get("by_object"),
    }


def _matrix(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the confusion matrix: names, and rows of counts with the shares of the row."""
    names = [one["name"] for one in metrics["classes"]]
    counts = np.array(metrics["confusion_matrix"], np.int64)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return {
        "names": names,
        "rows": [
            {
                "name": name,
                "cells": [
                    {"count": int(n), "share": float(share), "dark": share > 0.55}
                    for n, share in zip(of_row, of_shares, strict=True)
                ],
                "pixels": int(of_row.sum()),
            }
            for name, of_row, of_shares in zip(names, counts, shares, strict=True)
        ],
    }


_CALIBRATED = {
    "before": "before calibration",
    "after": "after calibration",
    "map": "the map, on all reference pixels",
}


def _calibration(metrics: Mapping[str, Any]) -> dict[str, Any] | None:
    told = metrics.get("calibration") or {}
    diagrams = {
        words: told[f"reliability_{name}"]
        for name, words in _CALIBRATED.items()
        if told.get(f"reliability_{name}")
    }
    if not diagrams:
        return None
    errors = {
        words: told.get(f"expected_calibration_error_{name}") for name, words in _CALIBRATED.items()
    }
    return {
        "method": told.get("method", "none"),
        "temperature": told.get("temperature"),
        "errors": errors,
        "figure": _shown(draw.reliability(diagrams)),
    }


def _applicability(of: Contents, classes: Any) -> dict[str, Any] | None:
    percent = layer(of, APPLICABLE)
    if percent is None or classes is None or APPLICABLE_SHARES not in of.mosaic:
        return None
    told = json.loads(of.store.content(of.mosaic[APPLICABLE_SHARES]))
    if told["share_outside"] is None:
        return None
    known = (classes > 0) & (percent > 0)
    title = "dissimilarity from training ground, percent of the threshold (above 100: outside)"
    patches = sorted(told["patches"].items(), key=lambda one: -(one[1]["share_outside"] or 0))
    return {
        "outside": told["share_outside"],
        "classes": [(name, one["share_outside"]) for name, one in told["classes"].items()],
        "patches": [
            (name, one["share_outside"]) for name, one in patches[:5] if one["share_outside"]
        ],
        "samples": (of.card.get("applicability") or {}).get("samples"),
        "figure": _shown(draw.maps([(title, np.where(known, percent, np.nan), "cividis", 200.0)])),
    }


def _areas(of: Contents, options: ReportOptions) -> dict[str, Any]:
    total = of.areas["total"]
    classes = [one for one in total["classes"] if one["pixels"] or one.get("hectares")]
    colors = {number: color for number, (_, color) in options.classes.items()}
    return {
        "classes": classes,
        "mapped": total["mapped_hectares"],
        "estimated": any(one.get("hectares") for one in classes),
        "why_not": of.areas["no_estimate_because"],
        "estimator": of.areas["estimator"],
        "sample": of.areas["sample"],
        "accuracy": total.get("overall_accuracy"),
        "units": of.areas["units"],
        "warnings": of.areas["warnings"],
        "figure": _shown(draw.areas(classes, colors)) if classes else None,
    }


_WITH_REFERENCE = "imagery and the reference"


def _alignment(of: Contents, options: ReportOptions) -> dict[str, Any] | None:
    if not of.alignments:
        return None
    rows = []
    for kind, words in (
        ("band", "bands of one acquisition"),
        ("acquisition", "acquisitions"),
        ("reference", _WITH_REFERENCE),
    ):
        compared = [
            one
            for alignment in of.alignments.values()
            for one in alignment.comparisons
            if one.comparison == kind
        ]
        found = [one for one in compared if one.known and one.blocks > 1]
        if found:
            largest = max(found, key=lambda one: one.distance)
            rows.append(
                {
                    "name": words,
                    "count": len(found),
                    "unknown": len(compared) - len(found),
                    "median": float(np.median([one.distance for one in found])),
                    "largest": largest.distance,
                    "uncertainty": largest.uncertainty_pixels,
                    "metres": float(np.hypot(largest.dy_metres, largest.dx_metres)),
                    "beyond": sum(one.beyond_half_a_pixel for one in found),
                }
            )
        elif compared:
            rows.append({"name": words, "count": 0, "unknown": len(compared)})
    problems: dict[str, dict[str, str]] = {}
    for patch, alignment in sorted(of.alignments.items()):
        for kind, words in alignment.problems.items():
            problems.setdefault(kind, {})[patch] = words
    count = len(of.alignments)
    return {
        "patches": count,
        "rows": rows,
        "problems": [once(said, "patches", count) for said in problems.values()],
        "invented": is_of_other_ground(options.source, options.reference)
        and not any(row["name"] == _WITH_REFERENCE for row in rows),
        "figure": _shown(draw.shifts(of.alignments)) if any(row["count"] for row in rows) else None,
    }


def _packages(card: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return packages with the version that trained the model, where it is known, and the one that
    wrote the report."""
    trained: Mapping[str, str] = card.get("versions", {})
    names = dict.fromkeys((*_PACKAGES, *trained))
    return [(name, trained.get(name, ""), version(name)) for name in names]


def _citation(of: Contents, options: ReportOptions) -> str:
    collections = " and ".join(options.collections)
    contains = ""
    if options.source != "simulated" and "sentinel" in collections:
        years = {options.season.first(of.year).year: None, of.year: None}
        contains = f" Contains modified Copernicus Sentinel data {'-'.join(map(str, years))}."
    return (
        f"{options.name}: land cover of {of.year}, from {collections} ({options.source}). Map "
        f"{of.areas['mosaic_version']}, model {of.metrics.get('model_version', '')}. Made with "
        f"lc-platform {version('lc-platform')}.{contains}"
    )


def _picture(of: Contents) -> Markup | None:
    if PICTURE not in of.mosaic:
        return None
    return _shown(of.store.content(of.mosaic[PICTURE]))


def _shown(content: bytes) -> Markup:
    return Markup(draw.inline(content))
