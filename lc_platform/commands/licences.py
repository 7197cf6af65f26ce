"""The licences of what is installed with the platform, as the packages themselves say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

PLATFORM = "lc-platform"
UNKNOWN = "not stated"
_LONGEST = 60
"""Letters of a licence's name; what is longer is its text."""
_TEXTS = (
    ("GNU AFFERO GENERAL PUBLIC LICENSE", "AGPL"),
    ("GNU LESSER GENERAL PUBLIC LICENSE", "LGPL"),
    ("GNU GENERAL PUBLIC LICENSE", "GPL"),
    ("Mozilla Public License Version 2.0", "MPL-2.0"),
    ("Attribution-ShareAlike 4.0 International", "CC-BY-SA-4.0"),
    ("Apache License", "Apache-2.0"),
    ("Permission is hereby granted, free of charge", "MIT"),
    ("Redistribution and use in source and binary forms", "BSD"),
)
"""Words of a licence's text, and its name."""
_FILE = re.compile(r"(^|/)(LICEN[CS]E|COPYING)[^/]*$", re.IGNORECASE)


@dataclass(frozen=True)
class Licensed:
    """An installed package."""

    package: str
    version: str
    licence: str
    """An SPDX expression, or what the package says in its place; `UNKNOWN` where it says none."""

    @property
    def is_strong_copyleft(self) -> bool:
        """Whether it is GPL or AGPL, and nothing else may be chosen."""
        return all(
            re.search(r"(?<!L)\bA?GPL|GNU (Affero )?General Public", one, re.IGNORECASE)
            for one in re.split(r"\s+OR\s+", self.licence)
        )

    def to_dict(self) -> dict[str, str]:
        return asdict(self)


def licences(package: str = PLATFORM) -> list[Licensed]:
    """Return a package and all that it depends on, by name, as far as it is installed.

    Raises PackageNotFoundError where the package is not installed.
    """
    found: dict[str, Licensed] = {}
    distribution(package)
    waiting = [(package, "")]
    seen = set(waiting)
    while waiting:
        name, extra = waiting.pop()
        try:
            one = distribution(name)
        except PackageNotFoundError:
            continue  # of another system, or another version of Python
        own = one.metadata["Name"]
        found[own] = Licensed(own, one.version, _licence(one))
        for needed in _required(one, extra):
            if needed not in seen:
                seen.add(needed)
                waiting.append(needed)
    return sorted(found.values(), key=lambda one: one.package.lower())


def _required(one: Distribution, extra: str) -> Iterator[tuple[str, str]]:
    """Yield names and extras of what a package, with an extra or with none, depends on."""
    for text in one.requires or ():
        needed = Requirement(text)
        if needed.marker is None or needed.marker.evaluate({"extra": extra}):
            yield needed.name, ""
            yield from ((needed.name, inner) for inner in needed.extras)


def _licence(one: Distribution) -> str:
    about = one.metadata
    if "License-Expression" in about:
        return about["License-Expression"]
    classifiers = [
        text.rpartition(" :: ")[2]
        for text in about.get_all("Classifier") or ()
        if text.startswith("License :: ") and not text.endswith("OSI Approved")
    ]
    if classifiers:
        return " OR ".join(classifiers)
    stated = about["License"].strip() if "License" in about else ""
    if stated and "\n" not in stated and len(stated) <= _LONGEST:
        return stated
    texts = [
        stated,
        *(_read(one, str(file)) for file in one.files or () if _FILE.search(str(file))),
    ]
    return next((name for text in texts for words, name in _TEXTS if words in text), UNKNOWN)


def _read(one: Distribution, file: str) -> str:
    return " ".join((one.read_text(file.rpartition(".dist-info/")[2]) or "").split())
