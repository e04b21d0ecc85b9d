"""Makes docs/delivery-guarantees.md: prose, and tables from the protocols and the tests."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from gateway_lab.protocols.protocol import Protocol
from gateway_lab.protocols.registry import PROTOCOLS

FACTS = Path(__file__).parents[1] / "tests" / "live" / "test_facts.py"

HEAD = """\
# What is promised about delivery

<!-- Made by `make docs` from tools/guarantees_page.py, gateway_lab/protocols/ and
tests/live/test_facts.py; change those instead. -->

**At least once.** A message of a source is settled (committed, acknowledged) only when each of its
deliveries is confirmed by its target's broker, is a confirmed dead letter, or is dropped by a rule
that says so. Nothing that is acknowledged lives in the memory of the gateway alone: kill it at any
moment, and what was under way comes again.

Not promised: exactly once. Whoever reads a target has to bear a message twice; both copies have
the same `x-gw-id`.

## From each broker to each

The weaker of the two ends decides.
"""

FLEETING = """\

What is at most once confirms nothing, or keeps nothing for a reader that is away. It is chosen by
`options: {delivery: at_most_once}` and never by default. What a gateway reads there and cannot
deliver at once is still tried again, as long as the process lives.

## How it is done

| protocol | how a message is settled | what confirms a delivery | the same delivery, sent twice | what names a message for ever |
| --- | --- | --- | --- | --- |
"""

TEXT = """\

What is sent and has no answer in time is *unknown*: it is sent again, with the same id, and counted
as `ambiguous`.

| what goes wrong | what becomes of it |
| --- | --- |
| the broker is away, full, throttles or has no leader | tried again, with growing pauses, for as long as it takes; never a dead letter |
| the message can never be sent there: too large, an illegal name, a header that is not carried | a dead letter at once |
| there is no such channel | a dead letter; nothing is created unasked |
| credentials, permissions, a missing channel of dead letters | the source stops, red; nothing of it is settled |

A dead letter is a delivery like any other: while it is not confirmed, its message is not settled.

## Duplicates

- After a clean stop there are none.
- After a kill: at most what is in the window of each source (10,000 messages and 64 MiB, whichever
  is less), and on Kafka one second of settled offsets that were not committed yet.
- After a partition or a lease went to another process while this one was paused: what was in hand.
- After a publish whose answer was lost: that delivery. NATS drops such a repeat within the
  `duplicate_window` of the stream; the others store it.
- Messages of RabbitMQ have no place that outlives a connection. With `id_from` in the options of the
  source their ids come from their publisher; without it a message that comes again has another id,
  and each delivery says so: `x-gw-id-kind: random`.

How often a message came before is known from each broker (`x-delivery-count` of quorum queues, the
deliveries of JetStream, `XPENDING` of Redis). Kafka counts nothing, so the gateway keeps the counts
in the text that Kafka stores with a committed offset. All are counts *at most*: what a process
fetched and never looked at may be among them.

## Order

Of first occurrences, for each source partition, key and target channel. Messages without a key have
no order. A delivery that has to be tried again holds up only its key.

- **Kafka target**: the idempotent producer keeps it, whatever happens to a connection.
- **Redis target**: a batch is one transaction; nothing is stored before what is ahead of it.
- **RabbitMQ and NATS targets**: when one message of a batch is refused for a while and later ones of
  its key are not, those overtake it; this is counted as `overtaken`. With `options: {order: strict}`
  one unconfirmed message a key is sent at a time, and none is.
- **RabbitMQ, NATS and Redis sources** hand out again what was not settled, behind messages that came
  later: their order ends at a redelivery. Kafka's does not.

## What each broker can lose by itself, and what to set

The gateway says at its start, as a warning, what of this it can see.

