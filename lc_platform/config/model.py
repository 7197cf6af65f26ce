"""The section `model`: what classifies, and parameters of LightGBM."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from lc_platform.config.fields import as_number
from lc_platform.config.problems import nearest
from lc_platform.config.readings import as_read, is_truth

LIGHTGBM_DEFAULTS: dict[str, Any] = {
    "num_iterations": 100,
    "learning_rate": 0.1,
    "num_leaves": 31,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.2,
    "lambda_l2": 1.0,
    "max_bin": 127,
}
LIGHTGBM_FIXED = ("objective", "num_class", "num_threads", "seed", "deterministic")
"""Parameters that the platform sets itself: the classes and the reproducibility depend on them."""


METHOD = "method"
"""The one key of the section that is no parameter of LightGBM."""
METHODS = ("lightgbm", "discriminant", "combined")
MODEL_METHOD: Literal["lightgbm", "discriminant", "combined"] = "combined"
"""On the simulated archive it is right more often than either alone (`benchmarks.accuracy`)."""


def lightgbm_parameters() -> dict[str, str]:
    """Return every name and alias of LightGBM's parameters -> the parameter's main name."""
    from lightgbm.basic import _ConfigAliases

    return {
        alias: name
        for name, aliases in _ConfigAliases._get_all_param_aliases().items()
        for alias in [name, *aliases]
    }


def checked_parameters(model: Mapping[Any, Any]) -> dict[str, Any]:
    """Return LightGBM parameters under their main names, and the method where it is given. Raises
    ValueError naming the key."""
    import lightgbm
    import numpy as np

    valid = lightgbm_parameters()
    given: dict[str, str] = {}
    checked: dict[str, Any] = {}
    if (method := model.get(METHOD, MODEL_METHOD)) not in METHODS:
        raise ValueError(
            f"{METHOD}: {method!r} is none of {', '.join(METHODS)}."
            f"{nearest(str(method), list(METHODS))}"
        )
    others = [str(key) for key in model if key != METHOD]
    if method == "discriminant" and others:
        raise ValueError(
            f"{others[0]}: is of LightGBM, which {METHOD}: discriminant does without. Remove it, "
            f"or choose {METHOD}: combined"
        )
    for key, value in model.items():
        if key == METHOD:
            checked[key] = value
            continue
        if key not in valid:
            raise ValueError(f"{key}: is no parameter of LightGBM.{nearest(str(key), list(valid))}")
        name = valid[key]
        if name in LIGHTGBM_FIXED:
            raise ValueError(f"{key}: is set by the platform. Remove it")
        if name in given:
            raise ValueError(f"{key}: is another name of {given[name]}. Give one of them")
        given[name] = key
        try:
            value = as_read(value) if is_truth(value) else as_number(value)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
        checked[name] = value
        # LightGBM checks every value when it makes a data set: now, and not after the download.
        settings = {"objective": "multiclass", "num_class": 2, "verbosity": -1, name: value}
        try:
            lightgbm.Dataset(np.arange(20.0)[:, None], params=settings).construct()
        except (lightgbm.basic.LightGBMError, TypeError) as error:
            why = re.sub(r" at /.*", "", str(error).strip())
            raise ValueError(f"{key}: LightGBM refuses {value!r} ({why}). Give another") from error
    return checked
