"""What a key of the configuration is, what it may be, and which artefacts depend on it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from lc_platform import assets
from lc_platform.artefacts.versions import Versions
from lc_platform.config import PARAMETERS, Config, ConfigError, parse
from lc_platform.config.effective import effective
from lc_platform.config.keys import EXAMPLES, Key, every_key, written
from lc_platform.config.problems import nearest
from lc_platform.errors import PlatformError
from lc_platform.platform import Platform

_MODEL = "model."
_IMPOSSIBLE = (PlatformError, ValueError, TypeError, LookupError, AttributeError)
"""What a value may meet that does not fit the others."""


@dataclass(frozen=True)
class Explanation:
    """What is to be said of a key. Values are as they are written in the file."""

    key: str
    description: str
    type: str
    limits: str
    """Of a number, in words."""
    unit: str
    choices: tuple[str, ...]
    """The words that it may be, where it is one of several."""
    required: bool
    default: str
    """Empty where there is none."""
    example: str
    value: str
    """As the configuration has it."""
    keys: tuple[str, ...]
    """Of a section, its keys in full."""
    data: tuple[str, ...]
    """The assets whose data depend on it, by their own options."""
    appearance: tuple[str, ...]
    """Those of which only the appearance does."""
    downstream: tuple[str, ...]
    """Those that are made of what is in `data`."""
    compared: bool
    """Whether another value was found to find that out."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def explain(name: str, config: Config) -> Explanation:
    """Return what is to be said of a key.

    name    in full, such as imagery.max_cloud_cover; places in lists may be left out
    config  the configuration that says of what artefacts depend
    Raises ConfigError, with the nearest names, where there is no such key.
    """
    path = re.sub(r"\[\d*\]", "", name.strip())
    key = every_key().get(path)
    if key is None:
        return _parameter(path, config)
    own, appearance, compared = ((), (), False) if key.section else _dependent(key, config)
    made = _made_of(own)
    return Explanation(
        key=path,
        description=key.description,
        type=key.type,
        limits=key.limits,
        unit=key.unit,
        choices=tuple(key.choices),
        required=key.is_required,
        default="" if key.section or key.has_nothing else written(key.default),
        example="" if key.section or key.example is None else written(key.example),
        value="" if key.section else _written_in(config, path),
        keys=tuple(one.path for one in key.keys),
        data=own,
        appearance=tuple(one for one in appearance if one not in made),
        downstream=made,
        compared=compared,
    )


def _written_in(config: Config, path: str) -> str:
    found: Any = effective(config)
    for part in path.split("."):
        if isinstance(found, list):
            found = found[0] if found else {}
        found = found.get(part) if isinstance(found, Mapping) else None
    return written(found)


def _parameter(path: str, config: Config) -> Explanation:
    """Return what is to be said of a parameter of a method of classification."""
    name = path.removeprefix(_MODEL)
    of = {m: one for m, one in PARAMETERS.items() if path != name and name in one.names()}
    if not of:
        raise ConfigError(_unknown(path))
    main = {method: one.names()[name] for method, one in of.items()}
    defaults = [
        f"{written(one.defaults[main[method]], exact=True)} of {method}"
        for method, one in of.items()
        if main[method] in one.defaults
    ]
    given = config.model_parameters.get(next(iter(main.values())))
    made = ("model",)
    return Explanation(
        key=path,
        description=f"A parameter of {', '.join(one.of for one in of.values())}; their "
        "documentation says what it does.",
        type="text, number or truth value",
        limits="",
        unit="",
        choices=(),
        required=False,
        default=", ".join(defaults),
        example="",
        value=written(given, exact=True),
        keys=(),
        data=made,
        appearance=(),
        downstream=_made_of(made),
        compared=True,
    )


def _unknown(path: str) -> str:
    paths = [*every_key()]
    alike = [one for one in paths if one.rpartition(".")[2] == path.rpartition(".")[2]]
    if alike:
        return f"{path}: this key is not known. Did you mean {' or '.join(alike)}?"
    section, _, name = path.rpartition(".")
    within = {one.rpartition(".")[2]: one for one in paths if one.rpartition(".")[0] == section}
    close = nearest(name, [*within]) if within else nearest(path, paths)
    hint = re.sub(r"mean (\S+)\?", lambda one: f"mean {within.get(one[1], one[1])}?", close)
    there = [*within.values()] or [one for one in paths if "." not in one]
    return f"{path}: this key is not known." + (hint or f" There are {', '.join(there)}.")


