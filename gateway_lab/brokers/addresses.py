"""Where the address of a broker stands: in the environment, never in a config."""

from __future__ import annotations


def address_variable(alias: str) -> str:
    """Name the environment variable that holds the address of an alias."""
    return f"GATEWAY_BROKER_{alias.upper()}_URL"
