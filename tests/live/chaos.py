"""The full tier of faults: `make chaos`, or `python -m tests.live.chaos`.

It is cut into units of a few minutes at most. Each appends one line to docs/chaos-results.jsonl
when it is done, so that a run that was interrupted goes on where it was; only what has no clean
line is run. `make docs` makes a page of the file.

    ring-01 … 10       100,000 messages each, round all four brokers, with five gateways and one
                       broker killed and one broker paused, at seeded moments
    failpoint-…        2,000 messages each, a gateway killed at one place between one pair: 104
    members-…          50,000 messages each, a gateway joins and leaves every two seconds
    random-…           20,000 messages each, ten gateways killed at seeded moments
    equal-…            100,000 messages each: what arrives is what the replay says, 16 pairs
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any, Final

from gateway_lab.testing.server_process import Server
from gateway_lab.testing.servers import SERVERS
from tests.live import cases
from tests.live.crowd import join_and_leave, kill_at_random
from tests.live.ledger import Verdict
from tests.live.ring import Ring, seeded_faults
from tests.live.script import Script
from tests.live.settings import SETTINGS

ROOT: Final = Path(__file__).parents[2]
RESULTS: Final = ROOT / "docs" / "chaos-results.jsonl"

RING_SLICES, RING_MESSAGES, RING_LEAD = 10, 100_000, 30_000
RING_FAULTS: Final = {"gateways": 5, "brokers": 1, "pauses": 1}
FAILPOINT_MESSAGES, RANDOM_MESSAGES, MEMBERS_MESSAGES = 2_000, 20_000, 50_000
EQUAL_MESSAGES = 100_000
UNIT_LIMIT_S: Final = 8 * 60

Line = dict[str, Any]


class Bench:
    """Servers that units run on; they are replaced by new ones when asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._number = folder, 0
        self._servers: dict[str, Server] = {}

    @property
    def folder(self) -> Path:
        """Where a unit may write."""
        return self._folder / f"set-{self._number}"

    def servers(self) -> Mapping[str, Server]:
        """Return one server of each protocol, running."""
        if not self._servers:
            for protocol, kind in SERVERS.items():
                folder = self.folder / protocol
                self._servers[protocol] = kind(folder, settings=SETTINGS[protocol])
                self._servers[protocol].start()
        return self._servers

    def renew(self) -> None:
        """End the servers: the next unit gets new ones, with nothing on them."""
        for server in self._servers.values():
            server.kill()
        self._servers = {}
        self._number += 1


@dataclass(frozen=True, slots=True)
class Unit:
    """Something that is run at once, and leaves one line."""

    name: str
    run: Callable[[Bench], Line]


def units() -> list[Unit]:
    """Return all of them, in the order in which they are run."""
    return [*_rings(), *_failpoints(), *_crowds(), *_equals()]


def _rings() -> Iterator[Unit]:
    for number in range(1, RING_SLICES + 1):
        yield Unit(f"ring-{number:02}", lambda bench, number=number: _ring(bench, number))  # type: ignore[misc]


def _ring(bench: Bench, number: int) -> Line:
    bench.renew()
    script = Script(seed=number, count=RING_MESSAGES)
    ring = Ring(bench.folder / "ring", bench.servers(), script, lead=RING_LEAD, told=_tell)
    outcome = ring.run(seeded_faults(number, **RING_FAULTS))
    bench.renew()
    faults = Counter(each.what for each in outcome.faults)
    more = {"rate": round(RING_MESSAGES / outcome.seconds), "peak_mb": outcome.peak_mb}
    return {**_line(outcome.verdict), **more, "faults": dict(faults)}


def _failpoints() -> Iterator[Unit]:
    for case in cases.all_cases():

        def run(bench: Bench, case: cases.Case = case) -> Line:
            servers = bench.servers()
            source, target = servers[case.source], servers[case.target]
            verdict = cases.play(case, source, target, bench.folder, count=FAILPOINT_MESSAGES)
            return {**_line(verdict), "faults": {"kill gateway": 1}}

        yield Unit(f"failpoint-{case.failpoint}-{case.source}-{case.target}", run)


def _crowds() -> Iterator[Unit]:
    for number, source in enumerate(cases.PROTOCOLS):
        target = cases.PROTOCOLS[(number + 1) % 4]

        def at_random(
            bench: Bench, source: str = source, target: str = target, seed: int = number
        ) -> Line:
            pair = bench.servers()[source], bench.servers()[target]
            verdict = kill_at_random(
                *pair, bench.folder, seed=seed, count=RANDOM_MESSAGES, kills=10
            )
            return {**_line(verdict), "faults": {"kill gateway": 10}}

        def members(bench: Bench, source: str = source, target: str = target) -> Line:
            pair = bench.servers()[source], bench.servers()[target]
            return _line(join_and_leave(*pair, bench.folder, count=MEMBERS_MESSAGES))

        yield Unit(f"random-{source}-{target}", at_random)
        yield Unit(f"members-{source}-{target}", members)


def _equals() -> Iterator[Unit]:
    for source, target in product(cases.PROTOCOLS, cases.PROTOCOLS):
        pair = f"{source}-{target}"
        yield Unit(f"equal-{pair}", lambda bench, pair=pair: _equal(bench, pair))  # type: ignore[misc]


