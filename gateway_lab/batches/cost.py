"""What it costs a database to store batches: so much a transaction, and so much a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreCost:
    """The time that a database takes for one transaction with some rows.

    Attributes:
        per_batch: Seconds for a transaction, however few its rows: the ways there and back, the
            guard, the commit.
        per_row: Seconds more for each row.
        origin: Where the numbers come from, in words.
    """

    per_batch: float
    per_row: float
    origin: str = "given"

    def seconds(self, rows: int) -> float:
        """Return the seconds of one transaction."""
        return self.per_batch + self.per_row * rows

    def __repr__(self) -> str:
        batch, row = self.per_batch * 1e3, self.per_row * 1e6
        return f"StoreCost: {batch:.3g} ms a transaction + {row:.3g} µs a row ({self.origin})"


DEFAULT_COST: Final = StoreCost(
    per_batch=2.5e-3,
    per_row=6e-6,
    origin="a default, of PostgreSQL on the same machine; gl.measure_store(url) measures yours",
)
"""What `tune` reckons with where nothing else is given."""
