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

Passing: TypeAlias = Callable[[Headers], "Headers | str"]
"""Takes a message's headers; returns those that pass, or the reason why the message cannot."""

_Passed: TypeAlias = list[tuple[str, bytes]]
_Verdict: TypeAlias = Literal["pass", "leave", "refuse", "hops", "parent", "state"]
_TRACE: Final[Mapping[str, _Verdict]] = MappingProxyType(
    {"traceparent": "parent", "tracestate": "state"}
)


def compile_passing(target: TargetPlan) -> Passing:
    """Compile which headers pass to a target; a name is judged once and then remembered."""
    passing = _Passing(target)
    if PROTOCOLS[target.protocol].carries.repeated:
        return passing

    def passing_once(incoming: Headers) -> Headers | str:
        passed = passing(incoming)
        return passed if isinstance(passed, str) else tuple(dict(passed).items())

    return passing_once


class _Passing:
    """Judges the headers of a message; most have names that always pass or never."""

    def __init__(self, target: TargetPlan) -> None:
        self._verdicts = _Verdicts(target, PROTOCOLS[target.protocol])
        self._protocol = target.protocol
        self._is_picky = not PROTOCOLS[target.protocol].carries.binary

    def __call__(self, incoming: Headers) -> Headers | str:
        """Return the headers that pass, or why the message is refused."""
        size, verdicts = 0, self._verdicts
        for name, value in incoming:
            verdict = verdicts[name]
            if verdict != "pass" and (verdict != "parent" or not _PARENT.match(value)):
                sifted = self._sift(incoming)
                return sifted if isinstance(sifted, str) else self._bound(tuple(sifted))
            size += len(value)
        if size > MAX_HEADER_BYTES or len(incoming) > MAX_HEADERS or self._is_picky:
            return self._bound(incoming)
        return incoming

    def _sift(self, incoming: Headers) -> _Passed | str:
        """Do the same where not all names are among those that always pass."""
        passed: _Passed = []
        hops = 0
        for name, value in incoming:
            match verdict := self._verdicts[name]:
                case "refuse":
                    return header_refused(name, self._protocol)
                case "hops":
                    hops = max(hops, _read_hops(name, value))
                case "leave":
                    pass
                case _:
                    if verdict == "pass" or _is_trace(verdict, value, incoming):
                        passed.append((name, value))
        if hops >= MAX_HOPS:
            return f"too-many-hops: it has passed {MAX_HOPS} gateways or more"
        if hops:
            passed.append((HOPS_HEADER, b"%d" % (hops + 1)))
        return passed

    def _bound(self, passed: Headers) -> Headers | str:
        for name, value in passed if self._is_picky else ():
            if not is_plain(value):
                return header_refused(name, self._protocol)
        return _too_much(passed) or passed


class _Verdicts(dict[str, _Verdict]):
    """What becomes of a header of each name; a name is judged when it is first met."""

    def __init__(self, target: TargetPlan, protocol: Protocol) -> None:
        super().__init__()
        self._protocol = protocol
        self._replaced = frozenset(name.lower() for name in target.headers)
        passing = target.pass_headers
        self._named = None if isinstance(passing, str) else passing

    def __missing__(self, name: str) -> _Verdict:
        verdict = self._judge(name)
        if len(name) <= 255:
            if len(self) >= MAX_REMEMBERED:
                self.clear()
            self[name] = verdict
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


def header_refused(name: str, protocol: str) -> str:
    """Say that a protocol cannot carry a header."""
    shown = name if name.isascii() and name.isprintable() and len(name) <= 64 else "a header"
    return f"header-not-carried: {protocol} cannot carry {shown}"


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
_PARENT: Final = re.compile(rb"00-%b\Z|(?!00|ff)[0-9a-f]{2}-%b(?:-[!-~]*)?\Z" % (_IDS, _IDS))
_STATE: Final = re.compile(rb"[ -~]{0,512}\Z")


def _is_trace(verdict: _Verdict, value: bytes, incoming: Headers) -> bool:
    """Say whether a trace header may be believed; a state needs its parent."""
    if verdict == "parent":
        return _PARENT.match(value) is not None
    parents = [each for name, each in incoming if name.lower() == "traceparent"]
    return _STATE.match(value) is not None and any(map(_PARENT.match, parents))
