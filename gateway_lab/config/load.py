"""Reads configs: from a file or a text, findings or not."""

from __future__ import annotations

import os

from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.reading import parse_as, read_file


def read_config(path: str | os.PathLike[str]) -> GatewayConfig:
    """Read a config file, findings or not: `check` reports what is wrong inside it.

    Args:
        path: A YAML 1.2 or JSON file in UTF-8, at most 1 MiB.

    Raises:
        ConfigError: The file cannot be read or is no config; all problems are told, each with
            file, line and column.
    """
    return parse_config(read_file(path), file=os.fspath(path))


def parse_config(text: str, *, file: str | None = None) -> GatewayConfig:
    """Read a config from its text.

    Args:
        text: YAML 1.2 or JSON.
        file: The name that errors and findings show.

    Raises:
        ConfigError: As `read_config`.
    """
    return parse_as(GatewayConfig, text, file=file)
