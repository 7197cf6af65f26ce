"""Colours of classes: by hexadecimal digits or by name, and chosen where none is given."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lc_platform.config.problems import nearest, shown
from lc_platform.config.readings import reading

PALETTE = (
    "#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7", "#f0e442",
    "#882255", "#44aa99", "#332288", "#999933", "#ddcc77", "#aa4499", "#117733",
)  # fmt: skip
"""Colours that people of any colour vision tell apart: those of Okabe and Ito (2008), and after
them Paul Tol's muted ones (2021)."""
_APART = 15.0
"""CIELAB units that colours differ by, at least, to be told apart on a map."""
_LATTICE = range(24, 256, 32)
"""Values of red, green and blue; 512 colours, of which 255 classes need theirs."""
_VISIONS = np.array(
    [
        np.eye(3),
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ],
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ],
    ]
)
"""Of linear RGB: full colour vision, protanopia and deuteranopia (Machado et al. 2009)."""
_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
"""From linear sRGB to CIE XYZ, white point D65."""
_WHITE = _XYZ.sum(axis=1)


def hexadecimal(value: Any) -> str:
    """Return a colour as #rrggbb in small letters. Raises ValueError where it is none."""
    text = value.strip().lower() if isinstance(value, str) else ""
    if re.fullmatch(r"#[0-9a-f]{6}", text):
        return text
    if re.fullmatch(r"#[0-9a-f]{3}", text):
        return "#" + "".join(2 * digit for digit in text[1:])
    from PIL import ImageColor

    if text in ImageColor.colormap:
        return "#{:02x}{:02x}{:02x}".format(*ImageColor.getrgb(text)[:3])
    written = text or _number(value)
    if re.fullmatch(r"[0-9a-f]{6}|[0-9a-f]{3}", written):
        hint = f' Did you mean "#{written}"?'
    else:
        hint = nearest(text, list(ImageColor.colormap)) if text else ""
    raise ValueError(
        f"{_number(value) or shown(value)} is no colour.{hint} Write a CSS name, or red, green and "
        'blue in quotes, such as "#ffcc00" (without quotes, YAML takes # for the start of a '
        "comment)"
    )


def _number(value: Any) -> str:
    """Return a number as it stands in the file; empty for all else."""
    found = reading(value)
    return found[0].lower() if found else str(value) if type(value) is int else ""


def alike(colors: Sequence[str]) -> list[tuple[int, int]]:
    """Return the places of colours that are there before, each with the place of the first of
    them."""
    first: dict[str, int] = {}
    return [(i, first[c]) for i, c in enumerate(colors) if first.setdefault(c, i) != i]


def chosen(given: Sequence[str | None]) -> list[str]:
    """Return the colours of classes: those that are given, and for each of the others one that
    differs from all before it and from all that are given, in any colour vision as far as can be.
    """
    colors = list(given)
    taken = [color for color in given if color is not None]
    if len(taken) == len(colors):
        return taken
    lattice = [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in product(_LATTICE, repeat=3)]
    candidates = [*PALETTE, *lattice]
    seen = _seen(candidates)
    apart = np.full(len(candidates), np.inf)
    for given_color in taken:
        apart = np.minimum(apart, _distances(seen, _seen([given_color])))
    for i, color in enumerate(colors):
        if color is not None:
            continue
        free = np.flatnonzero(apart[: len(PALETTE)] >= _APART)
        best = int(free[0] if free.size else apart.argmax())
        colors[i] = candidates[best]
        apart = np.minimum(apart, _distances(seen, seen[:, best : best + 1]))
    return [str(color) for color in colors]


def difference(one: str, other: str) -> float:
    """Return how far two colours are apart (CIELAB, 1976) in the colour vision that tells them
    worst."""
    return float(_distances(_seen([one]), _seen([other]))[0])


def _distances(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    distances: NDArray[np.float64] = np.linalg.norm(one - other, axis=2).min(axis=0)
    return distances


def _seen(colors: Sequence[str]) -> NDArray[np.float64]:
    """Return (vision, color, 3), CIELAB."""
    rgb = np.array([[int(c[i : i + 2], 16) / 255 for i in (1, 3, 5)] for c in colors])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    visions = np.clip(np.einsum("vij,cj->vci", _VISIONS, linear), 0, 1)
    xyz = visions @ _XYZ.T / _WHITE
    f = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = np.moveaxis(f, 2, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=2)
