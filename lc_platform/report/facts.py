"""The metadata of an artefact, as its record keeps them and its page shows them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

SHARE = "share"
"""The unit of what is between 0 and 1, and shown in percent."""


class Fact(NamedTuple):
    """What a key of the metadata says."""

    what: str
    unit: str = ""


FACTS: Mapping[str, Fact] = {
    "acquisitions": Fact("Acquisitions of the patch, in the season and its padding."),
    "acquisitions_new": Fact("Acquisitions that were not stored before."),
    "acquisitions_too_cloudy": Fact("Acquisitions that imagery.max_cloud_cover leaves out."),
    "acquisitions_used": Fact("Acquisitions that the features are made of."),
    "acquisitions_{name}": Fact("Acquisitions of an auxiliary collection, by its name."),
    "ambiguous_pixels": Fact("Pixels that two classes of the reference claim."),
    "balanced_accuracy": Fact("Mean of the classes' recall.", "0 to 1"),
    "bands": Fact("Bands of the main collection."),
    "bytes": Fact("Size of the artefact.", "bytes"),
    "bytes_moved": Fact("What the archive sent.", "bytes"),
    "changed_hectares": Fact("Ground that the map has as changed.", "hectares"),
    "changed_hectares_estimated": Fact("The same, by the reference sample.", "hectares"),
    "changed_hectares_standard_error": Fact("The standard error of the estimate.", "hectares"),
    "changed_percent": Fact("Ground that the map has as changed.", "percent"),
    "class_pixels": Fact("Pixels of each class."),
    "class_samples": Fact("Samples of each class."),
    "classes": Fact("Classes of the model."),
    "classified_pixels": Fact("Pixels that a held-out classifier has a class for."),
    "cloud_fraction": Fact("Pixels that are cloudy, mean of the acquisitions.", SHARE),
    "columns": Fact("Pixels from west to east."),
    "comparisons": Fact("Pairs whose shift is measured."),
    "composites_not_converged": Fact("Geometric medians that did not converge."),
    "confirmed_pixels": Fact("Changed pixels that another year confirms."),
    "crs": Fact("The CRS of the map."),
    "denied_pixels": Fact("Pixels that the two years have as changed and other years deny."),
    "expected_calibration_error": Fact("How far confidence is from accuracy.", "0 to 1"),
    "f1_macro": Fact("Mean of the classes' F1 scores.", "0 to 1"),
    "f1_weighted": Fact("Mean of the classes' F1 scores, by their pixels.", "0 to 1"),
    "f1_weighted_by_object": Fact("The same, of objects.", "0 to 1"),
    "features": Fact("Features of a pixel."),
    "folds": Fact("Folds with a classifier of their own."),
    "from_year": Fact("The year before the change."),
    "items": Fact("Items of the catalog, one for each artefact."),
    "labelled_fraction": Fact("Pixels that have a class of the reference.", SHARE),
    "made_at": Fact("When the artefact was made, where it was current already."),
    "map": Fact("The link to the web map."),
    "mapped_hectares": Fact("Ground that has a class.", "hectares"),
    "mean_confidence": Fact("Mean confidence of the classified pixels.", "percent"),
    "method": Fact("The method of cloud detection."),
    "missing": Fact("Patches that are not in the map, the first twenty."),
    "missing_patches": Fact("Patches that the model has no samples of."),
    "missing_percent": Fact("Pixels that each layer without a season lacks.", "percent"),
    "model_version": Fact("The version of the model."),
    "mosaic_version": Fact("The version of the map."),
    "no_data_pixels": Fact("Pixels that have no class in one of the years."),
    "no_estimate_because": Fact("Why there are no areas with intervals."),
    "no_objects_because": Fact("Why there are no objects."),
    "not_judged": Fact("Points of the reference sample that nobody has judged."),
    "judged": Fact("Points of the reference sample that are judged."),
    "notes": Fact("What was mended of the boundary."),
    "objects": Fact("Polygons of map.objects."),
    "overall_accuracy": Fact("Share of the ground that is classified rightly.", "0 to 1"),
    "overall_accuracy_standard_error": Fact("The standard error of it.", "0 to 1"),
    "patch": Fact("The key of the patch."),
    "patch_columns": Fact("Pixels of the first patch from west to east."),
    "patch_rows": Fact("Pixels of the first patch from north to south."),
    "patches": Fact("Patches of the grid, or of the map."),
    "patches_missing": Fact("Patches that are not in the map."),
    "patches_with_reference": Fact("Patches that the reference covers."),
    "path": Fact("Where the artefact lies."),
    "pixels_never_seen": Fact("Pixels without a valid observation.", SHARE),
    "pixels_without_data": Fact("Pixels that no acquisition has data of.", SHARE),
    "points": Fact("Points of the reference sample, or of sampling.points."),
    "processing_units": Fact("What the archive charged.", "processing units"),
    "processing_units_left": Fact("What is left of this month's budget.", "processing units"),
    "processing_units_this_month": Fact("What all workers spent.", "processing units"),
    "reference": Fact("How far the imagery lies from the reference, in words."),
    "reference_pixels": Fact("Pixels that have a class of the reference."),
    "requests": Fact("Requests to the archive."),
    "requests_left": Fact("Requests that are left of this month's budget."),
    "requests_this_month": Fact("Requests of all workers."),
    "rounds": Fact("Rounds of boosting that early stopping chose."),
    "rows": Fact("Pixels from north to south; of a table, its rows."),
    "samples": Fact("Samples that the model has learnt from."),
    "seconds": Fact("Time that it took to make.", "seconds"),
    "share_outside_applicability": Fact("Ground that training has not shown.", "0 to 1"),
    "share_outside_applicability_by_class": Fact("The same, of each class.", "0 to 1"),
    "test_patches": Fact("Patches with held-out ground."),
    "test_pixels": Fact("Held-out pixels that are evaluated."),
    "trained_elsewhere": Fact("The file of a model that was not trained here."),
    "training_patches": Fact("Patches that the model has learnt from."),
    "unchanged": Fact("Whether the artefact was current, and was not made again."),
    "units": Fact("Polygons of areas.units."),
    "valid_fraction": Fact("Pixels that are valid; each asset says of what.", SHARE),
    "valid_observations_mean": Fact("Mean count of valid observations."),
    "valid_observations_min": Fact("Fewest valid observations of a pixel."),
    "version": Fact("The version of the artefact."),
    "warnings": Fact("What is suspicious, in sentences."),
    "year": Fact("The year."),
    "years_read": Fact("The years that the change is judged by."),
    "zones": Fact("UTM zones of the patches."),
    "{kind}_shift_pixels": Fact("The largest shift of a kind of comparison.", "pixels"),
}
"""Every key, by its name; braces stand for a name of the configuration or of the code."""

OF_EVERY_ASSET = (
    "bytes", "made_at", "map", "patch", "path", "seconds", "unchanged", "version", "warnings",
    "year",
)  # fmt: skip
"""What applies to every asset, as far as it is partitioned so."""

OF_ASSETS: Mapping[str, tuple[str, ...]] = {
    "patch_grid": (
        "patches", "patches_with_reference", "patch_rows", "patch_columns", "zones", "notes",
    ),
    "raw_bands": (
        "acquisitions", "acquisitions_{name}", "acquisitions_new", "acquisitions_too_cloudy",
        "bands", "rows", "columns", "valid_fraction", "requests", "processing_units",
        "bytes_moved", "requests_this_month", "processing_units_this_month", "requests_left",
        "processing_units_left",
    ),
    "cloud_masks": (
        "acquisitions", "cloud_fraction", "valid_fraction", "method", "rows", "columns",
    ),
    "observation_stats": (
        "acquisitions", "valid_fraction", "valid_observations_mean", "valid_observations_min",
        "pixels_never_seen", "pixels_without_data", "rows", "columns",
    ),
    "reference_rasters": (
        "class_pixels", "labelled_fraction", "ambiguous_pixels", "rows", "columns",
    ),
    "alignment": (
        "comparisons", "{kind}_shift_pixels", "reference",
    ),
    "features": (
        "acquisitions", "acquisitions_{name}", "acquisitions_used", "features",
        "valid_fraction", "missing_percent", "composites_not_converged", "rows", "columns",
    ),
    "training_samples": (
        "rows", "features", "class_samples", "points",
    ),
    "model": (
        "model_version", "classes", "features", "samples", "training_patches", "test_patches",
        "folds", "rounds", "expected_calibration_error", "missing_patches", "trained_elsewhere",
    ),
    "predictions": (
        "class_pixels", "mean_confidence", "valid_fraction", "share_outside_applicability",
        "share_outside_applicability_by_class", "model_version", "rows", "columns",
    ),
    "held_out_predictions": (
        "reference_pixels", "classified_pixels", "model_version", "rows", "columns",
    ),
    "evaluation": (
        "overall_accuracy", "balanced_accuracy", "f1_weighted", "f1_macro",
        "f1_weighted_by_object", "expected_calibration_error", "test_pixels", "model_version",
    ),
    "mosaic": (
        "class_pixels", "patches", "patches_missing", "missing", "share_outside_applicability",
        "share_outside_applicability_by_class", "crs", "model_version", "rows", "columns",
    ),
    "area_statistics": (
        "mapped_hectares", "mosaic_version", "units", "points", "judged", "not_judged",
        "overall_accuracy", "overall_accuracy_standard_error", "no_estimate_because",
    ),
    "objects": (
        "objects", "no_objects_because", "model_version",
    ),
    "change": (
        "from_year", "years_read", "changed_hectares", "changed_percent", "confirmed_pixels",
        "denied_pixels", "no_data_pixels", "changed_hectares_estimated",
        "changed_hectares_standard_error", "no_estimate_because",
    ),
    "catalog": (
        "items",
    ),
    "report": (
        "overall_accuracy", "f1_weighted", "mapped_hectares",
    ),
}  # fmt: skip
"""Beside these, what applies to each."""