| broker | what it can lose | what to set |
| --- | --- | --- |
| Kafka | with one copy of a partition, all of it with that server; with `min.insync.replicas=1`, what only a leader had; messages that retention takes before they are read | replication factor 3, `min.insync.replicas=2`, `unclean.leader.election.enable=false`, a retention longer than your longest outage. A message keeps the time of its source: a topic whose retention is shorter than that message is old deletes it at once |
| RabbitMQ | classic queues, a node's disk; quorum queues of 4.x drop a message after 20 deliveries; what no queue takes | quorum queues with three members; on queues that a gateway reads `x-delivery-limit: -1` or a dead-letter exchange; `consumer_timeout` above 20 minutes |
| JetStream | acknowledges before it syncs: a power cut loses up to `sync_interval` (2 minutes); a full stream with `discard: old` drops its oldest; `max_age` | `num_replicas: 3`, `sync_interval: always`, `discard: new`, no `max_age` below your longest outage |
| Redis | with `appendonly no` all since the last save; with `appendfsync everysec` a second; a full server with a policy other than `noeviction` deletes streams; `MAXLEN` of a writer trims what nobody has read | `appendonly yes`, `maxmemory-policy noeviction`, no `MAXLEN` on streams that a gateway reads |

What was deleted before it was read is counted as `lost` where the broker tells: entries of Redis that
were trimmed while pending, offsets of Kafka below the start of the log (the source then stops: where
to go on is yours to say), messages that a stream with no other subjects dropped. RabbitMQ tells of
none.

`--create-channels` makes channels that lose nothing of this by their own settings (quorum queues,
streams on disk that refuse what they have no room for), with the server's defaults for copies.

## What each promise stands on

Each of these lost messages, or would have, in a bridge with a framework's defaults. Each is a test
against real brokers in `tests/live/test_facts.py`.

| fact | what happened there | what holds here |
| --- | --- | --- |
"""


def guarantees_page() -> str:
    """Return the page."""
    lines = [HEAD, *_pairs(), FLEETING.rstrip("\n")]
    for each in PROTOCOLS.values():
        promise = each.promise
        cells = (promise.settled, promise.confirmed, promise.repeats, promise.place)
        lines += _row(each.name, cells)
    lines += [TEXT.rstrip("\n"), *_facts()]
    return "\n".join([*lines, ""])


def _pairs() -> Iterator[str]:
    """Give a table of all transports to all others."""
    ends = [(each.name, True) for each in PROTOCOLS.values()]
    ends += [(name, False) for each in PROTOCOLS.values() for name in each.promise.fleeting]
    yield from _row("from, to", [name for name, _ in ends])
    yield from _row("---", ["---"] * len(ends))
    for near, near_lasts in ends:
        lasting = [near_lasts and far_lasts for _, far_lasts in ends]
        yield from _row(near, ["at least once" if each else "at most once" for each in lasting])


def _facts() -> Iterator[str]:
    """Give what the tests of facts say: name and first line."""
    tests = [
        each
        for each in ast.parse(FACTS.read_text()).body
        if isinstance(each, ast.AsyncFunctionDef) and each.name.startswith("test_f")
    ]
    for test in sorted(tests, key=_number):
        words = test.name.removeprefix("test_").split("_")[1:]
        said = (ast.get_docstring(test) or "").splitlines()[0]
        yield from _row(f"F{_number(test)}", [said, " ".join(words)])


def _number(test: ast.AsyncFunctionDef) -> int:
    found = re.match(r"test_f(\d+)_", test.name)
    return int(found[1]) if found else 0


def _row(title: str, cells: Sequence[str]) -> Iterator[str]:
    yield f"| {title} | {' | '.join(cells)} |"


def changes(near: Protocol, far: Protocol) -> str:
    """Say what of a message changes on its way from one protocol to another."""
    had, has = near.carries, far.carries
    found = []
    if has.key != "native" and had.key == "native":
        found.append(f"the key into `{has.key}`")
    if has.timestamp != "native" and had.timestamp == "native":
        found.append(f"the time into `{has.timestamp}`")
    if had.binary and not has.binary:
        found.append("key and headers only as plain text, else a dead letter")
    if had.repeated and not has.repeated:
        found.append("the last of a repeated header")
    if had.tombstone and not has.tombstone:
        found.append("no body into an empty one")
    return "; ".join(found) or "nothing"
