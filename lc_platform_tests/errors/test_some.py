"""Names in words, the first of many."""

from __future__ import annotations

import pytest

from lc_platform.errors import some


@pytest.mark.parametrize(
    ("names", "most", "count", "words"),
    [
        ([], 3, None, ""),
        (["a", "b"], 2, None, "a, b"),
        ([1, 2, 3], 2, None, "1, 2 and 1 more"),
        (["a", "b"], 2, 9, "a, b and 7 more"),
        (["a"], 5, 1, "a"),
    ],
)
def test_so_many_are_named_and_the_rest_is_counted(
    names: list[object], most: int, count: int | None, words: str
) -> None:
    assert some(names, most, count) == words
