"""Sources that were told where to read and found nothing there: a finding, never a decision."""

from __future__ import annotations

from collections.abc import Iterator

from gateway_lab.config.report import Report
from gateway_lab.errors import did_you_mean
from gateway_lab.findings import Finding
from gateway_lab.offline.tally import Tally
from gateway_lab.offline.tasks import Run

CODE = "source-not-captured"


def unread(run: Run, tally: Tally) -> Iterator[Finding]:
    """Find the names of `sources=` for which the capture holds no message.

    Args:
        run: Knows what each source was told.
        tally: Knows how many messages each source got.
    """
    report = Report(run.config.origin)
    for name, told in run.sources.items():
        if not tally.sources.get(name) and not tally.not_replayed.get(name):
            texts = (told,) if isinstance(told, str) else told
            text = f"the capture holds no message from {' or '.join(texts)}, where {name} is told"
            hint = did_you_mean("".join(texts[:1]), run.capture.places())
            report.add(CODE, ("sources", name), f"{text} to read", hint, is_key=True)
    yield from report.findings
