"""What version an artefact should have, and which artefacts have it.

A version is made of the asset's code version, the options it depends on, and the versions of what
it is made from as they are recorded in the store: so a change makes stale exactly what depends on
it, and what is made again in the same way makes nothing stale.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from lc_platform.area.grid import Patch, PatchGrid
from lc_platform.artefacts.layout import Partition, dimensions, key
from lc_platform.artefacts.records import Records, Version
from lc_platform.config.options import Options

NOTHING = "0"
"""Stands for what came from outside, where nothing does."""
_MADE, _GIVEN, _LOOK = 16, 12, 8
_SHOWN = 3


@dataclass(frozen=True)
class VersionSpec:
    """What an asset's version is made of."""

    asset: str
    code: str
    inputs: tuple[str, ...] = ()
    options: Callable[[Any], Options | None] | None = None
    """Gives the options of a platform; None where the asset depends on none."""
    evidence: Callable[[Any, int], Sequence[int]] | None = None
    """Gives the years whose patches an artefact of a year is made of, of a platform; none where
    there is no artefact of that year. None where every year is made of its own."""


class Expected(NamedTuple):
    """A version, and what the record says of it."""

    version: Version
    content: Mapping[str, Any]


class State(NamedTuple):
    """How an artefact stands."""

    kind: Literal["current", "stale", "missing"]
    why: str = ""
    """Of a stale one."""
    in_look_only: bool = False
    """Whether a stale one has the data that it should have."""


