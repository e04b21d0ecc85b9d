"""Masks for private values: a keyed hash, so that equal values still look equal."""

from __future__ import annotations

import hashlib
import os
import secrets
from functools import lru_cache
from typing import Final

KEY_VARIABLE: Final = "GATEWAY_MASK_KEY"
"""Environment variable that fixes the key; without it every process has its own."""

PREFIX: Final = "masked:"


def mask_text(value: object) -> str:
    """Mask a value: `masked:` and ten hex digits, the same for equal values in one process.

    Values of different types are different: 1 and "1" have different masks.
    """
    data = value if isinstance(value, bytes) else repr(value).encode()
    kind = type(value).__name__.encode()
    digest = hashlib.blake2b(data, digest_size=5, key=_key(), person=kind[:16])
    return PREFIX + digest.hexdigest()


def show_private(*, show: bool = True) -> None:
    """Show private values in this process from now on, or mask them again with `show=False`."""
    _SWITCH["shown"] = show


def is_private_shown() -> bool:
    """Say whether `show_private` was called in this process."""
    return _SWITCH["shown"]


_SWITCH = {"shown": False}


@lru_cache(maxsize=1)
def _key() -> bytes:
    given = os.environ.get(KEY_VARIABLE)
    return hashlib.blake2b(given.encode()).digest() if given else secrets.token_bytes(32)
