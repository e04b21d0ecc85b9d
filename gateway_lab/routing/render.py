"""What a target writes: channel, key, headers and body of one delivery.

Live and offline render with these functions, so a delivery is the same in both. For what cannot be
written they raise `Refused` with a reason that is stable (it can be counted) and shows no value of
the message. Channel, key and headers are judged in this order; the first refusal counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias, TypeVar

import msgspec

from gateway_lab.config.plan import DeadLetterPlan, TargetPlan
from gateway_lab.messages.headers import Headers
from gateway_lab.messages.message import Message
from gateway_lab.protocols.protocol import Protocol, check_value, is_plain
from gateway_lab.protocols.registry import PROTOCOLS
from gateway_lab.routing.passing import MAX_REMEMBERED, Refused, compile_passing, header_refused
from gateway_lab.rules.fill import (
    Values,
    compile_json,
    compile_pieces,
    compile_text,
    join,
)
from gateway_lab.rules.template import Template
from gateway_lab.rules.tree import Reference

OTHER: Final = "other"
"""What stands in a dead-letter channel for a value that cannot stand there."""


class Rendered(msgspec.Struct, frozen=True, gc=False):
    """A delivery as it is written."""

    channel: str
    key: bytes | None
    headers: Headers
    body: bytes | None


RenderChannel: TypeAlias = Callable[[Values], str]
RenderKey: TypeAlias = Callable[[Values, "bytes | None"], "bytes | None"]
RenderHeaders: TypeAlias = Callable[[Values, Headers], Headers]
RenderBody: TypeAlias = Callable[[Values, "bytes | None"], "bytes | None"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Render:
    """A compiled target: call it for one message, or use its parts; all of them raise `Refused`.

    Attributes:
        channel: Takes the values of the inputs.
        key: Takes the values and the message's key.
        headers: Takes the values and the message's headers.
        body: Takes the values and the message's body.
        refuse_passing: Says why a key and headers that pass cannot be carried, None if they can;
            with it a replay finds refusals that do not depend on values.
        values_refuse: Whether values of the message in `key` or `headers` can be refused too.
    """

    channel: RenderChannel
    key: RenderKey
    headers: RenderHeaders
    body: RenderBody
    refuse_passing: Callable[[bytes | None, Headers], str | None]
    values_refuse: bool

    def __call__(self, values: Values, message: Message) -> Rendered:
        """Write one delivery."""
        return Rendered(
            self.channel(values),
            self.key(values, message.key),
            self.headers(values, message.headers),
            self.body(values, message.body),
        )


def compile_render(target: TargetPlan, inputs: Sequence[Reference]) -> Render:
    """Compile what a target writes.

    Args:
        target: The target, typed for the source of the messages.
        inputs: The references whose values are given, in order; all of the target's among them.
    """
    protocol = PROTOCOLS[target.protocol]
    check = _value_check(protocol)
    key = _compile_key(target, inputs, check)
    headers = _compile_headers(target, inputs, check)
    no_values: Values = (None,) * len(inputs)
    passing = compile_passing(target)

    def refuse_passing(incoming_key: bytes | None, incoming: Headers) -> str | None:
        try:
            if target.key is None:
                key(no_values, incoming_key)
            passing(incoming)
        except Refused as refused:
            return refused.reason
        return None

    templates = (target.key, *target.headers.values())
    return Render(
        channel=compile_channel(target.channel, protocol, inputs, name=f"target {target.name}"),
        key=key,
        headers=headers,
        body=_compile_body(target, protocol, inputs),
        refuse_passing=refuse_passing,
        values_refuse=not protocol.carries.binary
        and any(each and each.nodes for each in templates),
    )


# --- the channel: every value in it is untrusted, docs/decisions/0006 ---


def compile_channel(
    template: Template, protocol: Protocol, inputs: Sequence[Reference], *, name: str
) -> RenderChannel:
    """Compile a channel; reasons are null-in-channel, unsafe-channel-value, unsafe-channel."""
    pieces = compile_pieces(template, inputs, name=f"{name} channel")
    if not pieces:
        fixed = _judge_channel(template, (), protocol)
        return lambda _: fixed
    remembered: dict[str | tuple[str | None, ...] | None, str] = {}
    only = pieces[0] if len(pieces) == 1 else None

    def channel(values: Values) -> str:
        found = only(values) if only else tuple([piece(values) for piece in pieces])
        if known := remembered.get(found):
            return known
        judged = _judge_channel(template, found if isinstance(found, tuple) else (found,), protocol)
        _remember(remembered, found, judged)  # what is refused may be huge: it is never remembered
        return judged

    return channel


def _judge_channel(template: Template, filled: tuple[str | None, ...], protocol: Protocol) -> str:
    for value in filled:
        if value is None:
            raise Refused(f"null-in-channel: {template.text}")
        if reason := check_value(value):
            raise Refused(f"unsafe-channel-value: {template.text}: {reason}")
    channel = join(template, filled) or ""
    if reason := protocol.check_channel(channel):
        raise Refused(f"unsafe-channel: {template.text}: {reason}")
    return channel


def compile_dead_letter(
    plan: DeadLetterPlan, inputs: Sequence[Reference], *, name: str
) -> Callable[[Values], str]:
    """Compile a dead-letter channel: it always has a name, see `OTHER`."""
    protocol = PROTOCOLS[plan.protocol]
    pieces = compile_pieces(plan.channel, inputs, name=f"{name} dead letter")
    others = (OTHER,) * len(pieces)

    def channel(values: Values) -> str:
        filled = [piece(values) for piece in pieces]
        safe = tuple(OTHER if value is None or check_value(value) else value for value in filled)
        try:
            return _judge_channel(plan.channel, safe, protocol)
        except Refused:
            return join(plan.channel, others) or ""

    return channel


K = TypeVar("K")
V = TypeVar("V")


def _remember(memory: dict[K, V], key: K, value: V) -> None:
    """Keep what was judged, within a bound: messages choose the keys."""
    if len(memory) >= MAX_REMEMBERED:
        memory.clear()
    memory[key] = value


# --- key, headers, body ---

_CheckValue: TypeAlias = Callable[[bytes], bool]


def _value_check(protocol: Protocol) -> _CheckValue | None:
    """Return what judges a header's value or a key; None where any bytes are carried."""
    return None if protocol.carries.binary else is_plain


