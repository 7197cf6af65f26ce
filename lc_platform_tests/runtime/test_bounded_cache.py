"""What is kept as long as there is room."""

from __future__ import annotations

from lc_platform.runtime.bounded_cache import BoundedCache


def test_what_was_not_used_for_longest_goes_first() -> None:
    cache: BoundedCache[str, bytes] = BoundedCache(10, len)
    cache.put("a", bytes(4))
    cache.put("b", bytes(4))
    assert cache.get("a") == bytes(4)
    cache.put("c", bytes(4))
    assert cache.get("b") is None
    assert cache.get("a") is not None
    assert cache.get("c") is not None


def test_what_has_no_room_at_all_is_not_kept_and_puts_nothing_out() -> None:
    cache: BoundedCache[str, bytes] = BoundedCache(10, len)
    cache.put("a", bytes(4))
    cache.put("b", bytes(11))
    assert cache.get("b") is None
    assert cache.get("a") is not None


def test_a_value_is_replaced_by_another_and_its_room_is_free_again() -> None:
    cache: BoundedCache[str, bytes] = BoundedCache(10, len)
    for _ in range(5):
        cache.put("a", bytes(6))
    cache.put("b", bytes(4))
    assert cache.get("a") is not None
    cache.forget("a")
    cache.put("c", bytes(6))
    assert cache.get("b") is not None
    cache.clear()
    assert cache.get("b") is None
