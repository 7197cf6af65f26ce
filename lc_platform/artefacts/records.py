"""Beside the artefacts, a record of each: what its version is, and what it was made of.

A record's name tells the version, so that one listing of a folder tells those of all patches of a
year. It is taken away before its artefact changes and written after: an artefact without a record
is one whose making did not end, and is made again.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from lc_platform.area.grid import PATCH_KEY
from lc_platform.artefacts.layout import RECORDS, Partition, dimensions, key
from lc_platform.storage.errors import DamagedArtefactError, MissingArtefactError, StorageError
from lc_platform.storage.store import Store

WARNINGS = "warnings"
"""Of a record's content: what a person should look at in the artefact, by the name of what it is
of; absent where there is nothing."""


class Version(NamedTuple):
    """Names an artefact by how it was made; equal versions are equal artefacts."""

    made: str
    """Of code, settings and the versions of what it was made from."""
    given: str
    """Of what came from outside, such as an archive's acquisitions."""
    look: str
    """Of what changes its appearance only, such as colours."""

    @property
    def data(self) -> str:
        """What those that are made of it depend on."""
        return f"{self.made}{self.given}"


class Records:
    """The records of a store."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def of_year(self, asset: str, year: int | None) -> Mapping[Partition, Version]:
        """The versions of an asset's partitions of a year, of those that have one: by one
        listing."""
        found: dict[Partition, list[Version]] = {}
        at = Partition("any" if "patch" in dimensions(asset) else None, year)
        for name in self.store.names(str(PurePosixPath(_stem(asset, at)).parent)):
            stem, version = _parsed(name)
            if version is not None and (where := _place(asset, stem, year)) is not None:
                found.setdefault(where, []).append(version)
        # Two writers that met have left two records, and nobody knows whose artefact it is.
        return {where: versions[0] for where, versions in found.items() if len(versions) == 1}

    def write(
        self, asset: str, where: Partition, version: Version, content: Mapping[str, Any]
    ) -> None:
        self.store.put(_name(asset, where, version), json.dumps(content).encode())

    def read(
        self, asset: str, versions: Mapping[Partition, Version]
    ) -> Mapping[Partition, Mapping[str, Any]]:
        """The content of records; those that are gone meanwhile, or damaged, are left out."""
        names = {where: self.store.path(_name(asset, where, v)) for where, v in versions.items()}
        with self.store.reaching(str(self.store)):
            # Many at once, where the store can.
            texts = self.store.fs.cat_ranges(
                list(names.values()), [0] * len(names), [None] * len(names), on_error="return"
            )
            found = {}
            for where, text in zip(names, texts, strict=True):
                if isinstance(text, Exception) and not isinstance(text, FileNotFoundError):
                    raise text
                with contextlib.suppress(ValueError, TypeError):
                    found[where] = dict(json.loads(text))
            return found

    def damaged(self, asset: str, where: Partition, version: Version) -> str:
        """The path of a record that is no JSON object; empty where it is one, or is gone."""
        name = _name(asset, where, version)
        try:
            whole = isinstance(json.loads(self.store.read_bytes(name)), dict)
        except MissingArtefactError:
            return ""
        except ValueError:
            whole = False
        return "" if whole else self.store.path(name)

    @contextlib.contextmanager
    def changing(self, asset: str, where: Partition) -> Iterator[None]:
        """Without its record while an artefact is changed; it has it again where that fails and
        leaves the artefact as it was."""
        target = key(asset, where.patch, where.year)
        before = self.store.state(target)
        version = self.of(asset, where)
        content = self.read(asset, {where: version}) if version else {}
        self.forget(asset, where)
        try:
            yield
        except Exception:
            with contextlib.suppress(StorageError):  # what failed first is what is told
                if version and where in content and self.store.state(target) == before:
                    self.write(asset, where, version, content[where])
            raise

    def of(self, asset: str, where: Partition) -> Version | None:
        """The version of one artefact; None where it has none, or several."""
        names = list(self._named(PurePosixPath(_stem(asset, where))))
        if len(names) != 1:
            return None
        return _parsed(names[0])[1]

    def forget(self, asset: str, where: Partition) -> None:
        """Have an artefact made again, whatever its version was."""
        self._forget(_stem(asset, where))

    def _forget(self, named: str) -> None:
        stem = PurePosixPath(named)
        for name in self._named(stem):
            self.store.remove(str(stem.parent / name))

    def forget_damaged(self, error: BaseException) -> None:
        """Have made again what an error says is damaged."""
        if isinstance(error, DamagedArtefactError):
            self._forget(_stem_of(error.key))

    def _named(self, stem: PurePosixPath) -> Iterable[str]:
        return [
            name
            for name in self.store.files(str(stem.parent), f"{stem.name}.")
            if _parsed(name)[0] == stem.name
        ]


_SUFFIX = ".json"


def _stem(asset: str, where: Partition) -> str:
    return _stem_of(key(asset, where.patch, where.year))


def _stem_of(key: str) -> str:
    return f"{RECORDS}/{PurePosixPath(key).with_suffix('')}"


def _name(asset: str, where: Partition, version: Version) -> str:
    return f"{_stem(asset, where)}.{'.'.join(version)}{_SUFFIX}"


def _parsed(name: str) -> tuple[str, Version | None]:
    """What a record's name begins with, and the version in it; None where it is no record's."""
    stem, *parts = name.removesuffix(_SUFFIX).rsplit(".", 3)
    return stem, Version(*parts) if len(parts) == 3 else None


def _place(asset: str, stem: str, year: int | None) -> Partition | None:
    """Whose record it is; None for another year's."""
    wanted = dimensions(asset)
    if "patch" in wanted:
        if not PATCH_KEY.fullmatch(stem):
            return None
        return Partition(stem, year if "year" in wanted else None)
    here = Partition(None, year if "year" in wanted else None)
    return here if stem == PurePosixPath(_stem(asset, here)).name else None
