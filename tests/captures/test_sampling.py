from __future__ import annotations

from hashlib import blake2b

import polars as pl

from gateway_lab.captures.sampling import sample_rank, scrambled


def test_the_hash_is_splitmix64() -> None:
    """The first numbers of its reference implementation with the state 0."""
    salt = "any"
    state = scrambled_state(salt)
    numbers = pl.DataFrame({"n": pl.Series([state, state ^ 1], dtype=pl.UInt64)})
    values = numbers.select(scrambled(pl.col("n"), salt=salt))["n"].to_list()
    assert values[0] == 0xE220A8397B1DCDAF


def scrambled_state(salt: str) -> int:
    return int.from_bytes(blake2b(salt.encode(), digest_size=8).digest(), "little")


def test_ranks_of_one_seed_never_tie() -> None:
    ranks = pl.DataFrame({"seq": pl.int_range(100_000, dtype=pl.UInt64, eager=True)})
    assert ranks.select(sample_rank(3)).to_series().n_unique() == 100_000


def test_seeds_rank_differently() -> None:
    frame = pl.DataFrame({"seq": pl.int_range(100, dtype=pl.UInt64, eager=True)})
    first, second = (frame.select(sample_rank(seed)).to_series() for seed in (1, 2))
    assert first.arg_sort().to_list() != second.arg_sort().to_list()
