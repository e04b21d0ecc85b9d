"""One message of a pile, for people: what the rules read from it, private values masked."""

from __future__ import annotations

from collections.abc import Iterator

from gateway_lab.config.plan import Plan, SourcePlan
from gateway_lab.gateway.letter import Reopened
from gateway_lab.messages.mask import is_private_shown, mask_text
from gateway_lab.routing.route import SourceRouter
from gateway_lab.routing.show_explanation import show_value
from gateway_lab.rules.tree import Field, Value


def show_example(plan: Plan, message: Reopened) -> str:
    """Return the place of a message, and the fields that routers and targets read.

    An invalid body is not shown: nobody knows what in it is private.
    """
    source = plan.sources[message.letter.source]
    values = SourceRouter(plan, source).values(message)
    fields = [
        f"{_name(each)} = {_mask(source, each, value)}"
        for each, value in values.items()
        if isinstance(each, Field)
    ]
    return ", ".join([message.letter.position, *fields])


def _name(reference: Field) -> str:
    return ".".join(reference.path)


def _mask(source: SourcePlan, reference: Field, value: Value) -> str:
    if value is not None and not is_private_shown() and any(_private(source, reference)):
        return mask_text(value)
    return show_value(value, reference.type)


def _private(source: SourcePlan, reference: Field) -> Iterator[bool]:
    """Say of each part of a field's path whether any event type calls it private."""
    for event_type in source.routed_types.values():
        for depth in range(len(reference.path)):
            schema = event_type.find(reference.path[: depth + 1])
            yield schema is not None and schema.private
