"""Headers that pass from a message to a target, untrusted like all of a message.

What tells a broker or a bridge what to do never passes (`messages/headers.py`), whatever
`pass_headers` says. Trace headers pass only if they are what W3C says. There are bounds, and a
message that has gone round through gateways too often is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from gateway_lab.config.plan import TargetPlan
from gateway_lab.messages.headers import (
    HOPS_HEADER,
    ID_HEADER,
    MAX_HEADER_BYTES,
    MAX_HEADERS,
    MAX_HEADERS_BYTES,
    Headers,
    is_control,
)
from gateway_lab.protocols.protocol import Protocol, is_plain
from gateway_lab.protocols.registry import PROTOCOLS

MAX_HOPS: Final = 8
"""Gateways that a message may pass one after the other."""

MAX_REMEMBERED: Final = 10_000
"""Names remembered by a target; past that it forgets all and starts again: messages choose them."""


class Refused(Exception):  # noqa: N818 - a verdict on data, not a failure
    """A delivery cannot be written; the reason begins with its code."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


Passing: TypeAlias = Callable[[Headers], Headers]
"""Takes a message's headers and returns those that pass; raises `Refused` if it cannot."""

_Verdict: TypeAlias = Literal["pass", "leave", "refuse", "hops", "parent", "state"]
_TRACE: Final[Mapping[str, _Verdict]] = MappingProxyType(
    {"traceparent": "parent", "tracestate": "state"}
)


def compile_passing(target: TargetPlan) -> Passing:
    """Compile which headers pass to a target; a name is judged once and then remembered."""
    protocol = PROTOCOLS[target.protocol]
    verdicts = _Verdicts(target, protocol)
    always, is_picky = verdicts.always, not protocol.carries.binary
    sieve = _Sieve(verdicts, target.protocol, is_picky=is_picky)

    def passing(incoming: Headers) -> Headers:
        """Most headers have names that always pass, or are a trace that may be believed."""
        size = 0
        for name, value in incoming:
            if name not in always and (verdicts[name] != "parent" or not _is_parent(value)):
                return sieve.sift(incoming)
            size += len(value)
        if size > MAX_HEADER_BYTES or len(incoming) > MAX_HEADERS or is_picky:
            return sieve.bound(incoming)
        return incoming

    if protocol.carries.repeated:
        return passing
    return lambda incoming: tuple(dict(passing(incoming)).items())


class _Sieve:
    """Judges each header of a message, and all together."""

    def __init__(self, verdicts: _Verdicts, protocol: str, *, is_picky: bool) -> None:
        self._verdicts, self._protocol, self._is_picky = verdicts, protocol, is_picky

    def sift(self, incoming: Headers) -> Headers:
        """Return the headers that pass."""
        passed: list[tuple[str, bytes]] = []
        hops = 0
        for name, value in incoming:
            match verdict := self._verdicts[name]:
                case "refuse":
                    raise header_refused(name, self._protocol)
                case "hops":
                    hops = max(hops, _read_hops(name, value))
                case "leave":
                    pass
                case _:
                    if verdict == "pass" or _is_trace(verdict, value, incoming):
                        passed.append((name, value))
        if hops >= MAX_HOPS:
            raise Refused(f"too-many-hops: it has passed {MAX_HOPS} gateways or more")
        if hops:
            passed.append((HOPS_HEADER, b"%d" % (hops + 1)))
        return self.bound(tuple(passed))

    def bound(self, passed: Headers) -> Headers:
        """Return headers that pass by their names, if their values and all together do."""
        for name, value in passed if self._is_picky else ():
            if not is_plain(value):
                raise header_refused(name, self._protocol)
        if problem := _too_much(passed):
            raise Refused(problem)
        return passed


class _Verdicts(dict[str, _Verdict]):
    """What becomes of a header of each name; a name is judged when it is first met.

    Attributes:
        always: The names among them that pass whatever their value is.
    """

    def __init__(self, target: TargetPlan, protocol: Protocol) -> None:
        super().__init__()
        self.always: set[str] = set()
        self._protocol = protocol
        self._replaced = frozenset(name.lower() for name in target.headers)
        passing = target.pass_headers
        self._named = None if isinstance(passing, str) else passing

    def __missing__(self, name: str) -> _Verdict:
        verdict = self._judge(name)
        if len(name) <= 255:
            if len(self) >= MAX_REMEMBERED:
                self.clear()
                self.always.clear()
            self[name] = verdict
            if verdict == "pass":
                self.always.add(name)
        return verdict

    def _judge(self, name: str) -> _Verdict:
        lower = name.lower()
        if lower in {ID_HEADER, HOPS_HEADER}:
            return "hops"
        if is_control(lower) or self._protocol.is_control(lower) or lower in self._replaced:
            return "leave"
        if self._named is not None and lower not in self._named:
            return "leave"
        if lower in _TRACE:
            return _TRACE[lower]
        return "refuse" if self._protocol.check_header(name) else "pass"


def header_refused(name: str, protocol: str) -> Refused:
    """Make the refusal of a header that a protocol cannot carry."""
    shown = name if name.isascii() and name.isprintable() and len(name) <= 64 else "a header"
    return Refused(f"header-not-carried: {protocol} cannot carry {shown}")


def _too_much(passed: Headers) -> str | None:
    """Refuse what is past the bounds; 64 names alone are not, as each has at most 255 bytes."""
    if len(passed) > MAX_HEADERS:
        return f"headers-too-many: at most {MAX_HEADERS} pass"
    if max((len(value) for _, value in passed), default=0) > MAX_HEADER_BYTES:
        return f"headers-too-large: at most {MAX_HEADER_BYTES} bytes each pass"
    if sum(len(name.encode()) + len(value) for name, value in passed) > MAX_HEADERS_BYTES:
        return f"headers-too-large: at most {MAX_HEADERS_BYTES} bytes in all pass"
    return None


# --- how often it has gone through a gateway ---


def _read_hops(name: str, value: bytes) -> int:
    """Read how many gateways a message has passed; an id alone says one."""
    if name.lower() != HOPS_HEADER or not re.fullmatch(rb"[0-9]{1,2}", value):
        return 1
    return max(1, int(value))


# --- W3C Trace Context, https://www.w3.org/TR/trace-context/ ---

_IDS: Final = rb"(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}"
_is_parent: Final = re.compile(
    rb"00-%b\Z|(?!00|ff)[0-9a-f]{2}-%b(?:-[!-~]*)?\Z" % (_IDS, _IDS)
).match
_STATE: Final = re.compile(rb"[ -~]{0,512}\Z")


def _is_trace(verdict: _Verdict, value: bytes, incoming: Headers) -> bool:
    """Say whether a trace header may be believed; a state needs its parent."""
    if verdict == "parent":
        return _is_parent(value) is not None
    parents = [each for name, each in incoming if name.lower() == "traceparent"]
    return _STATE.match(value) is not None and any(map(_is_parent, parents))
