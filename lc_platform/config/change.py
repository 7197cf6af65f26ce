"""The section `change`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import permutations
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator

from lc_platform.config.fields import Fraction, Number, Section, Text, Truth, fraction
from lc_platform.config.problems import nearest


def _classes(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Classes = Annotated[
    tuple[Text, ...], BeforeValidator(_classes, json_schema_input_type=Text | tuple[Text, ...])
]


class Change(Section):
    """The change of land cover from each year to the next, where there are several."""

    enabled: Truth = False
    """Whether `change` is made of every year but the first. It needs the probability of every
    class, which `predictions` keeps then."""
    forbidden: dict[Text, Classes] = Field(default_factory=dict)
    """Of a class, by name, those that it cannot be a year later."""
    rotations: tuple[Classes, ...] = ()
    """Groups of classes that follow one another on the same ground and are no change, such as
    crops."""
    rate: Number = Field(0.05, gt=0, lt=1)
    """Share of the ground that is expected to change in a year."""
    probability: Fraction = 0.3
    """The probability of a change, between 0 and 1, from which on it counts. Mistakes of the
    reference keep it low."""
    confirm: Truth = True
    """Whether a third year must confirm a change where there is one: the year after, and the year
    before the two."""
    series: Literal["none", "markov"] = "none"
    """markov: all years are made consistent by a hidden Markov model, so that a new year touches
    them all; none: each change is of its own years."""

    _units = field_validator("rate", "probability", mode="before")(fraction)

    def check_fits(self, classes: Mapping[int, str]) -> None:
        """Raises ValueError, beginning with the key, where rules do not fit the classes.

        classes  id -> name
        """
        ids = [*classes.values()]
        for name, others in self.forbidden.items():
            _known("change.forbidden", [name], ids)
            _known(f"change.forbidden.{name}", others, ids)
            if name in others:
                raise ValueError(
                    f"change.forbidden.{name}: {name} can always stay what it is. Remove it"
                )
        owner: dict[str, int] = {}
        for i, group in enumerate(self.rotations):
            key = f"change.rotations[{i}]"
            _known(key, group, ids)
            if len(set(group)) < 2:
                raise ValueError(f"{key}: a rotation is of two classes or more. Add one")
            for name in group:
                if name in owner:
                    where = "twice" if owner[name] == i else f"also in rotations[{owner[name]}]"
                    raise ValueError(f"{key}: {name} is {where}. Name it once")
                owner[name] = i
            for one, other in permutations(group, 2):
                if other in self.forbidden.get(one, ()):
                    raise ValueError(
                        f"change.forbidden.{one}: {other} follows {one} in rotations[{i}]. Remove "
                        "one of them"
                    )
        allowed = [
            (one, other)
            for one, other in permutations(ids, 2)
            if other not in self.forbidden.get(one, ())
            and not any(one in group and other in group for group in self.rotations)
        ]
        if self.enabled and not allowed:
            raise ValueError(
                "change.forbidden: the rules leave no change that could be found. Allow one, or "
                "set change.enabled to false"
            )


def _known(key: str, names: Iterable[str], classes: Collection[str]) -> None:
    for name in names:
        if name not in classes:
            hint = nearest(name, [*classes]) or f" The classes are {', '.join(classes)}."
            raise ValueError(f"{key}: {name} is no class of reference.classes.{hint}")
