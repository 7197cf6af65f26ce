"""Colours of classes: how they are written, and what a class without one gets."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
import yaml

from lc_platform.config import ConfigError, colors, load, parse
from lc_platform_tests.config.configurations import SMALLEST, merged


def taken(*given: str | None) -> list[str]:
    """The colours of classes, of which some are given."""
    classes = [
        {"id": i, "name": f"class {i}"} | ({} if color is None else {"color": color})
        for i, color in enumerate(given, 1)
    ]
    config = parse(merged(yaml.safe_load(SMALLEST), {"reference": {"classes": classes}}))
    return [one.color for one in config.reference.classes]


# https://www.w3.org/TR/css-color-4/#named-colors
@pytest.mark.parametrize(
    ("written", "color"),
    [
        ("red", "#ff0000"),
        ("ForestGreen", "#228b22"),
        ("rebeccapurple", "#663399"),
        ("darkslategrey", "#2f4f4f"),
        ("#0f8", "#00ff88"),
        ("#FC0", "#ffcc00"),
        ("#FFCC00", "#ffcc00"),
        (" #ffcc00 ", "#ffcc00"),
    ],
)
def test_a_colour_goes_by_its_css_name_or_by_digits(written: str, color: str) -> None:
    assert taken(written) == [color]


def test_the_same_colour_in_other_words_is_the_same_configuration() -> None:
    assert len({tuple(taken(c)) for c in ("red", "#f00", "#FF0000", "Red")}) == 1


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("gren", "'gren' is no colour. Did you mean green?"),
        ("#12345", "'#12345' is no colour."),
        ("ffcc00", "'ffcc00' is no colour."),
        ("rgb(1, 2, 3)", "is no colour."),
        (0xFFCC00, "is no colour."),
        ([255, 0, 0], "is no colour."),
        ("", "is no colour."),
    ],
)
def test_what_is_no_colour_is_refused_with_how_to_write_one(written: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        taken("#000000", written)
    assert "reference.classes[1].color: " in str(caught.value)
    assert said in str(caught.value)
    assert "Write a CSS name, or red, green and blue in quotes" in str(caught.value)


def test_a_colour_that_yaml_took_for_a_comment_is_refused() -> None:
    text = SMALLEST.replace('{id: 2, name: forest, color: "#00ff00"}',
                            "id: 2\n      name: forest\n      color: #00ff00")  # fmt: skip
    with pytest.raises(ConfigError, match=r"color: nothing is no colour.*takes # for the start"):
        parse(yaml.safe_load(text))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("000000", "#000000"),  # YAML reads 0, an octal number
        ("001122", "#001122"),
        ("112233", "#112233"),
        ("000", "#000"),
        ("FFCC00", "#ffcc00"),
        ("0f8", "#0f8"),
        ('"000000"', "#000000"),
    ],
)
def test_digits_without_their_hash_are_refused_with_how_to_write_them(
    tmp_path: Path, written: str, meant: str
) -> None:
    file = tmp_path / "lc.yaml"
    file.write_text(SMALLEST.replace('"#00ff00"', written))
    with pytest.raises(ConfigError) as caught:
        load(file)
    digits = written.strip('"')
    quoted = digits if digits.isdecimal() and '"' not in written else f"'{digits}'"
    assert f"reference.classes[1].color: {quoted} is no colour. " in str(caught.value)
    assert f'Did you mean "{meant}"?' in str(caught.value)


def test_two_classes_of_one_colour_are_doubted(tmp_path: Path) -> None:
    file = tmp_path / "lc.yaml"
    file.write_text(SMALLEST.replace('"#00ff00"', "yellow"))
    (doubt,) = load(file).doubts
    assert doubt.startswith(
        "reference.classes[1].color: forest has the colour of cultivated land (#ffff00), so that "
    )
    file.write_text(SMALLEST)
    assert load(file).doubts == []


def test_classes_without_a_colour_get_the_same_ones_every_time() -> None:
    assert taken(None, None, None) == taken(None, None, None) == list(colors.PALETTE[:3])


def test_a_chosen_colour_is_none_that_is_given_before_or_after() -> None:
    assert taken(None, colors.PALETTE[0], None)[0] != colors.PALETTE[0]
    near = "#0070b0"  # as good as the palette's first
    assert colors.difference(near, colors.PALETTE[0]) < 3
    assert taken(None, near)[0] == colors.PALETTE[1]


# A difference of 2.3 is just noticeable (Mahy et al. 1994); on a map, beside each other and small,
# some five times that is told apart.
@pytest.mark.parametrize(("count", "apart"), [(8, 15.0), (14, 15.0), (40, 9.0)])
def test_chosen_colours_are_told_apart_in_any_colour_vision(count: int, apart: float) -> None:
    chosen = taken(*[None] * count)
    assert min(colors.difference(a, b) for a, b in combinations(chosen, 2)) >= apart


def test_as_many_classes_as_there_can_be_have_a_colour_each() -> None:
    assert len(set(taken(*[None] * 255))) == 255


def test_a_difference_is_that_of_the_vision_which_tells_colours_worst() -> None:
    # Red and green of the same lightness are far apart in full colour vision (dE > 100), and near
    # without the medium cones.
    assert colors.difference("#c00000", "#5a7a00") < 40
    assert colors.difference("#000000", "#ffffff") == pytest.approx(100, abs=1)
