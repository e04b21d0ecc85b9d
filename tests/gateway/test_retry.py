from __future__ import annotations

import pytest

from gateway_lab.config.model import Retry
from gateway_lab.gateway.retry import Backoff


def test_pauses_grow_to_the_longest_and_stay_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("random.uniform", lambda low, high: low + high)
    backoff = Backoff.of(Retry(initial="200ms", factor=2, max="1s"))
    assert [backoff.pause(tries) for tries in (1, 2, 3, 4, 10_000_000)] == [0.2, 0.4, 0.8, 1, 1]


def test_pauses_have_full_jitter() -> None:
    backoff = Backoff(initial_s=1, factor=1, longest_s=1)
    assert len({backoff.pause(1) for _ in range(50)}) == 50
    assert all(0 <= backoff.pause(1) <= 1 for _ in range(50))
