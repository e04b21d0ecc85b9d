"""Masked values: which they are, and how templates take them. A mask is a text, whatever it hides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from gateway_lab.captures.mask import masked_type
from gateway_lab.config.plan import BatchPlan, SourcePlan, TargetPlan
from gateway_lab.errors import ReplayError
from gateway_lab.events.event_type import Kind
from gateway_lab.protocols.registry import PROTOCOLS
from gateway_lab.rules.template import BodyTemplate, Template
from gateway_lab.rules.tree import TEXT, Field, Header, Meta, Node, references


def reads_private(owner: SourcePlan, node: Node | None) -> bool:
    """Say whether a tree reads something that a source or its event types mark as private."""
    return any(is_private_leaf(owner, leaf) for leaf in references(node))


def is_private_leaf(owner: SourcePlan, leaf: Field | Meta | Header) -> bool:
    """Say whether a value, or an object that holds it, is private."""
    match leaf:
        case Meta(name=name):
            return name == "key" and owner.private_key
        case Header(name=name):
            return name in owner.private_headers
        case Field(path=path):
            return any(
                schema is not None and schema.private
                for event_type in owner.routed_types.values()
                for schema in (event_type.find(path[:length]) for length in range(1, len(path) + 1))
            )


def is_mask_itself(leaf: Field | Meta | Header, owners: Sequence[SourcePlan]) -> bool:
    """Say whether the mask is that of this very value, not of an object around it."""
    if not isinstance(leaf, Field):
        return True
    types = [each for owner in owners for each in owner.routed_types.values()]
    return all(
        (schema := masked_type(each).find(leaf.path)) is not None and schema.private
        for each in types
    )


# --- templates ---


def masked_target(target: TargetPlan, owner: SourcePlan) -> TargetPlan:
    """Take masks for texts; a target that calculates with a masked value stays as it is."""
    masked = replace(
        target,
        channel=_masked(target.channel, owner),
        key=target.key and _masked(target.key, owner),
        headers={name: _masked(each, owner) for name, each in target.headers.items()},
        body=_masked_body(target.body, owner),
    )
    return target if _cannot_be_written(masked, owner) else masked


def _masked(template: Template, owner: SourcePlan) -> Template:
    parts = tuple(
        each if isinstance(each, str) else _as_text(each, owner) for each in template.parts
    )
    return replace(template, parts=parts)


def _as_text(node: Node, owner: SourcePlan) -> Node:
    return replace(node, type=TEXT) if _is_mask(node, owner) else node


def _is_mask(node: Node, owner: SourcePlan) -> bool:
    return (
        isinstance(node, Field) and is_private_leaf(owner, node) and is_mask_itself(node, [owner])
    )


def _masked_body(body: BodyTemplate, owner: SourcePlan) -> BodyTemplate:
    if isinstance(body, Template):
        return _masked(body, owner)
    if isinstance(body, Mapping):
        return {name: _masked_body(each, owner) for name, each in body.items()}
    if isinstance(body, tuple):
        return tuple(_masked_body(each, owner) for each in body)
    return body


def cannot_be_judged(target: TargetPlan, owner: SourcePlan) -> bool:
    """Say whether what a target refuses depends on more than masks."""
    asked: tuple[BodyTemplate, ...] = (target.channel,)
    if not PROTOCOLS[target.protocol].carries.binary:
        asked = (target.channel, target.key, *target.headers.values())
    return _needs_more(owner, *asked)


def _cannot_be_written(target: TargetPlan, owner: SourcePlan) -> bool:
    return _needs_more(owner, target.channel, target.key, target.body, *target.headers.values())


def require_written(target: TargetPlan, owner: SourcePlan) -> None:
    """Look whether a target can write what a masked capture holds.

    Raises:
        ReplayError: It needs more than masks.
    """
    if _cannot_be_written(target, owner):
        raise ReplayError(
            f"target {target.name} calculates with a value that this capture has masked",
            where=f"targets.{target.name}",
            hint="use the capture that it was masked from",
        )


def require_aggregated(batch: BatchPlan, owner: SourcePlan) -> None:
    """Look whether a batch can be made of what a masked capture holds.

    Raises:
        ReplayError: It needs more than masks.
    """
    templates = (*batch.group_by.values(), *batch.rows.values())
    leaves = references(*(node for each in templates for node in each.nodes))
    is_retyped = any(_is_mask(each, owner) and each.type != TEXT for each in leaves)
    is_aggregated = any(reads_private(owner, node) for node in batch.aggregates.values())
    if is_retyped or is_aggregated or _needs_more(owner, *templates):
        raise ReplayError(
            f"batch {batch.name} reads more of a value than this masked capture has kept",
            where=f"batches.{batch.name}",
            hint="use the capture that it was masked from",
        )


def _needs_more(owner: SourcePlan, *templates: BodyTemplate) -> bool:
    """Say whether templates calculate with a masked value, or look into one."""
    return any(
        reads_private(owner, node) and not _stands_alone(node, owner)
        for template in templates
        for node in _nodes(template)
    )


def _stands_alone(node: Node, owner: SourcePlan) -> bool:
    if isinstance(node, Meta | Header):
        return True
    return _is_mask(node, owner) and node.type.kind is not Kind.BOOLEAN  # any text is true


def _nodes(template: BodyTemplate) -> Iterator[Node]:
    if isinstance(template, Template):
        yield from template.nodes
    elif isinstance(template, Mapping | tuple):
        for each in template.values() if isinstance(template, Mapping) else template:
            yield from _nodes(each)
