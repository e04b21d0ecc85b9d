"""Random columns that are the same on every machine.

Every draw is a hash of a number (mostly `seq`), the seed and a label. So it needs no state,
does not depend on how the rows are cut into chunks, and Polars computes it in parallel.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import polars as pl

from gateway_lab.captures.sampling import scrambled

_SLOTS = 4096
"""Weights become a table of so many slots, hence shares are exact to 1/4096."""

SEQ = pl.col("seq")


@dataclass(frozen=True, slots=True)
class Draws:
    """The random source of one generated capture.

    Attributes:
        salt: The profile and the seed; other salts give other columns.
    """

    salt: str

    def number(self, label: str, of: pl.Expr = SEQ) -> pl.Expr:
        """Draw u64 numbers, all equally likely; equal `of` gives equal numbers."""
        return scrambled(of.cast(pl.UInt64), salt=f"{self.salt} {label}")

    def below(self, label: str, bound: int, of: pl.Expr = SEQ) -> pl.Expr:
        """Draw u64 numbers from 0 to bound - 1."""
        return self.number(label, of) % pl.lit(bound, pl.UInt64)

    def chance(self, label: str, share: float, of: pl.Expr = SEQ) -> pl.Expr:
        """Draw booleans that are true in this share of the rows."""
        return self.number(label, of) < pl.lit(int(share * 2**64), pl.UInt64)

    def pick(self, label: str, values: Sequence[str], of: pl.Expr = SEQ) -> pl.Expr:
        """Draw texts, all equally likely."""
        return looked_up(values, self.below(label, len(values), of))

    def weighted(self, label: str, weights: Mapping[str, float], of: pl.Expr = SEQ) -> pl.Expr:
        """Draw texts, each as often as its weight."""
        slots = _slots(tuple(weights.values()))
        return looked_up([list(weights)[slot] for slot in slots], self.below(label, _SLOTS, of))

    def zipf(self, label: str, count: int, of: pl.Expr = SEQ) -> pl.Expr:
        """Draw u64 numbers from 0 to count - 1, small ones far more often than big ones."""
        slots = _slots(tuple(1 / (rank + 1) ** 1.1 for rank in range(count)))
        table = pl.lit(pl.Series(slots, dtype=pl.UInt64))
        return table.gather(self.below(label, _SLOTS, of))

    def hexadecimal(self, label: str, digits: int, of: pl.Expr = SEQ) -> pl.Expr:
        """Draw lower-case hexadecimal texts of a multiple of 16 digits."""
        parts = [
            looked_up(_FOUR_DIGITS, self.number(f"{label} {word}", of) // (1 << shift) % (1 << 16))
            for word in range(digits // 16)
            for shift in (48, 32, 16, 0)
        ]
        return pl.concat_str(parts)


_FOUR_DIGITS = pl.Series([f"{number:04x}" for number in range(1 << 16)])


def looked_up(values: Sequence[str] | pl.Series, index: pl.Expr) -> pl.Expr:
    """Give the text at each index of a table."""
    table = values if isinstance(values, pl.Series) else pl.Series(values, dtype=pl.String)
    return pl.lit(table).gather(index)


@lru_cache(maxsize=256)
def _slots(weights: tuple[float, ...]) -> tuple[int, ...]:
    """Share the slots out by weight; what is rare has at least one while there are enough."""
    total, reached, slots = sum(weights), 0.0, list[int]()
    for index, weight in enumerate(weights):
        reached += weight
        behind = max(len(slots) + 1, round(_SLOTS * reached / total))
        slots += [index] * (min(behind, _SLOTS) - len(slots))
    return tuple(slots)
