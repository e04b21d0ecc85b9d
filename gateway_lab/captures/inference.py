"""Event types from traffic: a first draft of what valid bodies look like."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, overload

from gateway_lab.captures.capture import Capture, require_capture
from gateway_lab.captures.profile import body_kind
from gateway_lab.captures.rows import message_of
from gateway_lab.errors import CaptureError
from gateway_lab.events.event_type import Kind
from gateway_lab.events.infer import infer_schema
from gateway_lab.messages.message import Message
from gateway_lab.rules.fill import compile_node
from gateway_lab.rules.message_values import compile_look_up
from gateway_lab.rules.tree import references
from gateway_lab.rules.types import Scope, resolve

LOOKED_AT = 100_000
"""Of a larger capture a sample of so many messages is looked at."""

MOST_TYPES = 500
"""More values of `by` than this are no event types; an id was meant."""


@overload
def infer_event_type(capture: Capture, by: None = None) -> dict[str, Any]: ...
@overload
def infer_event_type(capture: Capture, by: str) -> dict[str, dict[str, Any]]: ...
def infer_event_type(capture: Capture, by: str | None = None) -> dict[str, Any]:
    """Infer the event type of a capture, or one for each value of a rule.

    Bodies that are not JSON objects are left out, and so are messages for which `by` is NULL.

    Args:
        capture: The traffic; narrow it down to one channel where there are several.
        by: A text rule over the message, such as `message.headers['x-github-event']`.

    Returns:
        A JSON Schema for `events:`; with `by` one for each value, sorted.

    Raises:
        CaptureError: No body is a JSON object, or `by` has too many values.
        RuleError: `by` cannot be read, or reads the event.
    """
    require_capture(capture)
    sample = capture.sample(LOOKED_AT, seed=0) if capture.count > LOOKED_AT else capture
    bodies: defaultdict[str, list[bytes]] = defaultdict(list)
    choose = _chooser(by)
    for batch in sample.batches():
        for row in batch.iter_rows(named=True):
            if body_kind(row["body"]) == "object" and (name := choose(message_of(row))) is not None:
                bodies[name].append(row["body"])
        if len(bodies) > MOST_TYPES:
            raise CaptureError(
                f"{by} has more than {MOST_TYPES} values", hint="choose by a type, not by an id"
            )
    if not bodies:
        raise CaptureError("no body in this capture is a JSON object", hint="see Capture.profile")
    if by is None:
        return infer_schema(bodies[""])
    return {name: infer_schema(bodies[name]) for name in sorted(bodies)}


def _chooser(by: str | None) -> Callable[[Message], str | None]:
    if by is None:
        return lambda _: ""
    node = resolve(by, Scope(events={}, settings={}), expect=Kind.TEXT)
    inputs = references(node)
    look_up = compile_look_up(inputs, "")
    value = compile_node(node, inputs, name="by")

    def choose(message: Message) -> str | None:
        chosen = value(look_up(message))
        return chosen if isinstance(chosen, str) else None

    return choose
