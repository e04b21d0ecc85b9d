"""Makes docs/config-reference.md and the JSON Schema from the model of a config."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from gateway_lab.config.json_schema import json_schema
from gateway_lab.protocols.registry import PROTOCOLS

HEAD = """\
# The config document

<!-- Made by `make docs` from gateway_lab/config/model.py; change that instead. -->

A config is one file of YAML 1.2 or JSON, in UTF-8, of at most 1 MiB. It is data: aliases of
brokers, never hosts, credentials or code. A first line

```yaml
# yaml-language-server: $schema=gateway-lab.schema.json
```

lets editors complete and check it; `gateway-lab schema` prints that file. Refused, each with file,
line, column and a hint: keys that are not on this page, keys that stand twice, anchors, aliases,
merge keys, tags, directives, a second document, nesting of more than 64 levels.

*Names* are a lower-case letter, then up to 62 lower-case letters, digits or `_`; a *duration* is a
whole number and `ms`, `s`, `m` or `h`. A [*rule*](rule-language.md) is an SQL expression, a
[*template*](rule-language.md#templates) a text with `{expressions}`. A whole config to begin with is
[`data/business.yaml`](../data/business.yaml); of the keys below only `gateway_lab` and `name` are
needed.

An **overlay** is a file of its own with what differs in one stage: values of `settings`, `retry`,
`options` of sources and targets, a source's `retry` and a target's `max_channels`, nothing else.
`gateway-lab export routes.yaml --with prod.yaml -o routes.prod.yaml` lays it over the config.

```yaml
overlay: 1
settings: {big_order: 8000}
targets:
  tenant: {max_channels: 50000}
```
"""

_ORDER = (
    ("", "The document"),
    ("Setting", "settings"),
    ("EventSchema", "events"),
    ("Source", "sources"),
    ("Address", "from"),
    ("EventChoice", "event, where there are several"),
    ("Handler", "handler"),
    ("Private", "private"),
    ("Retry", "retry"),
    ("DeadLetter", "dead_letter"),
    ("Target", "targets"),
    ("Router", "routers"),
    ("Route", "routes"),
    ("Batch", "batches"),
    ("Store", "store"),
    ("ConfigTest", "tests"),
    ("TestMessage", "message of a test"),
    ("Expected", "expect"),
    ("Expectations", "expectations"),
    ("ExpectedRouter", "routers of the expectations"),
    ("ExpectedTarget", "targets of the expectations"),
)

_PATTERNS = {
    "^[a-z][a-z0-9_]{0,62}$": "name",
    "^[A-Za-z][A-Za-z0-9_]{0,62}$": "event type",
    "^(0|[1-9][0-9]*)(ms|s|m|h)$": "duration",
}


def schema_file() -> str:
    """Return the text of the JSON Schema."""
    return json.dumps(json_schema(), indent=2) + "\n"


def config_reference() -> str:
    """Return the page: a table a part of the document."""
    schema = json_schema()
    parts = {"": schema, **schema["$defs"]}
    lines = [HEAD]
    for name, heading in _ORDER:
        lines += [f"## {heading}", "", *_part(parts[name]), ""]
    return "\n".join([*lines, "## options", "", *_options()]) + "\n"


def _part(part: dict[str, Any]) -> Iterator[str]:
    yield " ".join(part["description"].split("\n\n")[0].split())
    yield ""
    yield "| key | what | left out | |"
    yield "| --- | --- | --- | --- |"
    needed = part.get("required", [])
    for key, value in part["properties"].items():
        left_out = "**needed**" if key in needed else _default(value)
        yield f"| `{key}` | {_kind(value)} | {left_out} | {value.get('description', '')} |"


def _default(value: dict[str, Any]) -> str:
    default = value.get("default")
    if default in (None, [], {}) or isinstance(default, dict):
        return ""
    return f"`{json.dumps(default)}`".replace('"', "")


def _kind(value: dict[str, Any]) -> str:
    if "anyOf" in value:
        kinds = [_kind(each) for each in value["anyOf"] if each != {"type": "null"}]
        return " or ".join(dict.fromkeys(kinds))
    if "$ref" in value:
        headings = dict(_ORDER)
        name = str(value["$ref"]).rsplit("/", 1)[1]
        return headings.get(name, name)
    if "enum" in value or "const" in value:
        values = value.get("enum", [value.get("const")])
        return ", ".join(f"`{each}`" for each in values)
    if value.get("type") == "array":
        return f"list of {_kind(value['items'])}" if "items" in value else "list"
    if value.get("type") == "object":
        return _table(value)
    known = value.get("x-language") or _PATTERNS.get(value.get("pattern", ""))
    return str(known or _word(value))


def _table(value: dict[str, Any]) -> str:
    for pattern, inner in value.get("patternProperties", {}).items():
        return f"{_PATTERNS[pattern]} to {_kind(inner)}"
    inner = value.get("additionalProperties")
    return f"text to {_kind(inner)}" if isinstance(inner, dict) else "mapping"


def _word(value: dict[str, Any]) -> str:
    words = {"string": "text", "boolean": "true or false"}
    kind = str(value.get("type", "any JSON"))
    return words.get(kind, kind)


def _options() -> Iterator[str]:
    """Show what each protocol takes."""
    yield "| protocol | of a source | of a target |"
    yield "| --- | --- | --- |"
    for protocol in PROTOCOLS.values():
        cells = [
            ", ".join(
                f"`{name}` ({_kind(option)})"
                for name, option in model.model_json_schema()["properties"].items()
            )
            if model.model_fields
            else "none"
            for model in (protocol.source_options, protocol.target_options)
        ]
        yield f"| {protocol.name} | {cells[0]} | {cells[1]} |"
