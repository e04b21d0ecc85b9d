"""Sampling by hash: which messages are chosen depends on `seq` and `seed` and nothing else.

The hash is SplitMix64, written out here because Polars may change its own between versions.
For one seed it gives every `seq` another value, so ranks never tie.
"""

from __future__ import annotations

import hashlib

import polars as pl

_GAMMA = 0x9E3779B97F4A7C15
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def scrambled(number: pl.Expr, *, salt: str) -> pl.Expr:
    """Turn u64 numbers into u64 numbers that look random; other salts give others."""
    salted = int.from_bytes(hashlib.blake2b(salt.encode(), digest_size=8).digest(), "little")
    mixed = (number ^ _u64(salted)) * _u64(_GAMMA) + _u64(_GAMMA)
    mixed = (mixed ^ (mixed // _u64(1 << 30))) * _u64(_FIRST)
    mixed = (mixed ^ (mixed // _u64(1 << 27))) * _u64(_SECOND)
    return mixed ^ (mixed // _u64(1 << 31))


def sample_rank(seed: int) -> pl.Expr:
    """Rank the rows of a capture for a sample: the n smallest are the sample of n."""
    return scrambled(pl.col("seq"), salt=f"sample {seed}")


def _u64(number: int) -> pl.Expr:
    return pl.lit(number, pl.UInt64)
