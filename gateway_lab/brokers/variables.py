"""Names of the environment variables that addresses of brokers stand in."""

from __future__ import annotations


def address_variable(alias: str) -> str:
    """Name the environment variable that holds the address of an alias."""
    return f"GATEWAY_BROKER_{alias.upper()}_URL"


def password_variable(alias: str) -> str:
    """Name the environment variable that names the file with the password of an alias."""
    return f"GATEWAY_BROKER_{alias.upper()}_PASSWORD_FILE"
