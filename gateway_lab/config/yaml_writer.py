"""Writes a config as YAML, keeping what people wrote: comments, order, quotes.

The sections of the file that it came from (`sources:`, `routers:`, …) which did not change are
kept letter by letter; the others are merged into what ruamel's round trip read. A config without
such a file is written in one style: small mappings on one line, doubtful texts in quotes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from io import StringIO
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString, ScalarString

from gateway_lab.config.document import Document
from gateway_lab.config.yaml_text import read_text

_PLAIN = re.compile(
    r"[0-9]+(?:ms|s|m|h)|[A-Za-z_][A-Za-z0-9_./-]*(?: [A-Za-z0-9_./(-][A-Za-z0-9_.,;/()-]*)*"
)
_LONE_RETURN = re.compile("\r(?!\n)")
_NOT_TEXT = {"yes", "no", "on", "off", "y", "n", "true", "false", "null"}
_ONE_LINE = 88
_TABLES = {"settings", "brokers", "events", "sources", "targets", "routers", "batches"}
"""Sections whose order is the user's; inside a thing, keys stand where they were written."""


def document_of(config: Document) -> dict[str, Any]:
    """Return the document as plain data: what was given, without the defaults."""
    given: dict[str, Any] = config.model_dump(mode="json", exclude_unset=True)
    document = {"gateway_lab": config.gateway_lab, **given}
    first = ("gateway_lab", "name", "description", "owner")
    names = [*first, *(name for name in type(config).model_fields if name not in first)]
    return {name: document[name] for name in names if name in document}


def to_json(config: Document) -> str:
    """Write a config as JSON."""
    return json.dumps(document_of(config), ensure_ascii=False, indent=2) + "\n"


def to_yaml(config: Document) -> str:
    """Write a config as YAML; the same config over the same file is always the same text."""
    document = document_of(config)
    base = config.base_text
    if base is None or base.lstrip().startswith("{"):
        return to_fresh_yaml(config)
    return "".join(_merged_sections(_LONE_RETURN.sub("\n", base), document))


def to_fresh_yaml(config: Document) -> str:
    """Write a config as YAML in our own style, without comments."""
    sections = [_section(key, value) for key, value in document_of(config).items()]
    return "".join(f"\n{text}" if text.count("\n") > 1 else text for text in sections)


def to_tidy_yaml(base: str) -> str:
    """Write a text in one style: indentation and spaces; comments, order and quotes stay."""
    return _dumped(_yaml().load(base))


def _merged_sections(base: str, document: dict[str, Any]) -> Iterator[str]:
    reading = read_text(base)
    preamble, sections = _sections(base, list(reading.value), reading.keys)
    yield preamble
    for key, text in sections.items():
        if key in document:
            yield _section_over(text, key, reading.value[key], document[key])
    for key, value in document.items():
        if key not in sections:
            yield "\n" + _section(key, value)


def _sections(base: str, names: list[str], keys: Mapping[Any, Any]) -> tuple[str, dict[str, str]]:
    """Cut a text before its top-level keys; comments right above a key belong to it."""
    base = base if base.endswith("\n") else base + "\n"
    starts = [_with_comments_above(base, keys[name,].start) for name in names]
    texts = [base[start:end] for start, end in zip(starts, [*starts[1:], len(base)], strict=True)]
    return base[: starts[0]], dict(zip(names, texts, strict=True))


def _with_comments_above(base: str, start: int) -> int:
    start = base.rfind("\n", 0, start) + 1
    while start:
        above = base.rfind("\n", 0, start - 1) + 1
        if not base.startswith("#", above):
            break
        start = above
    return start


def _section_over(text: str, key: str, old: Any, new: Any) -> str:
    is_moved = key in _TABLES and list(old) != list(new)
    if _is_same(old, new) and not is_moved:
        return text
    body = text.rstrip("\n")
    tree = _yaml().load(body + "\n")
    merged = _merge(tree[key], new)
    if is_moved and isinstance(merged, CommentedMap):
        for name in new:
            merged.move_to_end(name)
    tree[key] = merged
    return _dumped(tree).rstrip("\n") + text[len(body) :]


