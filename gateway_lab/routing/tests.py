"""Runs the `tests:` of a config: one message each, and where it must go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from gateway_lab.config.compile import compile_plan
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.model import ConfigTest, Expected
from gateway_lab.config.plan import Plan
from gateway_lab.errors import ConfigError, ReplayError
from gateway_lab.findings import Severity
from gateway_lab.messages.books import Outcome
from gateway_lab.messages.headers import header_text
from gateway_lab.routing.route import SourceRouter, compile_source
from gateway_lab.routing.routed import DEAD_LETTER, DROP, Delivery, Routed
from gateway_lab.routing.sample import encode_event, make_message


@dataclass(frozen=True, slots=True)
class TestResult:
    """How one test of a config went.

    Attributes:
        name: The test's name.
        problems: What differs from what it expects, a sentence each; empty if it passed.
        happened: The deliveries that there were, a line each.
    """

    __test__ = False

    name: str
    problems: tuple[str, ...]
    happened: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether all was as expected."""
        return not self.problems

    def __str__(self) -> str:
        if self.passed:
            return f"passed: {self.name}"
        lines = [f"failed: {self.name}", *(f"  {each}" for each in self.problems), "what happened:"]
        return "\n".join([*lines, *(f"  {each}" for each in self.happened or ("nothing",))])


def run_tests(config: GatewayConfig) -> tuple[TestResult, ...]:
    """Run the tests of a config, in the order of the document.

    Handlers do not run: the event of a test on a source with a handler is what the handler
    returned.

    Raises:
        ConfigError: The config has an error, so that it cannot decide any message.
    """
    compiled = compile_plan(config)
    if compiled.plan is None:
        errors = [each for each in compiled.findings if each.severity is Severity.ERROR]
        raise ConfigError("the tests cannot run, the config has errors", hint=str(errors[0]))
    routers: dict[str, SourceRouter] = {}
    return tuple(_run(compiled.plan, routers, test) for test in config.tests)


def _run(plan: Plan, routers: dict[str, SourceRouter], test: ConfigTest) -> TestResult:
    try:
        if test.source not in routers:
            routers[test.source] = compile_source(plan, test.source)
        routed = _route(plan, routers[test.source], test)
    except ReplayError as error:
        return TestResult(test.name, (str(error),), ())
    happened = tuple(describe(each) for each in routed.deliveries)
    return TestResult(test.name, tuple(_compare(test, routed)), happened)


def _route(plan: Plan, router: SourceRouter, test: ConfigTest) -> Routed:
    message = test.message
    body = None if message.body is None else message.body.encode()
    if message.event is not None:
        body = encode_event(message.event)
    made = make_message(
        plan.sources[test.source],
        body,
        key=message.key,
        headers=message.headers,
        timestamp=message.timestamp,
        channel=message.channel,
    )
    return router.route(made)


# --- comparing ---


def _compare(test: ConfigTest, routed: Routed) -> Iterator[str]:
    """Say what is missing, and with `only` what is too much; what is dropped never is."""
    expected = [_expand(each) for each in test.expect]
    taken = _assign(expected, routed.deliveries)
    left = [each for i, each in enumerate(routed.deliveries) if i not in taken.values()]
    for index, each in enumerate(expected):
        if index not in taken:
            yield f"expected {_describe_expected(each)}{_nearest(each, left)}"
    if routed.invalid and len(taken) < len(expected):
        yield f"the message is invalid: {routed.invalid}"
    if test.only:
        for delivery in left:
            if delivery.outcome is not Outcome.DROPPED:
                yield f"not expected: {describe(delivery)}"


_OUTCOMES: Final = {DROP: "dropped", DEAD_LETTER: "dead_lettered"}


def _expand(expected: str | Expected) -> Mapping[str, Any]:
    """Return what is asked for, by name; a target `dead_letter` is any dead letter."""
    given = {"target": expected} if isinstance(expected, str) else expected.model_dump()
    wanted = {name: value for name, value in given.items() if value is not None}
    wanted.setdefault("outcome", "delivered")
    if wanted.get("target") in _OUTCOMES:
        wanted["outcome"] = _OUTCOMES[wanted.pop("target")]
    return wanted


def _assign(expected: list[Mapping[str, Any]], deliveries: tuple[Delivery, ...]) -> dict[int, int]:
    """Give each expectation a delivery of its own, as many as can be (augmenting paths)."""
    fits = [
        [i for i, delivery in enumerate(deliveries) if not any(_differences(each, delivery))]
        for each in expected
    ]
    owner: dict[int, int] = {}

    def find(index: int, seen: set[int]) -> bool:
        for i in fits[index]:
            if i not in seen:
                seen.add(i)
                if i not in owner or find(owner[i], seen):
                    owner[i] = index
                    return True
        return False

    for index in range(len(expected)):
        find(index, set())
    return {index: i for i, index in owner.items()}


def _differences(wanted: Mapping[str, Any], delivery: Delivery) -> Iterator[str]:
    """Name what differs between an expectation and a delivery, the target apart first."""
    for name, value in wanted.items():
        if name == "headers":
            yield from _header_differences(value, delivery)
        elif name == "reason":
            if value not in (delivery.reason or ""):
                yield f"the reason is {delivery.reason!r}, it does not hold {value!r}"
        elif (found := _found(name, delivery)) != value:
            yield f"{name} is {found!r}, expected {value!r}"


def _header_differences(wanted: Mapping[str, str], delivery: Delivery) -> Iterator[str]:
    for name, value in wanted.items():
        found = header_text(delivery.headers, name.lower())
        if found != value:
            yield f"header {name} is {found!r}, expected {value!r}"


def _found(name: str, delivery: Delivery) -> Any:
    if name == "key":
        return None if delivery.key is None else delivery.key.decode(errors="replace")
    if name == "body":
        return _read_body(delivery.body)
    found = getattr(delivery, name)
    return str(found) if name == "outcome" else found


def _read_body(body: bytes | None) -> Any:
    try:
        return msgspec.json.decode(body or b"null")
    except (msgspec.DecodeError, ValueError, RecursionError):
        return (body or b"").decode(errors="replace")


# --- words ---


def describe(delivery: Delivery) -> str:
    """Tell one delivery in a line: router, route, target, where, and why not."""
    way = " / ".join(each for each in (delivery.router, delivery.route) if each) or "source"
    where = f" on {delivery.channel} ({delivery.broker})" if delivery.channel else ""
    why = f": {delivery.reason}" if delivery.reason else ""
    outcome = str(delivery.outcome).replace("_", "-")
    return f"{way} → {delivery.target} {outcome}{where}{why}"


def _describe_expected(wanted: Mapping[str, Any]) -> str:
    parts = [f"{name} {value!r}" for name, value in wanted.items() if name != "outcome"]
    what = {"delivered": "a delivery", "dropped": "a drop"}.get(wanted["outcome"], "a dead letter")
    return f"{what} with {', '.join(parts)}" if parts else what


def _nearest(wanted: Mapping[str, Any], left: list[Delivery]) -> str:
    """Say how the delivery that comes nearest differs; nothing if it is another target's."""
    near = [each for each in left if wanted.get("target", each.target) == each.target]
    if not near:
        return ", there is none"
    differences = min((list(_differences(wanted, each)) for each in near), key=len)
    return f"; the nearest differs: {'; '.join(differences)}"
