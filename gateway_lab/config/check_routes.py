"""What holds of each router's routes for all messages, as findings with witnesses."""

from __future__ import annotations

from gateway_lab.config.document import Document
from gateway_lab.config.places import DocumentPath
from gateway_lab.config.plan import Plan, RoutePlan, RouterPlan
from gateway_lab.config.report import Report
from gateway_lab.errors import did_you_mean
from gateway_lab.proof.analyse import analyse
from gateway_lab.proof.claims import (
    CannotOccur,
    Choice,
    Claim,
    Exhaustive,
    NotExhaustive,
    RuleRoute,
    Shadowed,
    UndecidedPossible,
    Unknown,
    Unreachable,
)
from gateway_lab.rules.tree import column_name


def check_routes(config: Document, plan: Plan, report: Report) -> None:
    """Report what proof claims of every enabled router.

    A route whose rule cannot be read is left out: of the others only what holds whatever it does
    is reported.
    """
    for name, router in plan.routers.items():
        if not all(source in plan.sources for source in router.sources):
            continue
        places: dict[str, DocumentPath] = {
            route.name: ("routers", name, "routes", index)
            for index, route in enumerate(config.routers[name].routes)
            if route.enabled
        }
        readable = _readable(config, router)
        is_whole = len(readable) == len(router.routes)
        for claim in _claims(plan, router, readable):
            if is_whole or isinstance(claim, Unreachable | Shadowed | CannotOccur):
                _report(claim, router, places, report)


def _readable(config: Document, router: RouterPlan) -> list[RoutePlan]:
    """Return the routes that have no condition, or one that was compiled."""
    written = [route for route in config.routers[router.name].routes if route.enabled]
    return [
        known
        for route, known in zip(written, router.routes, strict=True)
        if (route.when is None) == (known.condition is None)
    ]


def _claims(plan: Plan, router: RouterPlan, readable: list[RoutePlan]) -> tuple[Claim, ...]:
    sources = [plan.sources[name] for name in router.sources]
    routes = [
        RuleRoute(name=route.name, condition=route.condition, events=route.events)
        for route in readable
    ]
    first = sources[0]
    choice = None
    if len(sources) == 1 and first.by is not None and first.handled is None:
        choice = Choice(by=first.by, choices=first.choices, otherwise=first.otherwise)
    channels = [address.channel for source in sources for address in source.addresses]
    known: dict[str, list[str]] = {"source": [source.name for source in sources]}
    if all(channel is not None for channel in channels):
        known["channel"] = [channel for channel in channels if channel is not None]
    types = first.routed_types.values()
    return analyse(routes, router.match, types, choice=choice, known=known)


def _report(
    claim: Claim, router: RouterPlan, places: dict[str, DocumentPath], report: Report
) -> None:
    match claim:
        case Unreachable(route):
            path = (*places[route], "when")
            hint = "no valid event meets all its parts: look at the values and bounds it asks for"
            report.add("route-never-matches", path, f"no message can match {route!r}", hint)
        case Shadowed(route, by, witness):
            verb = "takes" if len(by) == 1 else "take"
            text = f"{' and '.join(map(repr, by))} {verb} every message that {route!r} could match"
            hint = "move the route up, or narrow the earlier ones"
            seen = witness.to_json() if witness else None
            report.add("route-shadowed", places[route], text, hint, witness=seen)
        case UndecidedPossible(route, witness):
            path = (*places[route], "when")
            text = f"the condition of {route!r} is NULL for some messages"
            hint = "test with `is null`, or make the field required"
            report.add("undecided-possible", path, text, hint, witness=witness.to_json())
        case CannotOccur():
            _report_value(claim, places, report)
        case NotExhaustive(witness) if router.match == "first" and _loses_unmatched(router):
            path = next(iter(places.values()), ("routers", router.name))[:2]
            text = f"some messages match no route of {router.name!r}: {router.unmatched[0]}"
            report.add("not-exhaustive", path, text, witness=witness.to_json())
        case NotExhaustive() | Exhaustive() | Unknown():
            pass


def _loses_unmatched(router: RouterPlan) -> bool:
    """Say whether what matches no route is dropped; a target for it is a route in all but name."""
    return router.unmatched[:1] in {("drop",), ("dead_letter",)}


def _report_value(claim: CannotOccur, places: dict[str, DocumentPath], report: Report) -> None:
    field = column_name(claim.reference).removeprefix("event.")
    hint = ""
    if claim.enum is not None:
        hint = did_you_mean(str(claim.value), map(str, claim.enum))
    path = (*places[claim.route], "when")
    text = f"{field} is never {claim.value!r}"
    report.add("value-cannot-occur", path, text, hint, offset=claim.span.start)
