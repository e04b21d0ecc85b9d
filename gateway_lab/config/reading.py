"""Reads a document of ours, a config or an overlay: its text, its places, its model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from gateway_lab.config.document import Document
from gateway_lab.config.model import FORMAT
from gateway_lab.config.places import Origin
from gateway_lab.config.refusals import refusals
from gateway_lab.config.traps import find_traps, restore_braces
from gateway_lab.config.yaml_text import MAX_BYTES, Reading, read_text
from gateway_lab.errors import ConfigError, did_you_mean

D = TypeVar("D", bound=Document)
M = TypeVar("M", bound=BaseModel)

_ENDINGS = {".yaml", ".yml", ".json"}
_NO_CONFIGS = {
    b"PAR1": (
        "a Parquet file, no config",
        "a capture is named behind the config: replay CONFIG CAPTURE",
    ),
    b"\x1f\x8b": ("a compressed file, no config", "unpack it first"),
    b"PK\x03\x04": ("a zip file, no config", "unpack it first"),
    b"\xff\xfe": ("UTF-16, not UTF-8", "save the file as UTF-8"),
    b"\xfe\xff": ("UTF-16, not UTF-8", "save the file as UTF-8"),
    b"\x89PNG": ("an image, no config", "a config is a YAML or JSON file"),
}
"""How files begin that are taken for configs by mistake."""


def parse_as(kind: type[D], text: str, *, file: str | None = None) -> D:
    """Read a config document from its text, knowing its places and traps.

    Raises:
        ConfigError: It is no config; all problems are told, each with file, line and column.
    """
    text = text.removeprefix("\ufeff")
    document, origin = parse_document(text, file=file, version_key="gateway_lab")
    traps = tuple(restore_braces(document, origin))
    config = build(kind, document, origin)
    traps += tuple(find_traps(document, origin))
    return config.with_origin(origin, traps)


def read_file(path: str | os.PathLike[str]) -> str:
    """Read a file of at most 1 MiB of UTF-8.

    Raises:
        ConfigError: It cannot be read, is larger, or is not UTF-8.
    """
    file = os.fspath(path)
    try:
        with Path(file).open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        denied = isinstance(error, PermissionError)
        hint = "look at who may read it" if denied else _what_is_there(Path(file))
        raise ConfigError(f"cannot be read: {reason}", where=file, hint=hint) from None
    return _decode(data, file)


def _what_is_there(path: Path) -> str:
    """Name the configs that stand where nothing could be read."""
    folder = path if _is_folder(path) else path.parent
    if not _is_folder(folder):
        return f"there is no folder {folder}"
    try:
        names = [each.name for each in folder.iterdir() if each.suffix in _ENDINGS]
    except OSError:
        return ""
    return did_you_mean(path.name, names) if names else "a config is a YAML or JSON file"


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def parse_document(
    text: str, *, file: str | None, version_key: str
) -> tuple[dict[str, Any], Origin]:
    """Read a mapping whose `version_key` says the format of this version.

    Raises:
        ConfigError: It is too large, no YAML, uses what is refused, or is of another format.
    """
    if len(text) > MAX_BYTES or len(text.encode(errors="replace")) > MAX_BYTES:
        raise _too_large(file or "")
    reading = read_text(text)
    origin = reading.origin(file, text)
    if reading.problems:
        raise ConfigError.of(_problems(reading, origin))
    _require_format(reading.value, origin, version_key)
    return reading.value, origin


def build(model: type[M], document: dict[str, Any], origin: Origin) -> M:
    """Make a model of a document.

    Raises:
        ConfigError: Something is missing, unknown or of the wrong kind; all problems are told.
    """
    try:
        return model.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        raise ConfigError.of(_refused(error, document, model, origin)) from None


def _decode(data: bytes, file: str) -> str:
    for begin, (problem, hint) in _NO_CONFIGS.items():
        if data.startswith(begin):
            raise ConfigError(problem, where=file, hint=hint)
    if len(data) > MAX_BYTES:
        raise _too_large(file)
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, len(before) - before.rfind(b"\n")
        raise ConfigError(
            f"not UTF-8: byte 0x{data[error.start]:02x}",
            where=f"{file}:{line}:{column}",
            hint="save the file as UTF-8, if it is a text",
        ) from None


def _too_large(file: str) -> ConfigError:
    return ConfigError(
        "larger than 1 MiB", where=file, hint="split it: one gateway may serve several configs"
    )


def _problems(reading: Reading, origin: Origin) -> list[ConfigError]:
    ordered = sorted(reading.problems, key=lambda problem: problem.at)
    return [
        ConfigError(problem.text, where=_where(origin, problem.at), hint=problem.hint)
        for problem in ordered
    ]


def _where(origin: Origin, at: int) -> str:
    line, column = origin.line_column(at)
    return f"{origin.file or 'config'}:{line}:{column}"


def _require_format(document: Any, origin: Origin, key: str) -> None:
    """Refuse what is no config, or one of another format, before judging its parts."""
    hint = f"begin with: {key}: {FORMAT}"
    if not isinstance(document, dict):
        problem = "empty" if document is None else "not a mapping"
        raise ConfigError(problem, where=_where(origin, 0), hint=hint)
    if key not in document:
        problem = f"the key {key} is missing"
        raise ConfigError(problem, where=_where(origin, 0), hint=hint)
    version = document[key]
    if version != FORMAT or not isinstance(version, int) or isinstance(version, bool):
        line, column = origin.of_value((key,))
        is_newer = isinstance(version, int) and version > FORMAT
        raise ConfigError(
            f"format {version!r} is not known; this version reads format {FORMAT}",
            where=f"{origin.file or 'config'}:{line}:{column}",
            hint="upgrade gateway-lab" if is_newer else f"write {key}: {FORMAT}",
        )


def _refused(
    error: ValidationError, document: Any, model: type[BaseModel], origin: Origin
) -> list[ConfigError]:
    problems = []
    for each in refusals(error, document, model):
        line, column = (origin.of_key if each.is_key else origin.of_value)(each.path)
        inside = ".".join(map(str, each.path))
        text = f"{inside}: {each.text}" if inside and not each.is_key else each.text
        where = f"{origin.file or 'config'}:{line}:{column}"
        problems.append(((line, column), ConfigError(text, where=where, hint=each.hint)))
    return [problem for _, problem in sorted(problems, key=lambda pair: pair[0])]
