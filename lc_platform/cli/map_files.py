"""Where a map's files are, and how one looks at it, as the end of a run tells it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lc_platform.config import Config


def map_files(config: Config) -> Iterator[str]:
    """Yield a line for each file, or kind of file, of the maps of all years, the accuracy of each
    map and what it is to be compared with, and whether the imagery is simulated."""
    from lc_platform.artefacts import layout
    from lc_platform.artefacts.formats import MosaicFormat
    from lc_platform.products.mosaic import LAND_COVER, PICTURE
    from lc_platform.report.baseline import baseline
    from lc_platform.report.simulated import of_simulated_imagery
    from lc_platform.storage.store import Store

    store = Store.of(config)
    for year in config.years:
        mosaic, evaluation = layout.key("mosaic", year=year), layout.key("evaluation", year=year)
        yield f"Map of {year}:   {store.path(mosaic)}/{LAND_COVER}"
        if PICTURE in MosaicFormat().open(store, mosaic):
            yield f"Picture:       {store.path(mosaic)}/{PICTURE}"
        areas = layout.key("area_statistics", year=year).replace(".parquet", ".json")
        report = layout.key("report", year=year)
        change = layout.key("change", year=year)
        for words, key in (("Areas: ", areas), ("Change:", change), ("Report:", report)):
            if store.exists(key):
                yield f"{words}        {store.path(key)}"
        metrics = metrics_of(config, year)
        yield f"Accuracy:      {_accuracy(metrics)}"
        if guess := baseline(metrics):
            but = f": {guess.words}" if guess.words else ""
            yield (
                f"Guessing:      {guess.share:.3f} would be right if all of it were "
                f"{guess.name}{but}"
            )
        yield f"Metrics:       {store.path(evaluation)}/{layout.METRICS}"
        statistics = store.path(f"observation_stats/{year}")
        yield f"Figures:       {store.path(evaluation)}/*.png, {statistics}/*.png"
    if words := of_simulated_imagery(config.imagery.source, config.reference_file):
        yield f"Beware:        {words}"


def metrics_of(config: Config, year: int) -> Mapping[str, Any]:
    """Return the metrics of a year's map. Raises StorageError where there are none."""
    from lc_platform.artefacts import layout
    from lc_platform.artefacts.formats import EvaluationFormat
    from lc_platform.storage.store import Store

    key = layout.key("evaluation", year=year)
    return EvaluationFormat().open(Store.of(config), key).metrics


def _accuracy(metrics: Mapping[str, Any]) -> str:
    """Return the overall accuracy with its interval, in words, and of how few blocks that is."""
    from lc_platform.report.baseline import few_blocks

    right = metrics["overall_accuracy"]
    if right is None:
        return "not known, since no pixel of the reference could be judged"
    intervals = metrics.get("intervals") or {}
    low, high = intervals.get("overall_accuracy") or (None, None)
    blocks = intervals.get("blocks")
    few = f", from {blocks} blocks only" if few_blocks(blocks) else ""
    between = "" if low is None else f" ({low:.3f} to {high:.3f}{few})"
    return (
        f"{right:.3f}{between} of the reference's pixels are right, on ground "
        "that training has not seen"
    )


def see_it(config: Config, file: Path) -> str:
    """Return the line that says how to open the web map: its address where it is deployed, and the
    command where it is not.

    file  the configuration's
    """
    address = config.viewer.address or ""
    if not address.startswith("/") and address:
        return f"See the map:   {address}"
    return f"See the map:   lc-platform map -c {shlex.quote(str(file))}"
