"""Aggregates: expressions such as `sum(value) / count(*)` over the messages of one group."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

from gateway_lab.events.event_type import Kind
from gateway_lab.rules import runtime
from gateway_lab.rules.fill import Values, compile_node
from gateway_lab.rules.functions import FUNCTIONS
from gateway_lab.rules.tree import Call, Field, Node, Reference, Value

Aggregate: TypeAlias = Callable[[Sequence[Values]], tuple[Value, ...]]

_REDUCE: Mapping[tuple[str, Kind], Callable[[Sequence[Any]], Value]] = MappingProxyType(
    {
        ("count(*)", Kind.INTEGER): len,
        ("count", Kind.INTEGER): runtime.count,
        ("sum", Kind.INTEGER): runtime.sum_integers,
        ("sum", Kind.NUMBER): runtime.sum_numbers,
        ("avg", Kind.NUMBER): runtime.average,
        **{("min", kind): runtime.least_item for kind in Kind},
        **{("max", kind): runtime.greatest_item for kind in Kind},
    }
)
"""Aggregate and the kind of what it gives to a function of the values, NULLs among them."""


def compile_aggregates(
    nodes: Sequence[Node], inputs: Sequence[Reference], *, name: str
) -> Aggregate:
    """Compile some aggregate expressions to one function of a group's messages.

    What several of them aggregate is computed once for each message.

    Args:
        nodes: Typed trees, every reference inside an aggregate.
        inputs: The references whose values each message has, in their order.
        name: What it is, for tracebacks: `batch load`.

    Returns:
        A function of the values of one or more messages; it gives one value for each node.
    """
    calls = tuple(dict.fromkeys(call for node in nodes for call in _aggregates(node)))
    arguments = {
        arg: compile_node(arg, inputs, name=f"{name} aggregate")
        for call in calls
        for arg in call.args
    }
    reducers = [(_REDUCE[call.function, call.type.kind], call.args) for call in calls]
    places = {call: Field((str(at),), call.type, call.span) for at, call in enumerate(calls)}
    results = tuple(places.values())
    finish = [
        compile_node(_with_results(node, places), results, name=f"{name} result") for node in nodes
    ]

    def aggregate(messages: Sequence[Values]) -> tuple[Value, ...]:
        columns = {arg: [get(values) for values in messages] for arg, get in arguments.items()}
        reduced = tuple(reduce(columns[args[0]] if args else messages) for reduce, args in reducers)
        return tuple(each(reduced) for each in finish)

    return aggregate


def _aggregates(node: Node) -> Iterator[Call]:
    if isinstance(node, Call):
        if FUNCTIONS[node.function].is_aggregate:
            yield node
        else:
            for arg in node.args:
                yield from _aggregates(arg)


def _with_results(node: Node, places: Mapping[Call, Field]) -> Node:
    """Put the place of its result instead of each aggregate."""
    if not isinstance(node, Call):
        return node
    if node in places:
        return places[node]
    args = tuple(_with_results(arg, places) for arg in node.args)
    return Call(node.function, args, node.type, node.span)
