"""Makes docs/chaos-results.md from the lines that `make chaos` has appended."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from gateway_lab.lab.labels import counted

_NUMBERS: Final = re.compile(r"[0-9][0-9-]*")

RESULTS: Final = Path(__file__).parents[1] / "docs" / "chaos-results.jsonl"

HEAD: Final = """\
# Faults: the full tier

<!-- Made by `make docs` from docs/chaos-results.jsonl, which `make chaos` appends to. -->

`make chaos` kills gateways and brokers on real servers and holds a ledger against what arrives:
nothing that was acknowledged is lost, nothing else is there, bodies, keys, headers and times are
equal, duplicates come after faults only and within a bound, first occurrences keep the order that
is promised, dead letters say why, sources are read to their end, and the gateway's own books
balance. `tests/live/ledger.py` says what each check is; `tests/live/test_negative_controls.py`
has it convict bridges and mutants that do lose messages.

What is killed is a process. What it has written stays in the system's page cache, so this does not
show what a power cut would do: the gateway promises not to settle before the target's
confirmation, and a broker promises what its confirmation means. `tests/live/settings.py` says how
the servers are set so that what they confirm survives their own end. So many kills without a loss
do not prove that there is none: fifty bound the chance per kill at 6 %. The failpoints, which kill
at each place in turn, are what covers the windows.

"""

TITLES: Final = {
    "ring": "The ring Kafka → RabbitMQ → NATS → Redis → Kafka, at random moments",
    "failpoint": "A gateway killed at exactly one place",
    "random": "Gateways killed at random moments, one after the other",
    "members": "A gateway that joins and leaves every two seconds",
    "equal": "Live equals offline",
}

Line = dict[str, Any]


def chaos_page() -> str:
    """Return the page: the totals, and a row for each unit."""
    every = [json.loads(line) for line in RESULTS.read_text().splitlines()]
    lines = list(_last(every))
    parts = [HEAD, *_totals(lines), *_before(every, lines)]
    for kind, title in TITLES.items():
        if of_kind := [line for line in lines if _kind(line) == kind]:
            parts += [f"## {title}", "", *_table(kind, of_kind), ""]
    return "\n".join(parts)


def _last(lines: Iterable[Line]) -> Iterator[Line]:
    """Give the last line of each unit, by name: a unit that was not clean is run again."""
    by_name = {line["unit"]: line for line in lines}
    yield from (by_name[name] for name in sorted(by_name))


def _before(every: list[Line], last: list[Line]) -> Iterator[str]:
    """Say how many units were not clean at first, what was found, and that it was mended."""
    found = {line["unit"]: _told(line) for line in every if not _is_clean(line)}
    mended = {name: what for name, what in found.items() if name in _clean(last)}
    if mended:
        kinds = Counter(mended.values()).most_common()
        told = "; ".join(f"{counted(number, 'time', 'times')} {what}" for what, number in kinds)
        were = counted(len(mended), "unit was", "units were")
        yield f"{were} not clean at first, and run again once that was mended:"
        yield f"{told}. All lines are in the file."
        yield ""


def _told(line: Line) -> str:
    """Say in some words what a unit found: kinds of violations, or what went wrong with it."""
    return ", ".join(line["violations"]) or _NUMBERS.sub("…", str(line.get("error")))[:80]


def _clean(lines: list[Line]) -> set[str]:
    return {line["unit"] for line in lines if _is_clean(line)}


def _kind(line: Line) -> str:
    return str(line["unit"]).partition("-")[0]


def _totals(lines: list[Line]) -> Iterator[str]:
    faults: Counter[str] = Counter()
    for line in lines:
        faults.update(line.get("faults", {}))
    clean = sum(map(_is_clean, lines))
    messages = sum(line.get("acknowledged", 0) for line in lines)
    lost = sum(line["violations"].get("lost", 0) for line in lines)
    told = [f"{times:,} times *{fault}*" for fault, times in sorted(faults.items())] or ["none"]
    versions = sorted({line["version"] for line in lines}) or ["none"]
    minutes = sum(line["seconds"] for line in lines) / 60
    yield f"**{clean} of {len(lines)} units clean; {messages:,} messages, {lost:,} lost.**"
    yield f"Faults: {', '.join(told)}. It took {minutes:.0f} minutes; version {', '.join(versions)}."
    yield ""


def _is_clean(line: Line) -> bool:
    return not line["violations"] and "error" not in line


def _table(kind: str, lines: list[Line]) -> Iterator[str]:
    if kind == "failpoint":  # more than a hundred: a row for each place
        lines = [_sum(name, list(some)) for name, some in groupby(lines, _place)]
    yield "| unit | messages | duplicates | seconds | a second | found |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for line in lines:
        done, seconds = line.get("acknowledged", 0), line["seconds"]
        rate = line.get("rate") or round(done / seconds)
        numbers = f"{done:,} | {line.get('duplicates', 0):,} | {seconds:.0f} | {rate:,}"
        yield f"| {line['unit']} | {numbers} | {_found(line)} |"


def _place(line: Line) -> str:
    return str(line["unit"]).split("-")[1]


def _sum(name: str, lines: list[Line]) -> Line:
    """Add up the cases of one failpoint."""
    violations: Counter[str] = Counter()
    for line in lines:
        violations.update(line["violations"])
    return {
        "unit": f"`{name}`, {len(lines)} pairs",
        "acknowledged": sum(line.get("acknowledged", 0) for line in lines),
        "duplicates": sum(line.get("duplicates", 0) for line in lines),
        "seconds": sum(line["seconds"] for line in lines),
        "violations": dict(violations),
        **({"error": ""} if any("error" in line for line in lines) else {}),
    }


def _found(line: Line) -> str:
    if "error" in line:
        return "**did not end well**"
    found = ", ".join(f"{times:,} {check}" for check, times in line["violations"].items())
    return f"**{found}**" if found else "nothing"
