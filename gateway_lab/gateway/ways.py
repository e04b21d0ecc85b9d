"""Ways: what all deliveries of one router, route and target have in common, made once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gateway_lab.config.document import Document
from gateway_lab.config.plan import Plan
from gateway_lab.gateway.counters import Counters
from gateway_lab.gateway.ids import way_suffix
from gateway_lab.protocols.registry import PROTOCOLS

ROUTE_HEADER: Final = "x-gw-route"


class Way:
    """One way; `counts` are its books.

    Attributes:
        suffix: Behind the message's id it is the delivery's; `letter_suffix` its letter's.
        header: Names router and route to whoever reads the target.
        options: The target's, typed for its protocol; None for letters.
        is_strict: Whether one message a key may be unconfirmed.
    """

    __slots__ = (
        "channels",
        "counts",
        "header",
        "is_strict",
        "letter_suffix",
        "max_channels",
        "options",
        "route",
        "router",
        "suffix",
        "target",
    )

    def __init__(self, key: WayKey, counters: Counters, target: Target) -> None:
        self.router, self.route, self.target = key
        self.counts = counters.tallies[key]
        self.suffix = way_suffix(*key)
        self.letter_suffix = way_suffix(*key, "letter")
        named = "/".join(filter(None, (self.router, self.route)))
        self.header = (ROUTE_HEADER, named.encode())
        self.options, self.max_channels, self.channels = target
        self.is_strict = _is_strict(self.options)

    def admits(self, channel: str) -> bool:
        """Say whether a target may write to one more channel; those of before always stay."""
        if len(self.channels) >= self.max_channels:
            return False
        self.channels.add(channel)
        return True


WayKey = tuple[str | None, str | None, str]
"""Router, route and target, as a delivery has them."""

Target = tuple[object, int, set[str]]
"""Options, the most channels, and the channels that were written to."""


class Ways(dict[WayKey, Way]):
    """The ways of one source; a way is made when its first delivery is."""

    def __init__(self, counters: Counters, targets: Mapping[str, Target]) -> None:
        super().__init__()
        self._counters, self._targets = counters, targets
        self.is_strict = any(_is_strict(options) for options, _, _ in targets.values())

    def __missing__(self, key: WayKey) -> Way:
        target = self._targets.get(key[2], (None, 0, set[str]()))
        way = self[key] = Way(key, self._counters, target)
        return way


def _is_strict(options: object) -> bool:
    return getattr(options, "order", None) == "strict"


def read_targets(config: Document, plan: Plan, source: str) -> dict[str, Target]:
    """Return what ways need to know of the targets of a source."""
    return {
        name: (
            PROTOCOLS[target.protocol].target_options.model_validate(
                dict(config.targets[name].options)
            ),
            target.max_channels,
            set(),
        )
        for (of, name), target in plan.targets.items()
        if of == source and name in config.targets
    }
