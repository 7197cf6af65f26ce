"""What each asset of the platform is as a collection of the catalog: words, and what it came of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Described:
    """An asset, in the words of its collection."""

    title: str
    description: str
    """What it holds."""
    lineage: str
    """How it is made."""
    derived_from: tuple[str, ...] = ()
    """The assets of whose items its own are made: of the same patch, or of all patches of the year
    where it is of the year."""
    level: str = ""
    """The processing level; empty where it is none of the usual ones."""


COLLECTIONS: Mapping[str, Described] = {
    "patch_grid": Described(
        "Patch grid",
        "The patches that the area is split into: key, box, CRS, UTM zone, and whether the "
        "reference covers them.",
        "Splits the area of interest into boxes on the pixel grid of their CRS.",
    ),
    "raw_bands": Described(
        "Imagery",
        "Every acquisition of a patch in a year: digital numbers with their scale and offset, "
        "metadata of each acquisition, data mask.",
        "Acquires from an archive what a patch shows in a season, as the archive has it, on the "
        "patch's grid.",
    ),
    "cloud_masks": Described(
        "Cloud masks",
        "Cloud probability, cloud, shadow and snow masks of each acquisition.",
        "Detects clouds in every acquisition, and shadows and snow where it is asked for.",
        ("raw_bands",),
        "L2",
    ),
    "observation_stats": Described(
        "Observation statistics",
        "Of each pixel the number of valid observations, the mean cloud probability and the mean "
        "of an index; of each date the valid share and the mean of the index.",
        "Counts and averages the valid observations of the season.",
        ("raw_bands", "cloud_masks"),
        "L3",
    ),
    "reference_rasters": Described(
        "Reference",
        "The class of each pixel in the reference map, a mask for each class, and where several "
        "classes claim a pixel.",
        "Rasterizes the reference map on the patch's grid.",
    ),
    "alignment": Described(
        "Alignment",
        "How far bands, acquisitions and the reference lie from one another.",
        "Correlates edges of bands, acquisitions and the borders of the reference's classes.",
        ("raw_bands", "cloud_masks", "reference_rasters"),
    ),
    "features": Described(
        "Features",
        "What the classifier reads of each pixel: series on regular dates, statistics of the "
        "season, layers without a date.",
        "Calibrates the imagery, leaves out clouds and shadows, and interpolates or composites in "
        "time.",
        ("raw_bands", "cloud_masks"),
        "L3",
    ),
    "training_samples": Described(
        "Training samples",
        "Sampled pixels: features, class, patch, polygon, row and column.",
        "Draws pixels of the reference at random.",
        ("features", "reference_rasters"),
    ),
    "model": Described(
        "Model",
        "The classifier of a year, its model card, and the classifiers of each fold.",
        "Trains a classifier on the samples of all patches.",
        ("training_samples",),
    ),
    "predictions": Described(
        "Predictions",
        "The class of each pixel of a patch, its confidence, entropy, margin and applicability.",
        "Classifies the features of each pixel by the model of the year.",
        ("features", "model"),
        "L4",
    ),
    "held_out_predictions": Described(
        "Held-out predictions",
        "The class of each pixel with a reference, by a classifier that has not seen that ground.",
        "Classifies the features of each pixel by the model of a fold that was trained elsewhere.",
        ("features", "model", "reference_rasters"),
        "L4",
    ),
    "evaluation": Described(
        "Evaluation",
        "Accuracy on held-out ground with intervals, confusion matrices, calibration, and the "
        "year's report.",
        "Compares held-out predictions with the reference.",
        ("held_out_predictions", "model"),
    ),
    "mosaic": Described(
        "Land-cover map",
        "The map of a year: class, confidence, applicability and number of valid observations of "
        "each pixel.",
        "Joins the predictions of all patches into one map.",
        ("predictions", "observation_stats", "model", "training_samples", "raw_bands"),
        "L4",
    ),
    "area_statistics": Described(
        "Area statistics",
        "The area of each class, by unit too, with confidence intervals where a sample of points "
        "is judged.",
        "Counts the map's pixels, and estimates areas from a probability sample where there is "
        "one.",
        ("mosaic",),
    ),
    "objects": Described(
        "Objects",
        "One class for each parcel or other polygon: class, probability, second class, share of "
        "pixels that agree.",
        "Decides on one class from the predictions of all pixels of a polygon.",
        ("predictions",),
        "L4",
    ),
    "change": Described(
        "Change",
        "What each pixel was and has become since the year before, how probable that is, and the "
        "area of each transition.",
        "Judges transitions by the probabilities of several years.",
        ("predictions",),
        "L4",
    ),
}
"""By asset, in the order of the work. The report is a file of the evaluation's item."""
