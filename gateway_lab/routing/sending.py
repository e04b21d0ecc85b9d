"""What a handler sends to a target by itself: rendered as the target says, decided by no router."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from gateway_lab.config.plan import Plan, TargetPlan
from gateway_lab.errors import GatewayLabError
from gateway_lab.messages.books import Outcome
from gateway_lab.messages.message import Message
from gateway_lab.routing.passing import Refused
from gateway_lab.routing.render import compile_render
from gateway_lab.routing.routed import Delivery
from gateway_lab.routing.values import arrange, compile_read
from gateway_lab.rules.template import template_references
from gateway_lab.rules.tree import Field, Reference

SEND_ROUTE: Final = "send"
"""Stands as the route of what was sent; a second one to the same target is `send-2`."""

Send: TypeAlias = Callable[[Message, int], Delivery]
"""Renders a message that a handler sends, and its number among those to the same target.

It raises InvalidBody where the target reads fields and the event is not of the type that the
handler returns, and GatewayLabError where the target refuses the message.
"""


def compile_send(plan: Plan, source: str, target: str) -> Send:
    """Compile what a handler of a source sends to a target."""
    source_plan, target_plan = plan.sources[source], plan.targets[source, target]
    references = _references(target_plan)
    reads_fields = any(isinstance(each, Field) for each in references)
    types = tuple(source_plan.routed_types.values())
    event_type = types[0] if reads_fields and types else None
    inputs = arrange(references, event_type)
    read = compile_read(inputs, event_type, source)
    render = compile_render(target_plan, inputs)

    def write(message: Message, number: int) -> Delivery:
        try:
            sent = render(read(message), message)
        except Refused as refused:
            raise GatewayLabError(refused.reason, where=f"send to {target}") from None
        route = SEND_ROUTE if number == 1 else f"{SEND_ROUTE}-{number}"
        return Delivery(
            None,
            route,
            target,
            target_plan.broker,
            sent.channel,
            Outcome.DELIVERED,
            None,
            sent.key,
            sent.headers,
            sent.body,
        )

    return write


def _references(target: TargetPlan) -> tuple[Reference, ...]:
    return template_references(target.channel, target.key, target.body, *target.headers.values())
