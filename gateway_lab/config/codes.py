"""The catalogue of findings: what each code says, how bad it is, why it matters, what to do.

`docs/findings.md` is made from this file, and a test keeps the tree and the catalogue in step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway_lab.config.codes_of_checks import BEHAVIOUR, DELIVERY, RUNNING, TRAFFIC
from gateway_lab.config.codes_of_reading import NAMES, READING, RULES
from gateway_lab.findings import Severity


@dataclass(frozen=True, slots=True)
class Code:
    """One kind of finding.

    Attributes:
        group: The heading it stands under in the docs.
        severity: How bad it is, unless the place says otherwise (a disabled route's errors are
            warnings).
        title: What it says, in one sentence.
        paragraph: Why it matters, and how to fix it.
    """

    group: str
    severity: Severity
    title: str
    paragraph: str


def _codes() -> dict[str, Code]:
    groups = {
        "Reading the file": READING,
        "Names": NAMES,
        "Rules and templates": RULES,
        "What routes do": BEHAVIOUR,
        "Delivery": DELIVERY,
        "Compared with a capture": TRAFFIC,
        "While it runs": RUNNING,
    }
    return {
        code: Code(group, severity, title, paragraph)
        for group, entries in groups.items()
        for code, (severity, title, paragraph) in entries.items()
    }


CODES: Mapping[str, Code] = MappingProxyType(_codes())
"""Code to what is known about it, in the order of the docs."""
