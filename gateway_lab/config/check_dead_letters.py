"""Dead letters: whether there is a channel for them, and that they do not come back."""

from __future__ import annotations

from gateway_lab.config.check_channels import NAMES_HINT, sample_channel
from gateway_lab.config.document import Document
from gateway_lab.config.model import Router
from gateway_lab.config.overlap import can_write
from gateway_lab.config.places import DocumentPath
from gateway_lab.config.plan import Plan, SourcePlan
from gateway_lab.config.report import Report
from gateway_lab.findings import Severity
from gateway_lab.protocols.registry import PROTOCOLS


def check_dead_letters(config: Document, plan: Plan, report: Report) -> None:
    """Check the dead letters of every source."""
    for name, source in config.sources.items():
        if source.dead_letter is None and config.dead_letter is None:
            _require(config, name, report)
    for name, planned in plan.sources.items():
        own = config.sources[name].dead_letter is not None
        path: DocumentPath = ("sources", name, "dead_letter") if own else ("dead_letter",)
        _check_letter(planned, (*path, "channel"), report)


def _require(config: Document, name: str, report: Report) -> None:
    asking = [
        router_name
        for router_name, router in config.routers.items()
        if router.enabled and name in router.sources and _asks(router)
    ]
    hint = "add `dead_letter: {broker: …, channel: …}` at the top"
    path: DocumentPath = ("sources", name)
    if asking:
        text = f"{', '.join(asking)} sends to dead_letter, but there is no channel for it"
        report.add("dead-letter-missing", path, text, hint, severity=Severity.ERROR)
    else:
        text = "there is no dead-letter channel: what cannot be delivered stops the source"
        report.add("dead-letter-missing", path, text, hint)


def _asks(router: Router) -> bool:
    lists = [route.to for route in router.routes if route.enabled]
    unmatched = (router.unmatched,) if isinstance(router.unmatched, str) else router.unmatched
    named = any("dead_letter" in targets for targets in (*lists, unmatched))
    return named or router.undecided == "dead_letter"


def _check_letter(source: SourcePlan, path: DocumentPath, report: Report) -> None:
    letter = source.dead_letter
    if letter is None:
        return
    if reason := PROTOCOLS[letter.protocol].check_channel(sample_channel(letter.channel)):
        text = f"{letter.protocol} refuses it: {reason}"
        report.add("channel-refused", path, text, NAMES_HINT)
    for address in source.addresses:
        if can_write(letter.channel, letter.broker, address, (), source=source.name):
            text = f"dead letters of {source.name!r} can come back to it"
            report.add("dead-letter-loop", path, text, "choose a channel that it does not read")
