"""The section `validation`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from lc_platform.config.fields import Metres, Section, Whole

LEAST_FOLDS, MOST_FOLDS = 2, 20


class Validation(Section):
    """The ground that the map's accuracy is measured on, which training has not seen."""

    folds: Whole = Field(5, ge=0, le=MOST_FOLDS)
    """Parts of the reference, each predicted by a classifier of the others; all are evaluated. 0
    holds the patches of sampling.test_fraction out instead."""
    block_size: Metres | None = None
    """Metres along the side of the squares of ground that stay in one fold; by default a patch."""
    calibration: Literal["curve", "temperature", "isotonic", "none"] = "curve"
    """How probabilities are made to be as often right as they say, by pixels of other folds: by one
    curve for all classes, by a temperature alone, or by a curve a class, which may change classes.
    """
    wrong_labels: Literal["keep", "leave_out"] = "keep"
    """What training does with polygons of the reference whose label is probably wrong, by
    classifiers of other folds. `evaluation` lists them either way."""

    @model_validator(mode="after")
    def _folds_have_what_they_need(self) -> Self:
        if 0 < self.folds < LEAST_FOLDS:
            raise ValueError(
                f"folds: {self.folds} fold leaves nothing to train on. Give 2 to {MOST_FOLDS}, "
                "or 0 for one held-out set"
            )
        if self.folds:
            return self
        if self.block_size is not None:
            raise ValueError(
                "block_size: says how folds are cut, and there are none (folds: 0). Remove it, or "
                "give folds"
            )
        if self.wrong_labels == "leave_out":
            raise ValueError(
                "wrong_labels: wrong labels are found by classifiers of other folds, and there are "
                "none (folds: 0). Write keep, or give folds"
            )
        if "calibration" in self.model_fields_set and self.calibration != "none":
            raise ValueError(
                f"calibration: {self.calibration} is fitted on the pixels of other folds, and "
                "there are none (folds: 0). Write none, or give folds"
            )
        return self

    @property
    def calibrated_by(self) -> Literal["curve", "temperature", "isotonic", "none"]:
        """The method of calibration; without folds there is none."""
        return self.calibration if self.folds else "none"