def _equal(bench: Bench, pair: str) -> Line:
    """Have the tests of a pair run with more messages; they start servers of their own."""
    bench.renew()
    environ = os.environ | {"GATEWAY_LAB_PAIR_MESSAGES": str(EQUAL_MESSAGES)}
    only = f"replay_of_the_tap and {pair}"
    words = ["tests/live/test_pairs.py", "-q", "-p", "no:randomly", "--timeout=460", "-k", only]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *words],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=UNIT_LIMIT_S,
    )
    if ran.returncode:
        raise AssertionError(ran.stdout[-2_000:])
    return {"acknowledged": EQUAL_MESSAGES, "violations": {}}


def _line(verdict: Verdict) -> Line:
    """Return what a ledger found, for the file."""
    return {
        "acknowledged": verdict.acknowledged,
        "arrived": verdict.arrived,
        "letters": verdict.letters,
        "duplicates": verdict.duplicates,
        "out_of_order": verdict.out_of_order,
        "violations": dict(verdict.violations),
        **({"examples": dict(verdict.examples)} if verdict.examples else {}),
    }


# --- the file ---


def read_lines(results: Path) -> list[Line]:
    """Return the lines of a file of results; none if it is not there."""
    return (
        [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    )


def is_clean(line: Line) -> bool:
    """Say whether a unit found nothing wrong."""
    return not line["violations"] and "error" not in line


def left(lines: Iterable[Line], every: Iterable[Unit]) -> list[Unit]:
    """Return the units whose last line is not clean, or that have none."""
    last = {line["unit"]: is_clean(line) for line in lines}
    return [unit for unit in every if not last.get(unit.name)]


def run_unit(unit: Unit, bench: Bench, version: str) -> Line:
    """Run a unit; what goes wrong becomes part of its line."""
    began, at = time.monotonic(), datetime.now(UTC).isoformat(timespec="seconds")
    try:
        line = unit.run(bench)
    except Exception as error:  # noqa: BLE001 - the others are run all the same
        bench.renew()
        line = {"violations": {}, "error": f"{type(error).__name__}: {error}"[:2_000]}
    seconds = max(0.1, round(time.monotonic() - began, 1))
    return {"unit": unit.name, "version": version, "at": at, "seconds": seconds, **line}


# --- the command ---


def main() -> None:
    """Run what is left, and exit with 1 if anything was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--only", default="", help="units whose name begins like this")
    parser.add_argument(
        "--minutes", type=float, default=float("inf"), help="begin no unit after so long"
    )
    parser.add_argument("--anew", action="store_true", help="forget all results of before")
    parser.add_argument("--results", type=Path, default=RESULTS)
    wanted = parser.parse_args()
    if wanted.anew:
        wanted.results.unlink(missing_ok=True)
    every = [unit for unit in units() if unit.name.startswith(wanted.only)]
    todo = left(read_lines(wanted.results), every)
    _tell(f"{len(every) - len(todo)} of {len(every)} units are done; {len(todo)} are left")
    with _bench() as bench:
        found = _run_all(todo, bench, wanted.results, time.monotonic() + 60 * wanted.minutes)
    raise SystemExit(found)


def _run_all(todo: list[Unit], bench: Bench, results: Path, end: float) -> int:
    """Run units until the time is up; return 1 if one of them is not clean."""
    version, found, began = _version(), 0, time.monotonic()
    for number, unit in enumerate(todo):
        if time.monotonic() > end:
            _tell(f"the time is up; {len(todo) - number} units are left")
            break
        _tell(f"{unit.name} ({number + 1} of {len(todo)})")
        line = run_unit(unit, bench, version)
        with results.open("a") as file:
            file.write(json.dumps(line) + "\n")
        found |= not is_clean(line)
        minutes = (time.monotonic() - began) / 60
        _tell(
            f"{unit.name}: {_told(line)}; {minutes:.1f} minutes so far, {_forecast(todo, number)}"
        )
    return int(found)


def _told(line: Line) -> str:
    if not is_clean(line):
        return f"NOT CLEAN: {line.get('error') or line['examples']}"
    rate = round(line["acknowledged"] / line["seconds"])
    return f"clean, {line['acknowledged']:,} messages in {line['seconds']:.0f} s ({rate:,}/s), {line.get('duplicates', 0):,} duplicates"


def _forecast(todo: list[Unit], number: int) -> str:
    kinds = Counter(unit.name.partition("-")[0] for unit in todo[number + 1 :])
    return "left: " + (", ".join(f"{times} {kind}" for kind, times in kinds.items()) or "nothing")


def _tell(line: str) -> None:
    print(f"{datetime.now(UTC):%H:%M:%S} {line}", flush=True)  # noqa: T201


@contextmanager
def _bench() -> Iterator[Bench]:
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as folder:
        bench = Bench(Path(folder))
        try:
            yield bench
        finally:
            bench.renew()


def _version() -> str:
    """Return the commit that runs, and whether anything but the results was changed since."""
    others = ["--", ".", ":!docs/chaos-results.*"]
    changed = _git("status", "--porcelain", *others)
    return (_git("rev-parse", "--short=10", "HEAD") or "unknown") + ("-dirty" if changed else "")


def _git(*words: str) -> str:
    ran = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return ran.stdout.strip()


if __name__ == "__main__":
    main()