def _compile_key(
    target: TargetPlan, inputs: Sequence[Reference], check: _CheckValue | None
) -> RenderKey:
    if target.key is None and check is None:
        return lambda _, incoming: incoming
    fill = None
    if target.key is not None:
        fill = compile_text(target.key, inputs, name=f"target {target.name} key")

    def key(values: Values, incoming: bytes | None) -> bytes | None:
        if fill is not None:
            text = fill(values)
            incoming = None if text is None else text.encode()
        if incoming is None or check is None or check(incoming):
            return incoming
        raise Refused(f"key-not-carried: {target.protocol} carries keys that are plain text")

    return key


def _compile_headers(
    target: TargetPlan, inputs: Sequence[Reference], check: _CheckValue | None
) -> RenderHeaders:
    passing = compile_passing(target)
    added = [
        (name, compile_text(template, inputs, name=f"target {target.name} header {name}"))
        for name, template in target.headers.items()
    ]

    def headers(values: Values, incoming: Headers) -> Headers:
        written = list(passing(incoming))
        for name, fill in added:
            text = fill(values)
            if text is None:
                continue
            value = text.encode()
            if check and not check(value):
                raise header_refused(name, target.protocol)
            written.append((name, value))
        return tuple(written)

    return headers if added else lambda _, incoming: passing(incoming)


def _compile_body(
    target: TargetPlan, protocol: Protocol, inputs: Sequence[Reference]
) -> RenderBody:
    if target.body is not None:
        write = compile_json(target.body, inputs, name=f"target {target.name} body")
        return lambda values, _: write(values)
    if protocol.carries.tombstone:
        return lambda _, body: body
    return lambda _, body: b"" if body is None else body
