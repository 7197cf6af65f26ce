"""The section `model`: what classifies, and its parameters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import PurePath
from typing import Any

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
TREE_DEFAULTS: dict[str, Any] = {"n_estimators": 100, "min_samples_leaf": 2}
"""Of `random_forest` and `extra_trees`; all else is as scikit-learn has it."""
LOGISTIC_DEFAULTS: dict[str, Any] = {"C": 1.0, "max_iter": 1000}
_ADAM = {"epochs": 20, "batch_size": 256, "learning_rate": 0.001, "weight_decay": 1e-6}
NETWORK_DEFAULTS: Mapping[str, dict[str, Any]] = {
    "tempcnn": {**_ADAM, "filters": 64, "kernel_size": 5, "units": 256, "dropout": 0.5},
    "ltae": {**_ADAM, "channels": 128, "heads": 16, "key_size": 8, "units": 128, "dropout": 0.2},
}
"""Of networks that read series, by method."""

METHOD = "method"
PATH, CARD = "path", "card"
"""A model that was trained elsewhere, and what says of which classes and features it is."""
TRAINED_ELSEWHERE = "trained_elsewhere"
"""The method where there is such a model."""
MODEL_FILES = (".txt", ".json", ".onnx")
OF = "of"
"""The methods that are combined, with their weights and parameters."""
WEIGHT = "weight"
REGIONS = "regions"
"""Polygons that have a model each: their file, the attribute that names them, and the distance over
which models blend at the borders."""
REGIONS_BLEND = 1000.0
"""Metres on either side of a border."""
MODEL_METHOD = "combined"
"""On the simulated archive it is right more often than either of its two alone
(`benchmarks.accuracy`)."""
_COMBINED_BY_DEFAULT: dict[str, Any] = {"lightgbm": 1, "discriminant": 1}


@dataclass(frozen=True)
class Parameters:
    """The parameters of a method that users may give."""

    of: str
    """Whose they are, in words."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    names: Callable[[], Mapping[str, str]] = dict
    """Every name and alias -> the parameter's main name."""
    fixed: tuple[str, ...] = ()
    """What the platform sets itself."""
    read: Callable[[Any], Any] = as_read
    """Returns a value as the method takes it, or raises ValueError."""
    refusal: Callable[[str, Any], str] = lambda _name, _value: ""
    """Says why the method does not take a value of a parameter; nothing where it does."""
    conflict: Callable[[Mapping[str, Any]], str] = lambda _parameters: ""
    """Says which parameters do not go together, and what to do; nothing where all do."""

    def checked(self, given: Mapping[Any, Any], within: str = "") -> dict[str, Any]:
        """Return parameters under their main names. Raises ValueError naming the key."""
        found: dict[str, Any] = {}
        names: dict[str, str] = {}
        valid = self.names()
        for key, value in given.items():
            path = f"{within}{key}"
            if key not in valid and key not in self.fixed:
                raise ValueError(
                    f"{path}: is no parameter of {self.of}.{nearest(str(key), list(valid))}"
                )
            name = valid.get(key, key)
            if name in self.fixed:
                raise ValueError(f"{path}: is set by the platform. Remove it")
            if name in names:
                raise ValueError(f"{path}: is another name of {names[name]}. Give one of them")
            names[name] = key
            try:
                found[name] = self.read(value)
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from None
            if why := self.refusal(name, found[name]):
                raise ValueError(f"{path}: {self.of} refuses {found[name]!r} ({why}). Give another")
        if why := self.conflict(found):
            raise ValueError(f"{within}{why}")
        return found


@cache
def lightgbm_parameters() -> dict[str, str]:
    """Return every name and alias of LightGBM's parameters -> the parameter's main name."""
    from lightgbm.basic import _ConfigAliases

    return {
        alias: name
        for name, aliases in _ConfigAliases._get_all_param_aliases().items()
        for alias in [name, *aliases]
    }