class Versions:
    """The versions of a store under a configuration.

    options  gives what an asset depends on beside its inputs
    grid     the patch grid; raises where there is none
    evidence the years that an artefact of a year is made of, see `VersionSpec`
    """

    def __init__(
        self,
        records: Records,
        recipes: Sequence[VersionSpec],
        options: Callable[[VersionSpec], Options | None],
        grid: Callable[[], PatchGrid],
        evidence: Callable[[VersionSpec, int], Sequence[int]] = lambda _, year: (year,),
    ) -> None:
        self.records = records
        self.recipes = {recipe.asset: recipe for recipe in recipes}
        self.options = options
        self.grid = grid
        self._evidence = evidence

    def evidence(self, asset: str, year: int) -> Sequence[int]:
        """Return the years whose patches an artefact of a year is made of; none where there is no
        artefact of that year."""
        return self._evidence(self.recipes[asset], year)

    def years_of(self, asset: str, years: Sequence[int]) -> Sequence[int | None]:
        """Return the years that an asset's partitions are of; None alone where they are of none."""
        if "year" not in dimensions(asset):
            return (None,)
        return [year for year in years if self.evidence(asset, year)]

    def look(self) -> Snapshot:
        """The store as it is now."""
        return Snapshot(self)

    @property
    def fingerprint(self) -> str:
        """Names what of the configuration the artefacts' data depend on."""
        found: dict[str, Any] = {}
        for recipe in self.recipes.values():
            found |= self.settings(recipe)[0]
        return _digest(found, _MADE)

    def settings(
        self, recipe: VersionSpec, year: int | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """What an asset's data depend on beside its inputs, and what its appearance alone does: of
        a year's artefacts, or of all where None."""
        options = self.options(recipe)
        if options is None:
            return {}, {}
        if year is not None:
            options = options.of_year(year)
        return _plain(options.counted("data")), _plain(options.counted("appearance"))


class Snapshot:
    """What is recorded in the store, listed once when it is first asked for."""

    def __init__(self, versions: Versions) -> None:
        self._of = versions
        self._recorded: dict[tuple[str, int | None], Mapping[Partition, Version]] = {}
        self._own: dict[tuple[str, int | None], tuple[dict[str, Any], dict[str, Any]]] = {}
        self._states: dict[tuple[str, int | None], Mapping[Partition, State]] = {}
        self._outdated: dict[tuple[str, Partition], str] = {}

    def outdate(self, asset: str, reasons: Mapping[Partition, str]) -> None:
        """Have artefacts count as stale of which it is known that what they are made of outside has
        changed, before any states are asked for."""
        self._outdated |= {(asset, where): why for where, why in reasons.items()}

    @cached_property
    def _boxes(self) -> Mapping[str, str]:
        return {patch.key: _box(patch) for patch in self._of.grid().patches}

    @property
    def records(self) -> Records:
        return self._of.records

    def patches(self) -> list[str]:
        """The keys of the grid's patches, in its order."""
        return list(self._boxes)

    def places(self, asset: str, year: int | None) -> list[Partition]:
        """The partitions that an asset has in a year."""
        year = year if "year" in dimensions(asset) else None
        if year is not None and not self._of.evidence(asset, year):
            return []
        if "patch" in dimensions(asset):
            return [Partition(patch, year) for patch in self._boxes]
        return [Partition(None, year)]

    def years_of(self, asset: str, years: Sequence[int]) -> Sequence[int | None]:
        """Return the years that an asset's partitions are of; None alone where they are of none."""
        return self._of.years_of(asset, years)

    def evidence(self, asset: str, year: int) -> Sequence[int]:
        """Return the years whose patches an artefact of a year is made of; none where there is no
        artefact of that year."""
        return self._of.evidence(asset, year)

    def recorded(self, asset: str, year: int | None) -> Mapping[Partition, Version]:
        """The versions of those artefacts of a year that are there and have one."""
        year = year if "year" in dimensions(asset) else None
        if (asset, year) not in self._recorded:
            recorded = self._of.records.of_year(asset, year)
            keys = {where: key(asset, where.patch, where.year) for where in recorded}
            there = self._of.records.store.there(keys.values())
            self._recorded[asset, year] = {
                where: version for where, version in recorded.items() if keys[where] in there
            }
        return self._recorded[asset, year]

    def unrecorded(self, asset: str, year: int) -> int:
        """How many artefacts of a year, in a folder of their own, have no record."""
        folder = str(PurePosixPath(key(asset, "any", year)).parent)
        return max(0, len(self._of.records.store.names(folder)) - len(self.recorded(asset, year)))

    def expected(
        self,
        asset: str,
        where: Partition,
        given: str = NOTHING,
        loaded: Mapping[str, Collection[Partition]] | None = None,
    ) -> Expected:
        """The version that an artefact has when it is made now.

        given   names what comes from outside
        loaded  by asset, the partitions that what is of all patches is made of: those that are
                there where not given
        """
        recipe = self._of.recipes[asset]
        settings, appearance = self._settings(recipe, where.year)
        inputs = {
            name: self._input(recipe, name, where, None if loaded is None else loaded.get(name))
            for name in recipe.inputs
        }
        made = _digest_of_plain([recipe.code, settings, inputs], _MADE)
        version = Version(made, given, _digest_of_plain(appearance, _LOOK))
        content = {
            "asset": asset,
            "patch": where.patch,
            "year": where.year,
            "code": recipe.code,
            "settings": settings,
            "appearance": appearance,
            "inputs": inputs,
        }
        return Expected(version, content)

    def is_current(self, asset: str, where: Partition, expected: Version) -> bool:
        return self.recorded(asset, where.year).get(where) == expected

    def _settings(
        self, recipe: VersionSpec, year: int | None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        if (recipe.asset, year) not in self._own:
            self._own[recipe.asset, year] = self._of.settings(recipe, year)
        return self._own[recipe.asset, year]

    def _input(
        self,
        recipe: VersionSpec,
        asset: str,
        where: Partition,
        loaded: Collection[Partition] | None,
    ) -> str | dict[str, str]:
        """The versions of what an artefact is made from: one, or those of all patches."""
        wanted = dimensions(asset)
        if asset == "patch_grid" and where.patch is not None:
            return self._boxes.get(where.patch, "")  # a patch depends on its own box alone
        if "patch" in wanted and where.patch is None:
            found = {
                str(p.patch) if recipe.evidence is None else str(p): v.data
                for year in self._years(recipe, asset, where)
                for p, v in self.recorded(asset, year).items()
                if p.patch in self._boxes and (loaded is None or p in loaded)
            }
            return {patch: found[patch] for patch in sorted(found)}
        recorded, at = self.recorded(asset, where.year), where.within(wanted)
        return recorded[at].data if at in recorded else ""

    def _years(self, recipe: VersionSpec, asset: str, where: Partition) -> Sequence[int | None]:
        """The years of an input's patches that an artefact is made of."""
        if recipe.evidence is None or where.year is None or dimensions(asset) != {"patch", "year"}:
            return (where.year,)
        return self._of.evidence(recipe.asset, where.year)

    def states(self, asset: str, year: int | None) -> Mapping[Partition, State]:
        """How an asset's artefacts of a year stand: one that is made of what is stale is stale.

        Of what comes from outside an archive is not asked: its new acquisitions show when
        raw_bands is materialized.
        """
        year = year if "year" in dimensions(asset) else None
        if (asset, year) not in self._states:
            self._states[asset, year] = dict(self._stated(asset, year))
        return self._states[asset, year]

    def _stated(self, asset: str, year: int | None) -> Iterable[tuple[Partition, State]]:
        recorded = self.recorded(asset, year)
        differing: dict[Partition, Expected] = {}
        states: dict[Partition, State] = {}
        for where in self.places(asset, year):
            if where not in recorded:
                states[where] = State("missing")
                continue
            found = recorded[where]
            expected = self.expected(asset, where, found.given)
            if expected.version != found:
                differing[where] = expected
            elif why := self._outdated.get((asset, where)) or self._upstream(asset, where):
                states[where] = State("stale", why)
            else:
                states[where] = State("current")
        told = self._of.records.read(asset, {where: recorded[where] for where in differing})
        for where, expected in differing.items():
            why = _difference(told.get(where, {}), expected.content)
            same = expected.version.data == recorded[where].data
            if same and (more := self._upstream(asset, where)):
                same, why = False, f"{why}; {more}"
            states[where] = State("stale", why, same)
        return ((where, states[where]) for where in self.places(asset, year))

    def _upstream(self, asset: str, where: Partition) -> str:
        """Which inputs of an artefact are not as they should be."""
        reasons = []
        recipe = self._of.recipes[asset]
        for name in recipe.inputs:
            if name == "patch_grid" and where.patch is not None:
                continue
            if where.patch is not None and "patch" in dimensions(name):
                at = where.within(dimensions(name))
                states = {at: self.states(name, at.year)[at]}
            else:
                states = {
                    at: state
                    for year in self._years(recipe, name, where)
                    for at, state in self.states(name, year).items()
                }
            stale = [s for s in states.values() if s.kind == "stale" and not s.in_look_only]
            if stale:
                count = f"{len(stale)} of {len(states)} " if len(states) > 1 else ""
                reasons.append(f"{count}{name} stale")
        return "; ".join(reasons)


def _difference(was: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """What changed between a record and what it should be, in words."""
    reasons = []
    if was.get("code") != now["code"]:
        reasons.append(f"code version {was.get('code', 'unknown')}, now {now['code']}")
    for part in ("settings", "appearance"):
        before, after = was.get(part, {}), now[part]
        for name in {**after, **before}:
            if before.get(name) != after.get(name):
                reasons += _changes(name, before.get(name), after.get(name))
    for name, after in now["inputs"].items():
        before = was.get("inputs", {}).get(name)
        if before == after:
            continue
        if isinstance(after, dict) and isinstance(before, dict):
            changed = [p for p in {**before, **after} if before.get(p) != after.get(p)]
            reasons.append(
                f"{name} of {len(changed)} of {len({**before, **after})} patches changed"
            )
        else:
            reasons.append(f"{name} changed")
    return "; ".join(reasons) or "its record cannot be read"


def _changes(name: str, before: Any, after: Any) -> list[str]:
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [k for k in {**before, **after} if before.get(k) != after.get(k)]
        return [
            change for k in keys for change in _changes(f"{name}.{k}", before.get(k), after.get(k))
        ]
    words = [json.dumps(value) for value in (before, after)]
    if max(map(len, words)) > 40:
        return [f"{name} changed"]
    return [f"{name} was {words[0]}, is {words[1]}"]


def summary(states: Iterable[State]) -> str:
    """The commonest reasons why artefacts are stale, with how many each."""
    return commonest(state.why for state in states if state.kind == "stale")


def commonest(reasons: Iterable[str]) -> str:
    """The commonest of many reasons, with how many each."""
    counts: dict[str, int] = {}
    for reason in reasons:
        counts[reason] = counts.get(reason, 0) + 1
    most = sorted(counts.items(), key=lambda item: -item[1])
    shown = [f"{why} ({count})" if count > 1 else why for why, count in most[:_SHOWN]]
    return "; ".join([*shown, *(["..."] if len(most) > _SHOWN else [])])


def digest(value: Any) -> str:
    """Names what came from outside."""
    return _digest(value, _GIVEN)


def _digest(value: Any, length: int) -> str:
    return _digest_of_plain(_plain(value), length)


def _digest_of_plain(value: Any, length: int) -> str:
    """Return the digest of a value that is as JSON has it."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:length]


def _plain(value: Any) -> Any:
    """A value as JSON has it, so that it equals itself when it is read from a record."""
    if isinstance(value, BaseModel):
        return _plain(value.model_dump())
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return value


def _box(patch: Patch) -> str:
    grid = patch.geobox
    return _digest([str(grid.crs), list(grid.affine)[:6], list(grid.shape)], _MADE)
