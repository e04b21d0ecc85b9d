"""Overlays: what a stage may change of a config, and nothing else.

An overlay holds values of settings, options, retries and `max_channels`; routes are the same in
every stage. `export routes.yaml --with prod.yaml` makes one whole file of both.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Any, Literal

from pydantic import Field, PrivateAttr

from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.model import Duration, FrozenDict, Json, Name, Part, Table
from gateway_lab.config.places import DocumentPath, Origin
from gateway_lab.config.reading import build, parse_document, read_file
from gateway_lab.config.scopes import fits
from gateway_lab.errors import ConfigError, did_you_mean


class RetryOverlay(Part):
    """The parts of a retry that differ."""

    attempts: int | None = Field(default=None, ge=1)
    initial: Duration | None = None
    factor: int | float | None = Field(default=None, ge=1)
    max: Duration | None = None


class SourceOverlay(Part):
    """What may differ in a source; options are laid over its own, key by key."""

    options: Table[str, Json] = Field(default_factory=FrozenDict)
    retry: RetryOverlay | None = None


class TargetOverlay(Part):
    """What may differ in a target; options are laid over its own, key by key."""

    options: Table[str, Json] = Field(default_factory=FrozenDict)
    max_channels: int | None = Field(default=None, ge=1)


class Overlay(Part):
    """What a stage changes."""

    overlay: Literal[1] = Field(default=1, description="The version of the format.")
    description: str | None = None
    settings: Table[Name, str | bool | int | float] = Field(
        default_factory=FrozenDict, description="Name to value."
    )
    retry: RetryOverlay | None = None
    sources: Table[Name, SourceOverlay] = Field(default_factory=FrozenDict)
    targets: Table[Name, TargetOverlay] = Field(default_factory=FrozenDict)

    _origin: Origin | None = PrivateAttr(default=None)

    def with_origin(self, origin: Origin) -> Overlay:
        """Return the same overlay, knowing the text it was read from."""
        overlay = self.model_copy()
        overlay._origin = origin  # noqa: SLF001 a copy of itself
        return overlay

    def where(self, path: DocumentPath) -> str:
        """Say where a part of it stands, for errors."""
        if self._origin is None:
            return ".".join(map(str, path))
        line, column = self._origin.of_key(path)
        return f"{self._origin.file or 'overlay'}:{line}:{column}"


def read_overlay(path: str | os.PathLike[str]) -> Overlay:
    """Read an overlay file.

    Raises:
        ConfigError: It cannot be read, or holds something that an overlay may not change.
    """
    return parse_overlay(read_file(path), file=os.fspath(path))


def parse_overlay(text: str, *, file: str | None = None) -> Overlay:
    """Read an overlay from its text.

    Raises:
        ConfigError: As `read_overlay`.
    """
    document, origin = parse_document(text, file=file, version_key="overlay")
    return build(Overlay, document, origin).with_origin(origin)


def with_overlay(config: GatewayConfig, overlay: Overlay | str | os.PathLike[str]) -> GatewayConfig:
    """Lay an overlay, or the file of one, over a config.

    Raises:
        ConfigError: It names a setting, source or target that the config does not have, or gives
            a setting a value of another type; all problems are told.
    """
    if not isinstance(overlay, Overlay):
        overlay = read_overlay(overlay)
    if problems := _problems(config, overlay):
        raise ConfigError.of(problems)
    return _laid_over(config, overlay)


def _problems(config: GatewayConfig, overlay: Overlay) -> list[ConfigError]:
    return [
        *_unknown(overlay, "settings", overlay.settings, config.settings),
        *_unknown(overlay, "sources", overlay.sources, config.sources),
        *_unknown(overlay, "targets", overlay.targets, config.targets),
        *_misfits(config, overlay),
    ]


def _laid_over(config: GatewayConfig, overlay: Overlay) -> GatewayConfig:
    for name, value in overlay.settings.items():
        config = config.edit_setting(name, value=value)
    for name, source in overlay.sources.items():
        own = config.sources[name]
        changes = _laid(own.options, source.options)
        if source.retry is not None:
            changes["retry"] = _merged(own.retry or config.retry, source.retry)
        config = config.edit_source(name, **changes)
    for name, target in overlay.targets.items():
        changes = _laid(config.targets[name].options, target.options)
        if target.max_channels is not None:
            changes["max_channels"] = target.max_channels
        config = config.edit_target(name, **changes)
    if overlay.retry is not None:
        retry = type(config.retry).model_validate(_merged(config.retry, overlay.retry))
        config = config.with_parts(retry=retry)
    return config


def _unknown(
    overlay: Overlay, table: str, names: Collection[str], known: Collection[str]
) -> list[ConfigError]:
    return [
        ConfigError(
            f"the config has no {name!r} in its {table}",
            where=overlay.where((table, name)),
            hint=did_you_mean(name, known),
        )
        for name in names
        if name not in known
    ]


def _misfits(config: GatewayConfig, overlay: Overlay) -> list[ConfigError]:
    return [
        ConfigError(
            f"{value!r} is not of type {config.settings[name].type}",
            where=overlay.where(("settings", name)),
        )
        for name, value in overlay.settings.items()
        if name in config.settings and not fits(config.settings[name].type, value)
    ]


def _laid(own: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    return {"options": {**own, **over}} if over else {}


def _merged(own: Part, over: Part) -> dict[str, Any]:
    return {**own.model_dump(exclude_unset=True), **over.model_dump(exclude_unset=True)}
