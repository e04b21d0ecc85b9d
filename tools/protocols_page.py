"""Makes docs/protocols.md from the pure files of the protocols."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from gateway_lab.protocols.protocol import Protocol
from gateway_lab.protocols.registry import PROTOCOLS
from tools.guarantees_page import changes

HEAD = """\
# The protocols

<!-- Made by `make docs` from gateway_lab/protocols/; change that instead. -->

Moving a source or a target from one broker to another is a change of one line of the config. What
changes with it is on this page; `check` says it of each target (finding
[not-carried](findings.md#not-carried)), before a message is lost on the way.

## What a message may hold

A body passes as it is, byte for byte, unless the target writes one of its own.
"""

PAIRS = """\

## What changes from one to another

Read a line for the source, a column for the target. Key and time come out of their headers again
wherever a source of ours reads them, so what went through RabbitMQ and back to Kafka is a key of
Kafka again. Kafka keeps whole milliseconds of a time, the others microseconds. Headers of RabbitMQ
that are numbers, times or tables are read as text. Redis pub/sub and lists carry the body and nothing else.
What is promised about delivery is in [delivery-guarantees.md](delivery-guarantees.md).
"""

IDS = """\

Each delivery has the id of its message in `x-gw-id`, the same at every try, made of what names the
message at its source. NATS has it in `Nats-Msg-Id` too, with the way, the time and the subject; the
`message_id` of AMQP is another one for each publish.

| source | the id is made of |
| --- | --- |
"""

RULES = """\

## Names of channels

A name from a template is checked when it is rendered; one that fails is a dead letter. A value of
a message in it is `[A-Za-z0-9_-]{1,64}` on every protocol
([why](decisions/0006-untrusted-routing-values.md)).
"""

HEADERS = """\

## Headers

Headers that belong to a broker or to the gateway never pass, whatever `pass_headers` says.
"""


def protocols_page() -> str:
    """Return the page: a table of what is carried, one of names, one of headers."""
    protocols = PROTOCOLS.values()
    lines = [HEAD, *_row("", PROTOCOLS), *_row("---", ["---"] * len(PROTOCOLS))]
    for title, cell in _CARRIED.items():
        lines += _row(title, map(cell, protocols))
    lines += [PAIRS, *_row("from, to", PROTOCOLS), *_row("---", ["---"] * len(PROTOCOLS))]
    for near in protocols:
        lines += _row(near.name, [changes(near, far) for far in protocols])
    lines.append(IDS.rstrip("\n"))
    for each in protocols:
        lines += _row(each.name, [each.promise.place])
    lines += [RULES, "| protocol | a channel | a pattern of a source |", "| --- | --- | --- |"]
    for each in protocols:
        lines += _row(each.name, [_rule(each.check_channel), _rule(each.check_pattern)])
    lines += [
        HEADERS,
        "| protocol | the name of a header | what belongs to it never passes |",
        "| --- | --- | --- |",
    ]
    for each in protocols:
        lines += _row(each.name, [_rule(each.check_header), _rule(each.is_control)])
    return "\n".join([*lines, ""])


def _row(title: str, cells: Any) -> Iterator[str]:
    yield f"| {title} | {' | '.join(cells)} |"


def _place(name: str) -> str:
    return "its own" if name == "native" else f"header `{name}`"


def _size(count: int | None) -> str:
    return "no bound of their own" if count is None else f"{count:,} bytes"


_CARRIED: dict[str, Callable[[Protocol], str]] = {
    "key": lambda each: _place(each.carries.key),
    "time": lambda each: _place(each.carries.timestamp),
    "headers, and keys in headers": lambda each: (
        "any bytes"
        if each.carries.binary
        else "text without control characters and without blanks at its ends"
    ),
    "a header that repeats": lambda each: "every value" if each.carries.repeated else "the last",
    "a message without a body": lambda each: (
        "as it is" if each.carries.tombstone else "an empty body"
    ),
    "name of a channel, at most": lambda each: _size(each.carries.channel_bytes),
    "all headers, at most": lambda each: _size(each.carries.header_bytes),
    "body, at most (servers as they come)": lambda each: _size(each.carries.body_bytes),
}


def _rule(check: Callable[[str], Any] | None) -> str:
    """Take the rule from the first line of what checks it: `Check a topic: letters …`."""
    if check is None:
        return "none"
    said = (inspect.getdoc(check) or "").splitlines()[0].rstrip(".")
    for start in ("Check a header's name: ", "Check ", "Say whether a header belongs to "):
        said = said.removeprefix(start)
    return said.replace("|", r"\|")
