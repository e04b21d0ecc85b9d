"""What becomes of one batch: a row of each message, and the groups with their aggregates.

The live way and the offline way both cut batches with `window.py` and make them here. What comes
in are the values of each message, in the order of `batch_inputs`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway_lab.batches.aggregate import compile_aggregates
from gateway_lab.config.plan import BatchPlan
from gateway_lab.events.event_type import EventType
from gateway_lab.rules.fill import Values, compile_alone, compile_json
from gateway_lab.rules.template import Template, template_references
from gateway_lab.rules.tree import Field, Reference, Span, Value, references


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The messages of a batch that have the same `group_by` values.

    Attributes:
        values: The group's own values and its aggregates, in the order of `Batches.outputs`.
        members: Which messages of the batch, as indexes.
        body: The values as JSON: the body of the message that is made of the group.
    """

    values: Values
    members: tuple[int, ...]
    body: bytes


def batch_inputs(plan: BatchPlan) -> tuple[Reference, ...]:
    """Name all values of a message that a batch needs, in the order in which it takes them."""
    templates = template_references(*plan.group_by.values(), *plan.rows.values())
    return tuple(dict.fromkeys((*templates, *references(*plan.aggregates.values()))))


class BatchMaker:
    """Makes the rows and groups of the batches of one plan and event type.

    Attributes:
        columns: The names of a row's values.
        outputs: The fields of a group's message: the names of `group_by`, then the aggregates.
    """

    def __init__(self, plan: BatchPlan, event_type: EventType | None) -> None:
        name, inputs = f"batch {plan.name}", batch_inputs(plan)
        self.columns = tuple(plan.rows)
        self.outputs = _outputs(plan)
        self._cells = [
            (compile_alone(each, inputs, name=name), _is_object(each, event_type))
            for each in plan.rows.values()
        ]
        self._key = [compile_alone(each, inputs, name=name) for each in plan.group_by.values()]
        nodes = tuple(plan.aggregates.values())
        self._aggregate = compile_aggregates(nodes, inputs, name=name)
        body = {field.path[0]: Template((field,), "") for field in self.outputs}
        self._write = compile_json(body, self.outputs, name=name)

    def row(self, values: Values) -> Values:
        """Make the row of one message: a value for each of `columns`.

        An object that the message does not have is an empty one; all else stays NULL.
        """
        cells = [(cell(values), is_object) for cell, is_object in self._cells]
        return tuple(b"{}" if is_object and cell is None else cell for cell, is_object in cells)

    def groups(self, batch: Sequence[Values]) -> tuple[Group, ...]:
        """Make the groups of one batch, in the order in which they first appear."""
        members: dict[object, list[int]] = {}
        keys: dict[object, Values] = {}
        for at, values in enumerate(batch):
            key = tuple(part(values) for part in self._key)
            identity = tuple(map(_identity, key))
            keys.setdefault(identity, key)
            members.setdefault(identity, []).append(at)
        return tuple(self._group(keys[each], at, batch) for each, at in members.items())

    def _group(self, key: Values, members: list[int], batch: Sequence[Values]) -> Group:
        values = key + self._aggregate([batch[at] for at in members])
        return Group(values=values, members=tuple(members), body=self._write(values))


def _identity(value: Value) -> object:
    """Return what two values of a group share; a list is compared by its elements."""
    return tuple(value) if isinstance(value, list) else value


def _is_object(template: Template, event_type: EventType | None) -> bool:
    """Say whether a template is one field alone that is declared as an object."""
    match template.parts:
        case (Field(path=path),) if event_type is not None:
            schema = event_type.find(path)
            return schema is not None and schema.type == "object"
        case _:
            return False


def _outputs(plan: BatchPlan) -> tuple[Field, ...]:
    nowhere = Span(0, 0)
    parts = {**plan.group_by, **plan.aggregates}
    return tuple(Field((name,), part.type, nowhere) for name, part in parts.items())
