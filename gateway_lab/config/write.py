"""Writes a config: only one without errors, only what reads back the same, whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from gateway_lab.config.check import check
from gateway_lab.config.document import Document, require_config
from gateway_lab.config.reading import parse_as
from gateway_lab.config.yaml_text import MAX_BYTES
from gateway_lab.config.yaml_writer import to_fresh_yaml, to_json, to_tidy_yaml, to_yaml
from gateway_lab.errors import ConfigError
from gateway_lab.findings import Severity


def write(config: Document, path: str | os.PathLike[str]) -> None:
    """Write a config as YAML, or as JSON where the name ends so; an old file is replaced at once.

    Args:
        config: What to write; comments of the file that it was read from are kept.
        path: Where. Whatever happens, it holds the old text or the new one, never a part.

    Raises:
        ConfigError: The config has an error, or the file cannot be written.
    """
    file = Path(path)
    refuse_errors(config)
    text = to_text(config, is_json=file.suffix == ".json")
    data = text.encode()
    if len(data) > MAX_BYTES:
        hint = "split it: one gateway may serve several configs"
        raise ConfigError("the config is larger than 1 MiB", where=str(file), hint=hint)
    try:
        _replace(file, data)
    except (OSError, ValueError) as error:  # a ValueError is about a NUL in the path
        reason = getattr(error, "strerror", None) or str(error)
        is_lost = isinstance(error, FileNotFoundError)
        hint = f"make the folder {file.parent} first" if is_lost else "the file is as it was"
        raise ConfigError(f"cannot be written: {reason}", where=str(file), hint=hint) from None


def to_text(config: Document, *, is_json: bool = False) -> str:
    """Return the text that `write` writes, without asking whether the config has errors.

    Raises:
        ConfigError: No text of it would be read as the same config.
    """
    for written in (to_json,) if is_json else (to_yaml, to_fresh_yaml):
        text = written(config)
        if _reads_back(text, config):
            return text
    raise ConfigError(
        "the config holds what no file can: it would not be read back",
        where=config.name,
        hint="names have at most 1,000 characters, a text holds whole characters, a number is finite",
    )


def format_config(config: Document) -> str:
    """Return the text of a config in one style; what it means and its comments stay.

    A config made in Python is written like any new one; JSON stays JSON.

    Raises:
        ConfigError: As `to_text`, or it is no config.
    """
    require_config(config)
    base = config.base_text
    if base is None or base.lstrip().startswith("{"):
        return to_text(config, is_json=base is not None)
    whole = base if _reads_back(base, config) else to_text(config)
    text = to_tidy_yaml(whole)
    return text if _reads_back(text, config) else whole


def refuse_errors(config: Document) -> None:
    """Refuse a config that has an error.

    Raises:
        ConfigError: All errors, each with its place.
    """
    errors = [each for each in check(config) if each.severity is Severity.ERROR]
    if errors:
        problems = [
            ConfigError(f"[{each.code}] {each.text}", where=each.where, hint=each.hint)
            for each in errors
        ]
        raise ConfigError.of(problems)


def _reads_back(text: str, config: Document) -> bool:
    try:
        return parse_as(Document, text) == config
    except ConfigError:
        return False


def _replace(file: Path, data: bytes) -> None:
    """Write a new file beside the old one, make it durable, then let it take the name."""
    file = file.resolve()  # a link stays a link
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.", suffix=".new")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(stream.fileno(), _mode(file))
            os.fsync(stream.fileno())
        os.replace(temporary, file)  # noqa: PTH105 the step that must be atomic, named
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        raise
    _sync_folder(file.parent)


def _mode(file: Path) -> int:
    """Give the new file the rights of the old one, or those that any new file gets."""
    with suppress(OSError):
        return stat.S_IMODE(file.stat().st_mode)
    mask = os.umask(0o077)
    os.umask(mask)
    return 0o666 & ~mask


def _sync_folder(folder: Path) -> None:
    with suppress(OSError):  # not every file system lets a folder be synced
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
