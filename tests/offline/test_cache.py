from __future__ import annotations

import polars as pl

from gateway_lab.offline.cache import Cache


def numbers(count: int) -> pl.Series:
    return pl.Series(range(count), dtype=pl.Int64)


def test_a_value_is_made_once() -> None:
    cache = Cache()
    first = cache.get("a", lambda: numbers(2))
    assert cache.get("a", lambda: numbers(3)) is first


def test_the_least_recently_used_value_is_forgotten_first() -> None:
    cache = Cache(limit_bytes=2 * 80)
    for key in ("a", "b", "a", "c"):
        cache.get(key, lambda: numbers(10))
    assert [key for key in "abc" if key in cache] == ["a", "c"]
    assert cache.held_bytes == 160


def test_a_value_larger_than_the_cache_is_given_but_not_kept() -> None:
    cache = Cache(limit_bytes=8)
    assert len(cache.get("a", lambda: numbers(10))) == 10
    assert "a" not in cache
    assert cache.held_bytes == 0