def _number_or_truth(value: Any) -> Any:
    return as_read(value) if is_truth(value) else as_number(value)


def _lightgbm_refusal(name: str, value: Any) -> str:
    import lightgbm
    import numpy as np

    # LightGBM checks every value when it makes a data set: now, and not after the download.
    settings = {"objective": "multiclass", "num_class": 2, "verbosity": -1, name: value}
    try:
        lightgbm.Dataset(np.arange(20.0)[:, None], params=settings).construct()
    except (lightgbm.basic.LightGBMError, TypeError) as error:
        return re.sub(r" at /.*", "", str(error).strip())
    return ""


def _lightgbm_conflict(given: Mapping[str, Any]) -> str:
    """Say what early stopping cannot do: by no metric, or where later rounds change earlier trees
    (DART)."""
    if not given.get("early_stopping_round", 0) > 0:
        return ""
    key = "early_stopping_round: "
    if given.get("boosting") == "dart":
        return (
            f"{key}boosting: dart goes on changing its trees, so that no round is the best one. "
            "Remove one of them"
        )
    if str(given.get("metric", "")).lower() in ("none", "null", "na", "custom"):
        return f"{key}metric: {given['metric']} leaves nothing to stop by. Remove one of them"
    return ""


def _text_number_or_truth(value: Any) -> Any:
    return value if value is None or isinstance(value, str) else _number_or_truth(value)


_MATES: Mapping[str, dict[str, Any]] = {
    "max_samples": {"bootstrap": True},
    "l1_ratio": {"solver": "saga"},
}
"""What parameters of scikit-learn need beside them."""


def _scikit_learn(title: str, module: str, defaults: Mapping[str, Any], *left_out: str) -> Any:
    """Return the parameters of a classifier of scikit-learn's, less those left out."""

    def classifier() -> Any:
        from importlib import import_module

        return getattr(import_module(f"sklearn.{module}"), title)

    fixed = ("class_weight", "n_jobs", "random_state", "verbose", "warm_start", *left_out)

    def names() -> Mapping[str, str]:
        return {name: name for name in classifier()().get_params() if name not in fixed}

    def refusal(name: str, value: Any) -> str:
        import numpy as np

        # scikit-learn checks every value when it fits: now, and not after the download.
        values, labels = np.arange(12.0, dtype=np.float32)[:, None], np.arange(12) % 2
        few: dict[str, Any] = {"n_estimators": 1} if "n_estimators" in names() else {}
        mates = _MATES.get(name, {})
        try:
            classifier()(**(few | mates | {name: value})).fit(values, labels)
        except (ValueError, TypeError) as error:
            return str(error).strip().rstrip(".")
        return ""

    return Parameters(
        f"scikit-learn's {title}", defaults, names, fixed, _text_number_or_truth, refusal
    )


_WHOLE = {
    "epochs": 10_000, "batch_size": 1 << 20, "filters": 4096, "kernel_size": 365, "units": 65_536,
    "channels": 4096, "heads": 256, "key_size": 256,
}  # fmt: skip
"""Whole numbers from 1 to these."""


def _network(title: str, method: str) -> Parameters:
    """Return the parameters of a network."""
    defaults = NETWORK_DEFAULTS[method]

    def refusal(name: str, value: Any) -> str:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return "it is no number"
        if (most := _WHOLE.get(name)) is not None:
            whole = isinstance(value, int) and 1 <= value <= most
            return "" if whole else f"it is a whole number from 1 to {most}"
        if name == "dropout":
            return "" if 0 <= value < 1 else "it is from 0 to below 1"
        least = 0.0 if name == "weight_decay" else 1e-9
        return "" if least <= value <= 1 else f"it is from {least:g} to 1"

    def conflict(given: Mapping[str, Any]) -> str:
        both = {**defaults, **given}
        if method != "ltae" or both["channels"] % both["heads"] == 0:
            return ""
        return (
            f"channels: {both['channels']} channels cannot be dealt to {both['heads']} heads. Give "
            "a multiple"
        )

    return Parameters(
        title,
        defaults,
        lambda: {name: name for name in defaults},
        ("seed", "num_threads"),
        _number_or_truth,
        refusal,
        conflict,
    )


