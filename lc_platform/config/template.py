"""The commented configuration that `lc-platform init` writes: every key that the schema has.

A source's file in `templates` holds what is chosen for it; descriptions, defaults and the other
keys, commented out, come from the schema. Its comments are the head, but for one above a key that
is answered.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import yaml

from lc_platform.config.keys import EXAMPLES, Key, keys_of, written

_HEAD = """\
# Every key is here. What is commented out has its default value, or is an example of what may be
# given; relative paths are relative to this file.
"""
_COLUMN, _WIDTH = 36, 100
"""Where descriptions begin and end."""


def template(source: str, answers: Mapping[str, Any] | None = None) -> str:
    """Return the commented configuration of a source.

    answers  keys in place of those that the source's file has; a section replaces a section whole
    """
    chosen = _chosen(source)
    given = yaml.safe_load(chosen)
    if source != "simulated":  # whose classes are its landscape's
        given["reference"]["classes"] = EXAMPLES["reference.classes"]
    given |= answers or {}
    head = "".join(
        comment
        for comment, key in re.findall(r"((?:^#.*\n)+)(?:(\w+):)?", chosen, re.MULTILINE)
        if key not in (answers or {})
    )
    lines: list[str] = []
    for key in keys_of():
        if not key.is_required or key.section is not None:
            lines.append("")
        lines += _Entry(key).lines(given)
    return head + _HEAD + "\n".join(lines) + "\n"


def is_of_other_ground(source: str, reference: str) -> bool:
    """Whether a reference, as ``reference.path`` names it, is of other ground than the imagery:
    that of the simulated archive is invented, and its own reference is none, or the file that is
    written beside its template.

    source  the archive, as ``imagery.source`` names it
    """
    return source == "simulated" and reference not in ("", _simulated_reference())


@cache
def _simulated_reference() -> str:
    return str(yaml.safe_load(_chosen("simulated"))["reference"]["path"])


def _chosen(source: str) -> str:
    return (resources.files("lc_platform") / "templates" / f"{source}.yaml").read_text("utf-8")


class _Entry:
    """A key of the schema, as it is written."""

    def __init__(self, key: Key) -> None:
        self._key = key
        self._description = key.description
        choices = key.choices
        if choices and not all(re.search(rf"\b{one}\b", self._description) for one in choices):
            self._description += f" One of {', '.join(choices)}."

    def lines(self, given: Any, indent: str = "", mark: str = "") -> Iterator[str]:
        """Yield the lines of a key.

        given   the section that it is in, where it is chosen
        indent  in front of the mark of a comment, and behind it where there is one
        """
        key = self._key
        chosen = isinstance(given, Mapping) and key.name in given
        value = given[key.name] if chosen else None
        if not chosen and not mark:
            indent, mark = "", indent + "# "
        elif not chosen and key.has_nothing and not key.is_required:
            indent, mark = "", mark + indent + "# "
        if key.section is None:
            usual = EXAMPLES.get(key.path, key.default) if key.has_nothing else key.default
            yield from self._leaf(value if chosen else usual, chosen, indent, mark)
        elif key.is_list:
            yield from self._list(value or EXAMPLES.get(key.path) or [{}], indent, mark)
        else:
            yield from _described(f"{mark}{indent}{key.name}:", self._description, mark)
            yield from self._keys(value, indent + "  ", mark)

    def _keys(self, given: Any, indent: str, mark: str) -> Iterator[str]:
        for key in self._key.keys:
            yield from _Entry(key).lines(given, indent, mark)

    def _list(self, items: Sequence[Any], indent: str, mark: str) -> Iterator[str]:
        """Yield the first section of a list with its keys described, the others in a line each."""
        yield from _described(f"{mark}{indent}{self._key.name}:", self._description, mark)
        first, *others = items
        keys = list(self._keys(first, indent + "    ", mark))
        start = len(mark) + len(indent) + 2
        yield keys[0][:start] + "- " + keys[0][start + 2 :]
        yield from keys[1:]
        yield from (f"{mark}{indent}  - {written(one)}" for one in others)

    def _leaf(self, value: Any, chosen: bool, indent: str, mark: str) -> Iterator[str]:
        description = self._description
        default = self._key.default
        if chosen and default not in (None, (), "") and written(value) != written(default):
            description += f" {written(default)} by default."
        yield from _described(
            f"{mark}{indent}{self._key.name}: {written(value)}".rstrip(), description, mark
        )


def _described(line: str, description: str, mark: str) -> Iterator[str]:
    """Yield a line and its description beside it, going on below."""
    if not description:
        yield line
        return
    column = max(_COLUMN, len(line) + 2)
    first, *rest = textwrap.wrap(
        description,
        max(_WIDTH - column - 2, 30),
        break_long_words=False,
        break_on_hyphens=False,
    )
    yield f"{line:{column}}# {first}"
    if rest:
        for more in textwrap.wrap(
            " ".join(rest), _WIDTH - _COLUMN - 2, break_long_words=False, break_on_hyphens=False
        ):
            yield f"{mark:{_COLUMN}}# {more}"
