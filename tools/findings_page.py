"""Makes docs/findings.md from the catalogue of findings."""

from __future__ import annotations

from itertools import groupby

from gateway_lab.config.codes import CODES

HEAD = """\
# Findings

<!-- Made by `make docs` from gateway_lab/config/codes.py; change that instead. -->

`gateway-lab check` and `gl.check` report findings. An **error** refuses an export; a **warning**
or a **note** never does. What a route or router does that is switched off is at most a warning.
Every finding has a code, the place (file, line and column; the offset inside a rule), a text, a
hint, and, where it was proven, a witness: a message that shows it.
"""


def findings_page() -> str:
    """Return the page: a heading a group, a paragraph a code."""
    lines = [HEAD, *_contents()]
    for group, codes in groupby(CODES.items(), key=lambda item: item[1].group):
        lines += [f"## {group}", ""]
        for code, entry in codes:
            lines += [f"### {code}", "", f"*{entry.severity}* · {entry.title}", ""]
            lines += [entry.paragraph, ""]
    return "\n".join(lines)


def _contents() -> list[str]:
    rows = [
        f"| [{code}](#{code}) | {entry.severity} | {entry.title} |" for code, entry in CODES.items()
    ]
    return ["| code | | |", "| --- | --- | --- |", *rows, ""]
