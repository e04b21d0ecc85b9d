"""A Sankey trace from a frame: its columns are the layers, one row a path through them."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import polars as pl

from gateway_lab.lab.labels import safe, short
from gateway_lab.lab.layout import MOST_NODES
from gateway_lab.lab.palette import INK, NODE, faint

Node: TypeAlias = tuple[str, ...]
"""Its layer's column, what it belongs to, and its label."""

Link: TypeAlias = tuple[int, str]
"""A count and a colour."""

LABEL, ROOMY, LINKS = 20, 10, 0.3
"""Characters of a label, nodes of a layer that any height has room for, opacity of links."""

# Labels lie on links. Where a page tells the colour of its ground, as JupyterLab does, they are
# edged with it; elsewhere the text alone has to do.
_GROUND = "var(--jp-layout-color0, transparent)"
_TEXT = {
    "color": INK,
    "weight": 600,
    "shadow": ", ".join(f"0 0 {blur}px {_GROUND}" for blur in (1, 2, 2, 3)),
}


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


Path: TypeAlias = list[tuple[Node, Layer]]
"""The nodes that a row of the frame passes, with their layers."""


def sankey(
    frame: pl.DataFrame,
    layers: Sequence[Layer],
    *,
    value: str,
    unit: str,
    colours: Mapping[str, str],
) -> dict[str, Any]:
    """Return a trace; nodes stand in the order in which the rows name them.

    Of a layer with very many nodes the smallest are one.

    Args:
        frame: One row a path, with the columns of the layers and `value`, a count.
        layers: From left to right.
        value: The column of the counts.
        unit: What is counted, for the hover texts.
        colours: Name to colour.
    """
    paths = [
        ([(_node(row, layer), layer) for layer in layers if _passes(row, layer)], row[value])
        for row in frame.rows(named=True)
    ]
    small = _smallest(paths)
    nodes: dict[Node, str] = {}
    links: dict[tuple[Node, Node], Link] = {}
    for path, number in paths:
        passed = [(small.get(node, node), layer) for node, layer in path]
        for node, layer in passed:
            nodes.setdefault(node, colours.get(node[-1], NODE) if layer.coloured else NODE)
        # A link has the colour of the last layer that has one: where the message ends up.
        colour = faint(nodes[passed[-1][0]], alpha=LINKS)
        for link in itertools.pairwise(node for node, _ in passed):
            count, before = links.get(link, (0, colour))
            links[link] = (
                count + number,
                colour if before == colour else faint(NODE, alpha=LINKS),
            )
    return {
        "type": "sankey",
        "arrangement": "snap",
        "valueformat": ",d",
        "valuesuffix": f" {unit}",
        "textfont": _TEXT,
        "node": _nodes(nodes),
        "link": _links(nodes, links),
    }


def height(frame: pl.DataFrame, layers: Sequence[Layer]) -> Mapping[str, Any]:
    """Return the layout that has room for the fullest layer; no height where any has.

    Args:
        frame: As of `sankey`.
        layers: Likewise.
    """
    numbers = [frame.select(*each.within, each.column).n_unique() for each in layers]
    fullest = min(max(numbers), MOST_NODES)
    return {"height": 100 + 24 * fullest} if fullest > ROOMY else {}


def _smallest(paths: Iterable[tuple[Path, int]]) -> Mapping[Node, Node]:
    """Return what the smallest nodes of a layer that has too many are folded into."""
    sizes: defaultdict[str, Counter[Node]] = defaultdict(Counter)
    for path, number in paths:
        for node, layer in path:
            sizes[layer.column][node] += number
    folded: dict[Node, Node] = {}
    for column, of in sizes.items():
        if len(of) > MOST_NODES:
            small = sorted(of, key=lambda node: (-of[node], node))[MOST_NODES - 1 :]
            folded |= dict.fromkeys(small, (column, "", f"{len(small):,} others"))
    return folded


def _nodes(nodes: Mapping[Node, str]) -> dict[str, Any]:
    return {
        "label": [short(node[-1], most=LABEL) for node in nodes],
        "customdata": [safe(node[-1]) for node in nodes],
        "color": list(nodes.values()),
        "pad": 18,
        "thickness": 14,
        "line": {"width": 0},
        "hovertemplate": "%{customdata}: %{value}<extra></extra>",
    }


def _links(nodes: Iterable[Node], links: Mapping[tuple[Node, Node], Link]) -> dict[str, Any]:
    places = {node: place for place, node in enumerate(nodes)}
    return {
        "source": [places[start] for start, _ in links],
        "target": [places[end] for _, end in links],
        "value": [count for count, _ in links.values()],
        "color": [colour for _, colour in links.values()],
        "hovertemplate": ("%{source.customdata} → %{target.customdata}: %{value}<extra></extra>"),
    }


def _passes(row: Mapping[str, Any], layer: Layer) -> bool:
    return layer.skipped_without is None or row[layer.skipped_without] is not None


def _node(row: Mapping[str, Any], layer: Layer) -> Node:
    names = [row[column] for column in (*layer.within, layer.column)]
    return (layer.column, *(layer.absent if name is None else str(name) for name in names))