def _is_same(old: Any, new: Any) -> bool:
    return json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True)


# --- merging new data into a tree that holds comments ---


def _merge(old: Any, new: Any) -> Any:
    if isinstance(old, CommentedMap) and isinstance(new, dict):
        return _merge_mapping(old, new)
    if isinstance(old, CommentedSeq) and isinstance(new, list):
        return _merge_list(old, new)
    if type(new) in (int, float, bool, type(None)) or not isinstance(old, str):
        return old if old == new and isinstance(old, type(new)) else _node(new)
    if old == new:
        return old
    return type(old)(new) if isinstance(old, ScalarString) else _node(new)


def _merge_mapping(old: CommentedMap, new: dict[str, Any]) -> CommentedMap:
    _rename_keys(old, new)
    for key in [key for key in old if key not in new]:
        del old[key]
    for index, (key, value) in enumerate(new.items()):
        if key in old:
            old[key] = _merge(old[key], value)
        else:
            old.insert(index, key, _node(value))
    return old


def _rename_keys(old: CommentedMap, new: dict[str, Any]) -> None:
    """Give a thing that only changed its name that name, so that its comments stay."""
    gone = [key for key in old if key not in new]
    for key in [key for key in new if key not in old]:
        for before in gone:
            if _is_same(_plain(old[before]), new[key]):
                index = list(old).index(before)
                comment = old.ca.items.pop(before, None)
                old.insert(index, key, old.pop(before))
                if comment is not None:
                    old.ca.items[key] = comment
                gone.remove(before)
                break


def _merge_list(old: CommentedSeq, new: list[Any]) -> CommentedSeq:
    """Find each new item among the old ones, by name or value, so that its comments go along."""
    places = {_identity(item): index for index, item in enumerate(old)}
    found = [places.get(_identity(item)) for item in new]
    if len(new) == len(old):
        free = [index for index in range(len(old)) if index not in found]
        found = [free.pop(0) if index is None else index for index in found]
    items = [
        _node(item) if index is None else _merge(old[index], item)
        for index, item in zip(found, new, strict=True)
    ]
    comments = {at: old.ca.items[index] for at, index in enumerate(found) if index in old.ca.items}
    old.clear()
    old.extend(items)
    old.ca.items.clear()
    old.ca.items.update(comments)
    return old


def _identity(item: Any) -> str:
    if isinstance(item, dict) and "name" in item:
        return str(item["name"])
    return json.dumps(_plain(item), sort_keys=True)


def _plain(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {str(key): _plain(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_plain(value) for value in tree]
    for kind in (str, bool, int, float):
        if isinstance(tree, kind):
            return kind(tree)
    return tree


# --- a text of our own ---


def _section(key: str, value: Any) -> str:
    return _dumped({key: _node(value)})


def _node(value: Any) -> Any:
    """Make a tree of plain data: what fits on a line is on a line, doubtful text is quoted."""
    tree: CommentedMap | CommentedSeq
    match value:
        case dict():
            tree = CommentedMap((_quoted(key), _node(each)) for key, each in value.items())
        case list():
            tree = CommentedSeq(_node(each) for each in value)
        case str():
            return _quoted(value)
        case _:
            return value
    if len(json.dumps(value, ensure_ascii=False)) <= _ONE_LINE and not _is_table(value):
        tree.fa.set_flow_style()
    return tree


def _is_table(value: Any) -> bool:
    """Say whether a value holds mappings: these look better one below the other."""
    inner = value.values() if isinstance(value, dict) else value
    return any(isinstance(each, dict) and each for each in inner)


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT:
        return text
    quoted: str = DoubleQuotedScalarString(text)
    return quoted


def _yaml() -> YAML:
    yaml = YAML(typ="rt", pure=True)
    yaml.preserve_quotes = True
    yaml.width = 1 << 20
    yaml.indent(mapping=2, sequence=4, offset=2)
    return yaml


def _dumped(tree: Any) -> str:
    stream = StringIO()
    _yaml().dump(tree, stream)
    return str(stream.getvalue())
