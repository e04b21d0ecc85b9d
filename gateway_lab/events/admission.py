"""Which of many bodies are small, shallow UTF-8: what is asked before a byte of JSON is read.

`validity.find_admission_problem` says it of one body. Here a whole step is asked in a few passes
of C, and its bodies are looked at one by one only where a pass finds something.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway_lab.events.validity import Limits, find_admission_problem, is_deeper


def surely_shallow(limits: Limits) -> int:
    """Return the length up to which no body is too large or too deep: a level takes two bytes."""
    return min(2 * limits.max_levels, limits.max_bytes)


def admit(bodies: Sequence[bytes | None], limits: Limits) -> Sequence[bytes]:
    """Put an empty body, which is no JSON, where size, encoding or depth are wrong or None is."""
    try:
        longest = max(map(len, bodies), default=0)  # type: ignore[arg-type]  # None: see below
    except TypeError:
        return admit([b"" if body is None else body for body in bodies], limits)
    known: Sequence[bytes] = bodies  # type: ignore[assignment]  # None has no length
    if _are_utf8(known) and _are_small_and_shallow(known, longest, limits):
        return known
    return _without_wrong(known, limits)


def _are_utf8(bodies: Sequence[bytes]) -> bool:
    others = [body for body in bodies if not body.isascii()]
    try:
        b"\n".join(others).decode()  # no character spans a line feed
    except UnicodeDecodeError:
        return False
    return True


def _without_wrong(bodies: Sequence[bytes], limits: Limits) -> list[bytes]:
    shallow = surely_shallow(limits)
    admitted = list(bodies)
    for at, body in enumerate(bodies):
        if (len(body) > shallow or not body.isascii()) and find_admission_problem(body, limits):
            admitted[at] = b""
    return admitted


def _are_small_and_shallow(bodies: Sequence[bytes], longest: int, limits: Limits) -> bool:
    shallow = surely_shallow(limits)
    if longest <= shallow:
        return True
    if longest > limits.max_bytes:
        return False
    long = [body for body in bodies if len(body) > shallow]
    if longest <= 5 * limits.max_levels - 3 and b"[" not in b"\n".join(long):
        return True  # the level of an object takes five bytes: {"":}
    return not any(is_deeper(body, limits.max_levels) for body in long)
