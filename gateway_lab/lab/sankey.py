"""A Sankey trace from a frame: its columns are the layers, one row a path through them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import polars as pl

from gateway_lab.lab.palette import NODE, faint

Node: TypeAlias = tuple[str, ...]
"""Its layer's column, what it belongs to, and its label."""

Link: TypeAlias = tuple[int, str]
"""A count and a colour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """A column of the frame.

    Attributes:
        within: Earlier layers that its labels belong to: routes of two routers that bear one
            name are two nodes.
        skipped_without: A column; a path that has no value there passes this layer by.
        absent: The label where a path has no value.
        coloured: Whether its nodes and the links into them have the colour of their names.
    """

    column: str
    within: tuple[str, ...] = ()
    skipped_without: str | None = None
    absent: str = "none"
    coloured: bool = False


def sankey(
    frame: pl.DataFrame,
    layers: Sequence[Layer],
    *,
    value: str,
    unit: str,
    colours: Mapping[str, str],
) -> dict[str, Any]:
    """Return a trace; nodes stand in the order in which the rows name them.

    Args:
        frame: One row a path, with the columns of the layers and `value`, a count.
        layers: From left to right.
        value: The column of the counts.
        unit: What is counted, for the hover texts.
        colours: Name to colour.
    """
    nodes: dict[Node, str] = {}
    links: dict[tuple[Node, Node], Link] = {}
    for row in frame.rows(named=True):
        path = [(_node(row, layer), layer) for layer in layers if _passes(row, layer)]
        for node, layer in path:
            nodes.setdefault(node, colours.get(node[-1], NODE) if layer.coloured else NODE)
        # A link has the colour of the last layer that has one: where the message ends up.
        colour = faint(nodes[path[-1][0]])
        for link in itertools.pairwise(node for node, _ in path):
            count, before = links.get(link, (0, colour))
            links[link] = count + row[value], colour if before == colour else faint(NODE)
    return {
        "type": "sankey",
        "arrangement": "snap",
        "valueformat": ",d",
        "valuesuffix": f" {unit}",
        "node": _nodes(nodes),
        "link": _links(nodes, links),
    }


def _nodes(nodes: Mapping[Node, str]) -> dict[str, Any]:
    return {
        "label": [node[-1] for node in nodes],
        "color": list(nodes.values()),
        "pad": 18,
        "thickness": 14,
        "line": {"width": 0},
        "hovertemplate": "%{label}: %{value}<extra></extra>",
    }


def _links(nodes: Iterable[Node], links: Mapping[tuple[Node, Node], Link]) -> dict[str, Any]:
    places = {node: place for place, node in enumerate(nodes)}
    return {
        "source": [places[start] for start, _ in links],
        "target": [places[end] for _, end in links],
        "value": [count for count, _ in links.values()],
        "color": [colour for _, colour in links.values()],
        "hovertemplate": "%{source.label} → %{target.label}: %{value}<extra></extra>",
    }


def _passes(row: Mapping[str, Any], layer: Layer) -> bool:
    return layer.skipped_without is None or row[layer.skipped_without] is not None


def _node(row: Mapping[str, Any], layer: Layer) -> Node:
    names = [row[column] for column in (*layer.within, layer.column)]
    return (layer.column, *(layer.absent if name is None else str(name) for name in names))
