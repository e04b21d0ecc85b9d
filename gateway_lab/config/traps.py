"""YAML's own traps: what was written is not what was read, though both are allowed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gateway_lab.config.language import language_at, texts
from gateway_lab.config.places import DocumentPath, Origin, Place
from gateway_lab.findings import Finding, Severity

_NEEDED = {("when",), ("key",)}
"""Keys that may be left out, which means something, but not by forgetting their value."""

_BOOLEANS_OF_YAML_1_1 = {"yes", "no", "on", "off"}


def restore_braces(document: Any, origin: Origin) -> Iterator[Finding]:
    """Put the text back where an unquoted `{…}` became a mapping but a template is wanted.

    Args:
        document: Changed in place.
        origin: Its text and places.
    """
    for path, place in origin.values.items():
        if place.style != "flow" or language_at(path) is None:
            continue
        holder, value = _holder(document, path[:-1]), _holder(document, path)
        if _is_bare_name(value, path, origin):
            written = origin.text[place.start : place.end]
            holder[path[-1]] = written
            yield _finding(
                origin,
                path,
                "braces-became-mapping",
                Severity.ERROR,
                f"unquoted {written} is a mapping in YAML, not a template",
                f'quote it: "{written}"',
            )


def _holder(document: Any, path: DocumentPath) -> Any:
    for step in path:
        document = document[step]
    return document


def _is_bare_name(value: Any, path: DocumentPath, origin: Origin) -> bool:
    """Tell `{tenant_id}`, one key without a value, from a mapping that was meant."""
    if not isinstance(value, dict) or len(value) != 1:
        return False
    ((key, inner),) = value.items()
    place = origin.values.get((*path, key))
    return inner is None and place is not None and place.start == place.end


def find_traps(document: Any, origin: Origin) -> Iterator[Finding]:
    """Yield findings for cut texts, keys without a value, and `no`, `yes`, `on`, `off`."""
    for path, text in texts(document):
        place = origin.values.get(path)
        if place is not None and place.style == "plain":
            yield from _cut_by_comment(path, text, place, origin)
            yield from _boolean_elsewhere(path, text, origin)
    for path, place in origin.values.items():
        if place.start == place.end and path[-1:] in _NEEDED and language_at(path):
            yield _nothing_written(path, origin)
    for path, place in origin.keys.items():
        if place.style == "plain":
            yield from _boolean_elsewhere(path, str(path[-1]), origin)


def _nothing_written(path: DocumentPath, origin: Origin) -> Finding:
    hint = f"write a value, or leave `{path[-1]}` out"
    text = f"nothing is written behind `{path[-1]}:`"
    finding = _finding(origin, path, "no-value", Severity.ERROR, text, hint)
    line, column = origin.of_key(path)  # the empty value stands where the next thing begins
    return replace(finding, line=line, column=column)


def _cut_by_comment(
    path: DocumentPath, text: str, place: Place, origin: Origin
) -> Iterator[Finding]:
    language = language_at(path)
    rest = origin.text[place.end :].split("\n", 1)[0].strip()
    if language is None or not rest.startswith("#"):
        return
    if _is_open(text):
        severity = Severity.ERROR
    elif language == "template" and not rest.startswith("# "):
        severity = Severity.WARNING
    else:
        return
    yield _finding(
        origin,
        path,
        "comment-cut-text",
        severity,
        f"the {language} ends before {rest[:40]!r}: an unquoted ' #' begins a comment",
        "quote the whole text",
    )


def _is_open(text: str) -> bool:
    """Say whether a text ends inside quotes, brackets or braces."""
    quoted = ""
    depth = 0
    for char in text:
        if quoted:
            quoted = "" if char == quoted else quoted
        elif char in "'\"":
            quoted = char
        else:
            depth += (char in "({[") - (char in ")}]")
    return bool(quoted) or depth > 0


def _boolean_elsewhere(path: DocumentPath, text: str, origin: Origin) -> Iterator[Finding]:
    if text.lower() in _BOOLEANS_OF_YAML_1_1 and text in {text.lower(), text.title(), text.upper()}:
        yield _finding(
            origin,
            path,
            "unquoted-yes-or-no",
            Severity.WARNING,
            f"unquoted {text} is a text here, but true or false to older YAML readers",
            f'quote it: "{text}"',
        )


def _finding(
    origin: Origin, path: DocumentPath, code: str, severity: Severity, text: str, hint: str
) -> Finding:
    line, column = origin.of_value(path)
    return Finding(
        code=code,
        severity=severity,
        path=path,
        text=text,
        hint=hint,
        file=origin.file,
        line=line,
        column=column,
    )
