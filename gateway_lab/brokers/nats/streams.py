"""JetStream's streams: which has a subject, making one, and what in one may lose messages."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any

from gateway_lab.brokers.contract import Place
from gateway_lab.brokers.nats.link import ApiError, Session
from gateway_lab.protocols.nats import SourceOptions, TargetOptions

_NO_STREAM = 10059
_BOUNDS = ("max_msgs", "max_bytes", "max_msgs_per_subject")


async def streams_of(subject: str, session: Session) -> list[str]:
    """Name the streams that take a subject in."""
    reply = await session.api("STREAM.NAMES", {"subject": subject})
    return reply.get("streams") or []


async def is_there(place: Place, session: Session) -> bool:
    """Say whether a stream has the subject, the one that the options name if they do."""
    if is_core(place):
        return True
    names = await streams_of(place.channel, session)
    named = _named(place)
    return named in names if named else bool(names)


async def create(place: Place, session: Session) -> None:
    """Create a stream with the subject, on disk, refusing when full.

    A stream that the options name and that is there gets the subject besides its own; nothing else
    of it changes.

    Raises:
        ApiError: JetStream refuses: another stream has the subject, or it has no room.
    """
    name = _named(place) or safe_name(place.channel)
    there = await _config(name, session)
    if there is not None:
        subjects = [*there.get("subjects", ()), place.channel]
        await session.api(f"STREAM.UPDATE.{name}", there | {"subjects": subjects})
        return
    config = {
        "name": name,
        "subjects": [place.channel],
        "storage": "file",
        "retention": "limits",
        "discard": "new",  # else a full stream drops its oldest messages
        "num_replicas": 1,
    }
    await session.api(f"STREAM.CREATE.{name}", config)


async def risks(place: Place, session: Session) -> list[str]:
    """Say how the streams of a place may lose messages."""
    if is_core(place):
        return []
    found: list[str] = []
    for name in await streams_of(place.channel, session):
        if config := await _config(name, session):
            found += [f"stream {name}: {each}" for each in _risks_of(config)]
    return found


def _risks_of(config: dict[str, Any]) -> list[str]:
    found = []
    if config.get("storage") == "memory":
        found.append("its storage is memory: a server that ends forgets it")
    is_bounded = any(config.get(each, -1) > 0 for each in _BOUNDS)
    if is_bounded and config.get("discard", "old") == "old":
        found.append("discard is old: when it is full it drops its oldest messages, read or not")
    if config.get("max_age", 0) > 0:
        found.append("max_age is set: messages that are not read by then are gone")
    return found


async def _config(name: str, session: Session) -> dict[str, Any] | None:
    try:
        config: dict[str, Any] = (await session.api(f"STREAM.INFO.{name}"))["config"]
    except ApiError as error:
        if error.code == _NO_STREAM:
            return None
        raise
    return config


def is_core(place: Place) -> bool:
    """Say whether a place is core NATS, which has no streams."""
    options = place.options
    if isinstance(options, SourceOptions | TargetOptions):
        return options.delivery == "at_most_once"
    return False


def _named(place: Place) -> str | None:
    options = place.options
    return options.stream if isinstance(options, SourceOptions | TargetOptions) else None


def safe_name(name: str) -> str:
    """Write a name of a stream or consumer: a dot in one would separate tokens."""
    safe = re.sub(r"[^A-Za-z0-9_-]", "_", name)[:100]
    if safe == name:
        return name
    return f"{safe}-{blake2b(name.encode(), digest_size=4).hexdigest()}"  # two may look the same