_TREES_FIXED = ("monotonic_cst", "oob_score")
PARAMETERS: Mapping[str, Parameters] = {
    "lightgbm": Parameters(
        "LightGBM",
        LIGHTGBM_DEFAULTS,
        lightgbm_parameters,
        LIGHTGBM_FIXED,
        _number_or_truth,
        _lightgbm_refusal,
        _lightgbm_conflict,
    ),
    "random_forest": _scikit_learn(
        "RandomForestClassifier", "ensemble", TREE_DEFAULTS, *_TREES_FIXED
    ),
    "extra_trees": _scikit_learn("ExtraTreesClassifier", "ensemble", TREE_DEFAULTS, *_TREES_FIXED),
    "discriminant": Parameters("the discriminant, which has none"),
    "logistic": _scikit_learn(
        "LogisticRegression", "linear_model", LOGISTIC_DEFAULTS, "dual", "intercept_scaling",
        "multi_class", "penalty", "fit_intercept",
    ),
    "tempcnn": _network("TempCNN", "tempcnn"),
    "ltae": _network("L-TAE", "ltae"),
}  # fmt: skip
"""By method."""
METHODS = (*PARAMETERS, "combined")


def checked_model(model: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the section with parameters under their main names. Raises ValueError naming the
    key."""
    if PATH in model or CARD in model:
        return _checked_files(model)
    method = model.get(METHOD, MODEL_METHOD)
    if method not in METHODS:
        raise ValueError(
            f"{METHOD}: {method!r} is none of {', '.join(METHODS)}."
            f"{nearest(str(method), list(METHODS))}"
        )
    chosen = {METHOD: method} if METHOD in model else {}
    if REGIONS in model:
        chosen[REGIONS] = _checked_regions(model[REGIONS])
    given = {key: value for key, value in model.items() if key not in (METHOD, OF, REGIONS)}
    if OF in model:
        if method != "combined":
            raise ValueError(f"{OF}: belongs to {METHOD}: combined, and the method is {method}")
        if given:
            raise ValueError(
                f"{next(iter(given))}: where {OF} is given, parameters stand in it: {OF}: "
                "{lightgbm: {num_leaves: 15}, discriminant: 1}"
            )
        return {**chosen, OF: _checked_members(model[OF])}
    of = PARAMETERS["lightgbm" if method == "combined" else method]
    for key in given:
        known = key in of.names() or key in of.fixed
        if method != "lightgbm" and key in lightgbm_parameters() and not known:
            raise ValueError(
                f"{key}: is of LightGBM, which {METHOD}: {method} does without. Remove it, "
                f"or choose {METHOD}: combined"
            )
    return {**chosen, **of.checked(given)}


def _checked_files(model: Mapping[Any, Any]) -> dict[str, Any]:
    """Return the files of a model that was trained elsewhere. Raises ValueError naming the key."""
    for key in model:
        if key not in (PATH, CARD):
            raise ValueError(f"{key}: the model of {PATH} is trained already. Remove one of them")
    for key, what in ((PATH, "the model's file"), (CARD, "its card, with classes and features")):
        if not isinstance(model.get(key), str) or not model[key].strip():
            raise ValueError(f"{key}: there is none. Give the path of {what}")
    ending = PurePath(model[PATH]).suffix.lower()
    if ending not in MODEL_FILES:
        raise ValueError(
            f"{PATH}: {model[PATH]} is none of {', '.join(MODEL_FILES)}. A pickle runs what is in "
            "it, and is not read: give LightGBM's text (Booster.save_model), or export it to ONNX"
        )
    return {PATH: model[PATH], CARD: model[CARD]}


def _checked_regions(regions: Any) -> dict[str, Any]:
    """Return the file, the attribute and the blending distance. Raises ValueError naming the
    key."""
    keys = (PATH, "attribute", "blend")
    if not isinstance(regions, Mapping):
        raise ValueError(
            f"{REGIONS}: {regions!r} is no mapping. Write {REGIONS}: {{path: regions.gpkg, "
            "attribute: name, blend: 1000}"
        )
    for key in regions:
        if key not in keys:
            raise ValueError(f"{REGIONS}.{key}: is not known.{nearest(str(key), keys)}")
    what = {PATH: "a vector file of polygons", "attribute": "the attribute that names a region"}
    for key, needed in what.items():
        if not isinstance(regions.get(key), str) or not regions[key].strip():
            raise ValueError(f"{REGIONS}.{key}: there is none. Give {needed}")
    try:
        blend = as_number(regions.get("blend", REGIONS_BLEND))
    except ValueError as error:
        raise ValueError(f"{REGIONS}.blend: {error}") from None
    if isinstance(blend, bool) or not isinstance(blend, int | float) or not 1 <= blend <= 1e6:
        raise ValueError(
            f"{REGIONS}.blend: {blend!r} is no number of metres from 1 to 1000000, over which the "
            "models of two regions blend on either side of their border"
        )
    return {PATH: regions[PATH], "attribute": regions["attribute"], "blend": float(blend)}


def _checked_members(members: Any) -> dict[str, Any]:
    """Return the weight and the parameters that are given of each method. Raises ValueError naming
    the key."""
    if not isinstance(members, Mapping) or len(members) < 2:
        raise ValueError(
            f"{OF}: {members!r} is not two methods or more with a weight each. Write {OF}: "
            "{lightgbm: 1, discriminant: 1}"
        )
    found: dict[str, Any] = {}
    for method, given in members.items():
        if method not in PARAMETERS:
            raise ValueError(
                f"{OF}.{method}: is none of {', '.join(PARAMETERS)}."
                f"{nearest(str(method), list(PARAMETERS))}"
            )
        told = dict(given) if isinstance(given, Mapping) else {WEIGHT: given}
        try:
            weight = as_number(told.pop(WEIGHT, 1))
        except ValueError as error:
            raise ValueError(f"{OF}.{method}.{WEIGHT}: {error}") from None
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight < 1e9:
            raise ValueError(f"{OF}.{method}: the weight {weight!r} is no number above 0")
        found[method] = {WEIGHT: weight, **PARAMETERS[method].checked(told, f"{OF}.{method}.")}
    return found


def networks(model: Mapping[str, Any]) -> list[str]:
    """Return the networks that read series, of what classifies."""
    of = model.get(OF) or (model_method(model),)
    return [method for method in of if method in NETWORK_DEFAULTS]


def model_method(model: Mapping[str, Any]) -> str:
    """Return what classifies."""
    found: str = TRAINED_ELSEWHERE if PATH in model else model.get(METHOD, MODEL_METHOD)
    return found


def model_parameters(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters of the method over its defaults; of LightGBM where it is combined with
    a discriminant; none where `model_members` has them."""
    method = model_method(model)
    if PATH in model or model_members(model):
        return {}
    given = {name: value for name, value in model.items() if name not in (METHOD, OF, REGIONS)}
    return {**PARAMETERS["lightgbm" if method == "combined" else method].defaults, **given}


def model_members(model: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the weight and all parameters of each method that is combined, by method; nothing
    where that is LightGBM and a discriminant, as by default."""
    members: Mapping[str, Mapping[str, Any]] = model.get(OF, {})
    usual = {method: {WEIGHT: weight} for method, weight in _COMBINED_BY_DEFAULT.items()}
    if members == usual:
        return {}
    return {method: {**PARAMETERS[method].defaults, **one} for method, one in members.items()}
