"""A layered layout of flows: the same coordinates for the designer and for its static picture.

Nodes stand in columns and are as high as what passes through them; links are ribbons between
them. The order is that of the rows, so that a picture changes as little as its numbers do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import Final, TypeAlias

from gateway_lab.lab.palette import INK, NODE

WIDTH: Final = 960
HEIGHT: Final = 320
NODE_WIDTH: Final = 12
GAP: Final = 14
MOST_NODES: Final = 24
"""Nodes of a column that are drawn apart; the smallest beyond it are folded into one."""

FOLDED: Final = "others"

Key: TypeAlias = tuple[str, ...]
"""Names a node: its column, then what it belongs to, then its name."""


@dataclass(slots=True)
class Node:
    """A bar in a column.

    Attributes:
        kind: The column's word, such as `route`.
        count: What passes through.
        select: What to ask a replay's samples for; empty where there is nothing to ask.
    """

    key: Key
    kind: str
    label: str
    layer: int
    count: int
    colour: str
    select: Mapping[str, str] = field(default_factory=dict)
    x: float = 0.0
    y: float = 0.0
    h: float = 0.0


@dataclass(slots=True)
class Link:
    """A ribbon between two nodes."""

    source: Node
    target: Node
    count: int
    colour: str
    select: Mapping[str, str] = field(default_factory=dict)
    y0: float = 0.0
    y1: float = 0.0
    width: float = 0.0

    @property
    def path(self) -> str:
        """The middle line, in the words of SVG; the ribbon is its stroke."""
        x0, x1 = self.source.x + NODE_WIDTH, self.target.x
        middle = (x0 + x1) / 2
        y0, y1 = self.y0 + self.width / 2, self.y1 + self.width / 2
        return f"M{x0:.1f} {y0:.1f}C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything is.

    Attributes:
        folded: How many nodes are not drawn apart.
    """

    nodes: tuple[Node, ...]
    links: tuple[Link, ...]
    height: float
    folded: int


@dataclass(frozen=True, slots=True)
class Stop:
    """One place on a way: where a node is made of."""

    key: Key
    kind: str
    label: str
    colour: str = NODE
    select: Mapping[str, str] = field(default_factory=dict)


Ways: TypeAlias = Iterable[tuple[Sequence[tuple[int, Stop]], int]]
"""Ways through the columns: (column, stop) from left to right, and how many take it."""


def layout(ways: Ways, *, layers: int) -> Layout:
    """Place nodes and links.

    Args:
        ways: What is drawn.
        layers: The count of columns.
    """
    taken = [(tuple(stops), count) for stops, count in ways if count > 0]
    small = _smallest(taken)
    nodes: dict[Key, Node] = {}
    links: dict[tuple[Key, Key], Link] = {}
    for stops, count in taken:
        passed = [_node(nodes, layer, _folded(layer, stop, small), count) for layer, stop in stops]
        last = stops[-1][1].colour
        for start, end in pairwise(passed):
            link = links.setdefault((start.key, end.key), Link(start, end, 0, last, end.select))
            link.count += count
            link.select = {**start.select, **end.select}
            link.colour = last if link.colour == last else NODE
    height = _place(list(nodes.values()), layers)
    _attach(links.values())
    return Layout(tuple(nodes.values()), tuple(links.values()), height, len(small))


def _smallest(ways: Sequence[tuple[Sequence[tuple[int, Stop]], int]]) -> frozenset[Key]:
    """Name the nodes that are too many: the smallest of each column."""
    counts: defaultdict[int, defaultdict[Key, int]] = defaultdict(lambda: defaultdict(int))
    for stops, count in ways:
        for layer, stop in stops:
            counts[layer][stop.key] += count
    small: set[Key] = set()
    for of in counts.values():
        if len(of) > MOST_NODES:
            small.update(sorted(of, key=lambda key: (-of[key], key))[MOST_NODES - 1 :])
    return frozenset(small)


def _folded(layer: int, stop: Stop, small: frozenset[Key]) -> Stop:
    return Stop((str(layer), FOLDED), stop.kind, FOLDED) if stop.key in small else stop


def _node(nodes: dict[Key, Node], layer: int, stop: Stop, count: int) -> Node:
    made = Node(stop.key, stop.kind, stop.label, layer, 0, stop.colour, stop.select)
    node = nodes.setdefault(stop.key, made)
    node.count += count
    return node


def _place(nodes: Sequence[Node], layers: int) -> float:
    """Stack the nodes of each column, all to one scale, and return the height."""
    columns: defaultdict[int, list[Node]] = defaultdict(list)
    for node in nodes:
        columns[node.layer].append(node)
    fullest = max((len(column) for column in columns.values()), default=1)
    height = max(HEIGHT, fullest * (GAP + 6))
    scale = min(
        (
            (height - GAP * len(column)) / sum(node.count for node in column)
            for column in columns.values()
        ),
        default=1.0,
    )
    step = (WIDTH - NODE_WIDTH) / max(1, layers - 1)
    for column in columns.values():
        used = sum(max(1.0, node.count * scale) for node in column) + GAP * (len(column) - 1)
        y = (height - used) / 2
        for node in column:
            node.x, node.y, node.h = node.layer * step, y, max(1.0, node.count * scale)
            y += node.h + GAP
    return height


def _attach(links: Iterable[Link]) -> None:
    """Give each link its share of both its nodes, in the order of the nodes at the other end."""
    ordered = sorted(links, key=lambda link: (link.source.y, link.target.y))
    leaving: defaultdict[Key, float] = defaultdict(float)
    coming: defaultdict[Key, float] = defaultdict(float)
    for link in ordered:
        link.width = max(1.0, link.source.h * link.count / link.source.count)
        link.y0 = link.source.y + leaving[link.source.key]
        leaving[link.source.key] += link.width
        link.y1 = link.target.y + coming[link.target.key]
        coming[link.target.key] += link.target.h * link.count / link.target.count


MARGIN: Final = 8
LABELS: Final = 150
"""Room for the labels of the last column."""


def to_svg(drawn: Layout, title: str) -> str:
    """Draw it as a picture without any script; its text is escaped."""
    width, height = WIDTH + LABELS + 2 * MARGIN, drawn.height + 2 * MARGIN
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {width} {height:.0f}"',
        f'  width="{width}" height="{height:.0f}" fill="{INK}"',
        '  font-family="system-ui, sans-serif" font-size="12" font-weight="600">',
        f"<title>{escape(title)}</title>",
        f'<g transform="translate({MARGIN} {MARGIN})">',
        *map(_ribbon, drawn.links),
        *map(_bar, drawn.nodes),
        "</g>",
        "</svg>",
    ])  # fmt: skip


def _ribbon(link: Link) -> str:
    stroke = f'stroke="{link.colour}" stroke-opacity="0.25" stroke-width="{link.width:.1f}"'
    return f'<path d="{link.path}" fill="none" {stroke}/>'


def _bar(node: Node) -> str:
    size = f'width="{NODE_WIDTH}" height="{node.h:.1f}"'
    x, y = node.x + NODE_WIDTH + 4, node.y + node.h / 2 + 4
    told = f"{escape(node.label)} {node.count:,}"
    bar = f'<rect x="{node.x:.1f}" y="{node.y:.1f}" {size} fill="{node.colour}"/>'
    return f'{bar}<text x="{x:.1f}" y="{y:.1f}">{told}</text>'
