"""What an answer's headers say."""

from __future__ import annotations

import pytest

from lc_platform.sources.network.requests import seconds_to_wait


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        (" 5 ", 5.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", 0.0),  # RFC 9110, section 10.2.3
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str, seconds: float | None) -> None:
    assert seconds_to_wait({"retry-after": header}) == seconds
    assert seconds_to_wait({"Retry-After": header}) == seconds


def test_an_answer_may_not_say_how_long_to_wait() -> None:
    assert seconds_to_wait({}) is None
