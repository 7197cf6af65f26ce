"""Text in pictures, drawn as it is written, in fonts that have its characters."""

from __future__ import annotations

import logging
import textwrap
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text

from lc_platform.errors import some

_log = logging.getLogger(__name__)
_NO_FONTS = ("Last Resort", "LastResort")
"""They have a box for every character."""
_NAMED = 20


def wrapped(text: str, width: int) -> str:
    """Return a text in lines of at most ``width`` characters, none of which is lost."""
    lines = [textwrap.wrap(line, width, replace_whitespace=False) or [""] for line in _lines(text)]
    return "\n".join(part for line in lines for part in line)


def _lines(text: str) -> list[str]:
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def as_written(figure: Figure) -> None:
    """Have all text of a figure drawn as it is written: ``$`` and ``_`` mean nothing, and what the
    figure's font does not have is taken from others of this machine.

    What none of them has is drawn as boxes, which a warning says.
    """
    texts = figure.findobj(Text)
    for text in texts:
        text.set_parse_math(False)
        text.set_usetex(False)
    wanted = {c for text in texts for c in text.get_text() if _is_drawn(c)}
    families, missing = _families(frozenset(wanted))
    if families:
        for text in texts:
            text.set_fontfamily([*text.get_fontfamily(), *families])
    if missing:
        _tell_missing("".join(sorted(missing)))


@lru_cache(maxsize=64)
def _tell_missing(characters: str) -> None:
    """Say once that no font has these, however many figures show them."""
    _log.warning(
        "no font of this machine has %s: pictures show boxes in their place. Install one "
        "that has them, for example Noto Sans (Debian's fonts-noto and fonts-noto-cjk)",
        some([f"{c} (U+{ord(c):04X})" for c in characters], _NAMED),
    )


def _is_drawn(character: str) -> bool:
    """Return whether a character needs a shape of its own."""
    return unicodedata.category(character) not in ("Cc", "Cf", "Zs", "Zl", "Zp")


@lru_cache(maxsize=64)
def _families(wanted: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return fonts by name that have what the default one does not, and what no font has."""
    default = font_manager.FontProperties(family=["sans-serif"])
    missing = wanted - _characters(font_manager.findfont(default))
    if not missing:
        return (), frozenset()
    candidates = [(path, name, missing & _characters(path)) for path, name in _fonts()]
    chosen: list[str] = []
    while missing:
        # Of those that have as many, the first by name: the picture is the same everywhere.
        gains = [(len(has & missing), "Sans" in name) for _, name, has in candidates]
        if not gains or max(gains)[0] == 0:
            break
        best = candidates[gains.index(max(gains))]
        chosen.append(best[1])
        missing -= best[2]
    return tuple(chosen), missing


def _fonts() -> Sequence[tuple[str, str]]:
    """Return (path, family) of the fonts of this machine, plain ones first; also of those that were
    installed after Matplotlib listed them."""
    known = {entry.fname for entry in font_manager.fontManager.ttflist}
    for path in font_manager.findSystemFonts():
        if path not in known:
            try:
                font_manager.fontManager.addfont(path)
            except (OSError, RuntimeError, ValueError) as error:
                _log.info("%s: is no font that can be used (%s)", path, error)
    plain = [
        entry
        for entry in font_manager.fontManager.ttflist
        if entry.style == "normal" and not entry.name.startswith(_NO_FONTS)
    ]
    plain.sort(key=lambda entry: (abs(_weight(entry.weight) - 400), entry.name))
    return list(dict.fromkeys((entry.fname, entry.name) for entry in plain))


def _weight(weight: int | str) -> int:
    return weight if isinstance(weight, int) else font_manager.weight_dict.get(weight, 400)


@lru_cache(maxsize=1024)
def _characters(path: str) -> frozenset[str]:
    try:
        return frozenset(map(chr, FT2Font(path).get_charmap()))
    except (OSError, RuntimeError, ValueError) as error:
        _log.info("%s: is no font that can be read (%s)", path, error)
        return frozenset()