def _dependent(key: Key, config: Config) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """Return the assets whose own options another value of a key changes: in what counts towards
    their data, and in what counts towards their appearance alone; and whether another value was
    found."""
    data: set[str] = set()
    appearance: set[str] = set()
    compared = False
    unchanged, several = _changed(key, config)
    try:
        before = _counted(unchanged) if several else {}
    except _IMPOSSIBLE:
        several = []
    for changed in several:
        try:
            after = _counted(changed)
        except _IMPOSSIBLE:
            continue
        compared = True
        data |= {a for a in after if after[a][0] != before[a][0]}
        appearance |= {a for a in after if after[a][1] != before[a][1]}
    order = [asset.name for asset in assets.ALL]
    return (
        tuple(a for a in order if a in data),
        tuple(a for a in order if a in appearance - data),
        compared,
    )


def _counted(config: Config) -> dict[str, tuple[Any, Any]]:
    """Return what counts of each asset's own options: towards the data, towards the appearance."""
    specs = [asset.recipe for asset in assets.ALL]
    versions: Versions = Platform(config, specs).versions
    return {
        spec.asset: (
            [versions.settings(spec, year)[0] for year in (None, *config.years)],
            versions.settings(spec)[1],
        )
        for spec in specs
    }


def _changed(key: Key, config: Config) -> tuple[Config, list[Config]]:
    """Return a configuration, and those that differ from it in a key alone, or in a section that
    is there for it: such as load, and where there are none, such as would not."""
    parts = key.path.split(".")
    data = {name: one for name, one in effective(config).items() if one is not None}
    others = list(_others(key, _within(data, parts)))
    written_out = parse(data, config.folder)
    loaded = []
    for value in others:
        with suppress(ConfigError):
            loaded.append(parse(_with(data, parts, value), config.folder))
    if loaded:
        return written_out, loaded
    copies = [_copied(config, parts, value) for value in others]
    return config, [copy for copy in copies if copy is not None]


def _within(data: Any, parts: Sequence[str]) -> Any:
    for part in parts:
        if isinstance(data, list):
            data = data[0] if data else None
        data = data.get(part) if isinstance(data, Mapping) else None
    return data


def _with(data: Any, parts: Sequence[str], value: Any, above: str = "") -> Any:
    """Return nested mappings with another value; of a list, in its first entry. A section that is
    not there has what has to be given in it, as in the examples."""
    if isinstance(data, list):
        first, *rest = data or [None]
        return [_with(first, parts, value, above), *rest]
    section = every_key().get(above)
    own = dict(data) if isinstance(data, Mapping) else {
        key.name: EXAMPLES[key.path]
        for key in (section.keys if section is not None else ())
        if key.is_required and key.path in EXAMPLES
    }  # fmt: skip
    name, *inner = parts
    path = f"{above}.{name}" if above else name
    own[name] = _with(own.get(name), inner, value, path) if inner else value
    return own


def _copied(model: Any, parts: Sequence[str], value: Any) -> Any:
    """Return a section with another value that is not checked; None where there is no such
    section."""
    if isinstance(model, tuple):
        return (_copied(model[0], parts, value), *model[1:]) if model else None
    if model is None:
        return None
    name, *inner = parts
    found = _copied(getattr(model, name), inner, value) if inner else value
    return None if inner and found is None else model.model_copy(update={name: found})


def _others(key: Key, value: Any) -> Iterator[Any]:
    """Yield values that a key may have in place of one."""
    example = EXAMPLES.get(key.path)
    candidates: list[Any] = [one for one in key.choices if one != value]
    if isinstance(value, bool) or (value is None and key.type == "true or false"):
        candidates += [True, False]
    elif isinstance(value, int | float):
        candidates += [value + 1, value * 2, value - 1, value / 2, 0.5]
    elif isinstance(value, list) and value:
        candidates += [value[:-1], [*value[1:], value[0]]]
        if all(isinstance(one, int | float) for one in value):
            candidates.append([one + 1 for one in value])
    elif isinstance(value, str) and not key.choices:
        candidates += [f"{value}_other", "other"]
    elif value == [] and key.type == "list of text":
        candidates.append(["other"])
    elif value is None and key.type.startswith("text"):
        candidates.append("other")
    if example is not None:
        candidates.append(example)
    yield from _distinct(candidates, value)


def _distinct(candidates: Collection[Any], value: Any) -> Iterator[Any]:
    seen = [value]
    for one in candidates:
        if one not in seen:
            seen.append(one)
            yield one


def _made_of(own: Collection[str]) -> tuple[str, ...]:
    """Return the assets that are made of some, of what is made of them, and so on, in the order of
    the work."""
    reached = set(own)
    for asset in assets.ALL:
        if reached & set(asset.recipe.inputs):
            reached.add(asset.name)
    return tuple(one.name for one in assets.ALL if one.name in reached and one.name not in own)
