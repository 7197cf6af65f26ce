"""What YAML makes of a value is not always what is written: it is refused with what was read."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest

from lc_platform.config import Config, ConfigError, load

FILE = """
name: slovenia
storage: ./lc-data
years: [2017]
aoi: {boundary: border.geojson, crs: EPSG:32633, patch_size: 10000}
imagery: {source: stac, catalog: catalog.json}
reference:
  path: lulc.gpkg
  attribute: LULC_ID
  classes:
    - {id: 1, name: cultivated land, values: [1100, 1180]}
    - {id: 2, name: forest, values: [2000]}
"""
NAME = "K\u00e4rnten"


def loaded(tmp_path: Path, old: str = "", new: str = "", more: str = "") -> Config:
    """The configuration of a file in which ``old`` is written as ``new``."""
    assert old in FILE
    file = tmp_path / "lc.yaml"
    file.write_text(FILE.replace(old, new, 1) + more, encoding="utf-8")
    return load(file)


def refusal(tmp_path: Path, old: str = "", new: str = "", more: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, old, new, more)
    _, *lines = str(caught.value).splitlines()
    assert len(lines) == 1, lines
    return lines[0]


# YAML 1.1 (https://yaml.org/type): a leading 0 is octal, colons are to the base of sixty, _ is
# left out, 0b is binary; yes, no, on and off are truth values.
@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("010", "8 (octal, as it begins with 0)"),
        ("0001", "1 (octal, as it begins with 0)"),
        ("1:20", "80 (to the base of sixty, as hours and minutes)"),
        ("-1:30:00", "-5400 (to the base of sixty, as hours and minutes)"),
        ("1_000", "1000"),
        ("0x1F", "31 (hexadecimal)"),
        ("0b101", "5 (binary)"),
        ("+7", "7"),
        ("1:20.5", "80.5 (to the base of sixty, as hours and minutes)"),
        (".inf", "inf"),
        ("1.2e+3", "1200.0"),
        ("2024-01-01", "a date"),
        ("2024-13-45", "a date"),
        ("no", "false"),
        ("Off", "false"),
        ("YES", "true"),
    ],
)
def test_a_class_value_that_yaml_reads_otherwise_is_refused_with_what_was_read(
    tmp_path: Path, written: str, read: str
) -> None:
    line = refusal(tmp_path, "[2000]", f"[3, {written}]")
    assert line.startswith(
        f"reference.classes[1].values[1]: {written} is read as {read} where it is not in quotes."
    )
    assert f'"{written}"' in line
    ignored = refusal(tmp_path, more=f"  ignore: [{written}]\n")
    assert f"reference.ignore[0]: {written} is read as {read}" in ignored
    quoted = loaded(tmp_path, "[2000]", f'[3, "{written}"]')
    assert quoted.reference.classes[1].values == (3, written)


def test_words_that_other_programs_take_for_truth_values_are_words(tmp_path: Path) -> None:
    values = loaded(tmp_path, "[2000]", "[y, n, 08, 1e3, 0o17]").reference.classes[1].values
    assert values == ("y", "n", "08", "1e3", "0o17")


@pytest.mark.parametrize("written", ["~", "null", ""])
def test_nothing_among_the_values_of_a_class_is_refused(tmp_path: Path, written: str) -> None:
    block = "\n      values:\n        - 3\n        - "
    classes = FILE.index("    - {id: 2")
    file = tmp_path / "lc.yaml"
    file.write_text(FILE[:classes] + f"    - id: 2\n      name: forest{block}{written}\n")
    with pytest.raises(ConfigError, match=r"classes\[1\]\.values\[1\]: nothing is no value of a"):
        load(file)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("id: 2", "id: 010", "classes[1].id: 010 is read as 8 (octal, as it begins with 0). Write "
         "the number in plain digits: 10 or 8."),
        ("id: 2", "id: 0x1F", "classes[1].id: 0x1F is read as 31 (hexadecimal). Write the number"),
        ("id: 2", "id: 1:20", "classes[1].id: 1:20 is read as 80 (to the base of sixty"),
        ("id: 2", "id: no", 'id: no is a truth value, which is not expected here. Put it in quotes'
         ' if it is a word: "no".'),
        ("id: 2", "id: 2024-01-01", "id: 2024-01-01 is read as a date. Write a whole number."),
        ("[2017]", "[02017]", "years[0]: 02017 is read as 1039 (octal"),
        ("[2017]", "[2_017]", "years[0]: 2_017 is read as 2017. Write the number in plain digits: "
         "2017."),
        ("[2017]", "[2017-01-01]", "years[0]: 2017-01-01 is read as a date. Write a whole number."),
        ("name: forest", "name: off", 'name: off without quotes is read as false. Put it in quotes:'
         ' "off".'),
        ("name: forest", "name: 0x1F", "name: 0x1F without quotes is read as 31 (hexadecimal)."),
        ("name: forest", "name: ~", "classes[1].name: nothing is given, and text is expected;"),
        ("attribute: LULC_ID", "attribute: on", "reference.attribute: on without quotes is read"),
        ("storage: ./lc-data", "storage: 2024-05-06", 'Put it in quotes: "2024-05-06".'),
        ("patch_size: 10000", "patch_size: 010000", "aoi.patch_size: 010000 is read as 4096"),
        ("patch_size: 10000", "patch_size: 2:46:40", "aoi.patch_size: 2:46:40 is read as 10000"),
        ("crs: EPSG:32633", "crs: 032633", "aoi.crs: 032633 is read as 13723 (octal"),
        ("crs: EPSG:32633", "crs: yes", "aoi.crs: yes is a truth value, which is not expected"),
    ],
)  # fmt: skip
def test_text_and_numbers_that_yaml_reads_otherwise_are_refused_wherever_they_stand(
    tmp_path: Path, old: str, new: str, expected: str
) -> None:
    assert expected in refusal(tmp_path, old, new)


def test_a_parameter_of_the_model_is_the_number_that_is_written(tmp_path: Path) -> None:
    line = refusal(tmp_path, more="model: {num_leaves: 020}\n")
    assert line.startswith("model.num_leaves: 020 is read as 16 (octal")
    read = loaded(tmp_path, more="model: {num_leaves: 1_0, boost_from_average: no}\n").model
    assert (repr(read["num_leaves"]), repr(read["boost_from_average"])) == ("10", "False")


def test_truth_values_in_words_are_truth_values_where_they_are_expected(tmp_path: Path) -> None:
    config = loaded(tmp_path, more="features: {stored: off}\nprocessing: {probabilities: yes}\n")
    assert config.features.stored is False
    assert config.processing.probabilities is True


def test_numbers_in_other_notations_of_the_same_number_are_taken(tmp_path: Path) -> None:
    config = loaded(tmp_path, "patch_size: 10000", "patch_size: 10_000, buffer: +5.0e+2")
    assert (config.aoi.patch_size, config.aoi.buffer) == (10_000, 500)


# What looks alike


@pytest.mark.parametrize(
    ("one", "other", "how"),
    [
        ("forest", "forest ", "only by blanks at its ends"),
        ("forest", "\\tforest", "only by blanks at its ends"),
        ("forest", "forest\\u00a0", "only by blanks at its ends"),
        (NAME, unicodedata.normalize("NFD", NAME), "only by how its letters are composed in Unic"),
        (NAME, " " + unicodedata.normalize("NFD", NAME), "blanks at its ends and by how its lett"),
        ("\uac00", "\u1100\u1161", "only by how its letters are composed in Unicode"),
    ],
)
def test_values_of_two_classes_that_look_alike_are_refused(
    tmp_path: Path, one: str, other: str, how: str
) -> None:
    file = tmp_path / "lc.yaml"
    text = FILE.replace("1180", f'"{one}"').replace("[2000]", f'["{other}"]')
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load(file)
    line = str(caught.value).splitlines()[-1]
    assert "reference.classes[1].values: " in line
    assert how in line
    assert "of classes[0]" in line
    same = FILE.replace("[2000]", f'["{one}", "{other}"]')
    file.write_text(same, encoding="utf-8")
    assert len(load(file).reference.classes[1].values) == 2
    file.write_text(same.replace(f', "{other}"', "") + f'  ignore: ["{other}"]\n', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"reference\.ignore: .* of classes\[1\] only"):
        load(file)


def test_names_of_classes_that_look_alike_are_refused(tmp_path: Path) -> None:
    line = refusal(tmp_path, "name: forest", 'name: "cultivated land "')
    assert "classes[1].name: 'cultivated land ' differs from 'cultivated land' of" in line
