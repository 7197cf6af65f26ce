"""The section `validation`: what is held out, and what cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from lc_platform.config import ConfigError, Validation, parse
from lc_platform.platform import Platform
from lc_platform_tests.graphs import settings


def test_the_default_is_five_folds_of_patches_calibrated_by_one_curve() -> None:
    one = Validation()
    assert (one.folds, one.block_size, one.calibrated_by) == (5, None, "curve")


def test_without_folds_one_set_is_held_out_and_nothing_is_calibrated() -> None:
    platform = Platform(parse(settings() | {"validation": {"folds": 0}}))
    options = platform.training_options()
    assert (options.folds, options.test_fraction, options.calibration) == (0, 0.2, "none")
    assert platform.sampling_options().validation_pixels == 0


def test_with_folds_no_patch_is_held_out_and_pixels_near_borders_are_drawn_too() -> None:
    platform = Platform(parse(settings()))
    assert platform.training_options().test_fraction is None
    assert platform.sampling_options().validation_pixels == 75  # of 300
    every = Platform(parse(settings(sampling={"erosion": 0})))
    assert every.sampling_options().validation_pixels == 0  # they are among the others


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"folds": 1}, r"validation\.folds: 1 fold leaves nothing to train on\. Give 2 to 20, or"),
        ({"folds": 21}, r"validation\.folds: 21 is above 20"),
        ({"folds": -1}, r"validation\.folds: -1 is below 0"),
        (
            {"folds": 0, "block_size": 500},
            r"validation\.block_size: says how folds are cut, and there are none \(folds: 0\)",
        ),
        (
            {"folds": 0, "calibration": "isotonic"},
            r"validation\.calibration: isotonic is fitted on the pixels of other folds",
        ),
        ({"block_size": 0}, r"validation\.block_size: 0"),
        ({"calibration": "platt"}, r"validation\.calibration: .*temperature"),
        ({"fold": 3}, r"validation\.fold: .*folds"),
    ],
)
def test_what_cannot_be_is_refused_with_its_key(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse(settings() | {"validation": given})
