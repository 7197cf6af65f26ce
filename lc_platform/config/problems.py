"""The problems of a configuration in plain words, one line each."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from lc_platform.errors import PlatformError


class ConfigError(PlatformError, ValueError):
    """The configuration is not usable; the message names the keys, one a line."""


def nearest(name: str, valid: Sequence[str]) -> str:
    """Return a hint at the valid name that is nearest, empty where none is near."""
    close = difflib.get_close_matches(name, valid, n=1, cutoff=0.5)
    return f" Did you mean {close[0]}?" if close else ""


def _key(location: Sequence[int | str]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return path


def _annotation_at(root: type[BaseModel], location: Sequence[int | str]) -> Any:
    """Return the type that is expected at a location, None where there is no such key."""
    annotation: Any = root
    for part in location:
        annotation = _unwrapped(annotation)
        if isinstance(part, int):
            annotation = next((a for a in get_args(annotation) if a is not Ellipsis), None)
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            if part not in annotation.model_fields:
                return None
            annotation = annotation.model_fields[part].annotation
        else:
            return None
    return _unwrapped(annotation)


def _unwrapped(annotation: Any) -> Any:
    if get_origin(annotation) is Annotated:
        return _unwrapped(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return _unwrapped(next(a for a in get_args(annotation) if a is not type(None)))
    return annotation


def _keys_of(annotation: Any) -> list[str]:
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return list(annotation.model_fields) if is_model else []


def shown(value: Any) -> str:
    """Return a value as it stands in a message, not too long."""
    if value is None:
        return "nothing"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


_EXPECTED: Mapping[str, str] = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "dict_type": "a section of keys and values",
    "model_type": "a section of keys and values",
    "tuple_type": "a list",
}
"""What to call the type that pydantic expected."""
_LIMITS: Mapping[str, tuple[str, str]] = {
    "greater_than": ("gt", "is not above"),
    "greater_than_equal": ("ge", "is below"),
    "less_than": ("lt", "is not below"),
    "less_than_equal": ("le", "is above"),
}


def _description(problem: Any, annotation: Any) -> str:
    """Return what is wrong with a value, and what to write instead, without a full stop."""
    kind, value, context = problem["type"], problem["input"], problem.get("ctx", {})
    if kind == "value_error":
        return str(problem["msg"]).removeprefix("Value error, ").rstrip(".")
    if kind in _LIMITS:
        limit, words = _LIMITS[kind]
        bound = context[limit]
        advice = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}[limit]
        return f"{shown(value)} {words} {bound:g}. Give a number that is {advice} {bound:g}"
    if kind == "literal_error":
        choices = [str(c) for c in get_args(annotation)]
        hint = nearest(str(value).lower(), choices)
        text = f"{shown(value)} is not known. It is one of {', '.join(choices)}"
        return f"{text}.{hint}" if hint else text
    if kind == "string_pattern_mismatch":
        return f"{shown(value)} is not allowed. Take letters, digits, _ and -"
    if kind == "string_too_short":
        return "the text is empty. Write at least one letter"
    if kind in ("too_short", "too_long", "missing"):
        count = len(get_args(annotation))
        wanted = "at least one entry" if Ellipsis in get_args(annotation) else f"{count} numbers"
        return f"{shown(value)} has {len(value)}. Give {wanted}"
    expected = _EXPECTED.get(kind)
    if expected is None:
        return f"{shown(value)} does not fit: {problem['msg']}"
    text = f"{shown(value)} is not {expected}"
    if kind == "string_type" and isinstance(value, int | float):
        return f'{text}. Put it in quotes: "{value}"'
    if (
        kind == "tuple_type"
        and isinstance(value, str | int | float)
        and Ellipsis in get_args(annotation)
    ):
        return f"{text}. Write [{value}]"
    if kind == "tuple_type" and Ellipsis not in get_args(annotation):
        return f"{text} of {len(get_args(annotation))} numbers. Write for example " + (
            "[25, 17]" if len(get_args(annotation)) == 2 else "[13.3, 45.4, 16.6, 46.9]"
        )
    if keys := _keys_of(annotation):
        return f"{text}. Its keys are {', '.join(keys)}"
    return f"{text}. Write one" if expected != "text" else text


def problems(error: ValidationError, root: type[BaseModel]) -> list[str]:
    """Return a line for every problem: the key, what is wrong with it, what to do."""
    lines: list[str] = []
    found = error.errors()
    deeper = {p["loc"][:n] for p in found for n in range(len(p["loc"]))}
    for problem in found:
        kind, location = problem["type"], list(problem["loc"])
        if kind == "too_short" and problem["loc"] in deeper:
            continue
        if kind == "missing" and isinstance(location[-1], int):
            location = location[:-1]
        key = _key(location)
        if kind in ("extra_forbidden", "invalid_key"):
            valid = _keys_of(_annotation_at(root, location[:-1]))
            key = _key([*location[:-1], str(location[-1])])
            hint = nearest(str(location[-1]), valid) or f" Keys here are {', '.join(valid)}."
            lines.append(f"{key}: this key is not known.{hint}")
        elif kind == "missing" and key == _key(problem["loc"]):
            lines.append(f"{key}: this key is missing. Give it.")
        else:
            text = _description(problem, _annotation_at(root, location))
            # A whole section's check starts with the key inside the section.
            inner = re.match(r"[A-Za-z_]+(\[\d+\])?(\.[A-Za-z_]+)*(?=: )", text)
            joint = "." if key and inner else ": " if key else ""
            lines.append(f"{key}{joint}{text}" + ("" if text.endswith("?") else "."))
    return list(dict.fromkeys(lines))
