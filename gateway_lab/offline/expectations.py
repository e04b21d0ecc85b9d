"""What an export promises: the books of a replay, written into the config and run again later."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from gateway_lab.captures.capture import Capture
from gateway_lab.captures.read import scan_capture
from gateway_lab.config.document import require_config
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.model import Expectations, ExpectedRouter, ExpectedTarget
from gateway_lab.config.overlay import Overlay, with_overlay
from gateway_lab.errors import ConfigError, ExpectationError
from gateway_lab.offline.run import replay
from gateway_lab.offline.summary import Replay


def export(
    config: GatewayConfig,
    path: str | os.PathLike[str],
    *,
    capture: Capture | None = None,
    overlay: Overlay | str | os.PathLike[str] | None = None,
) -> GatewayConfig:
    """Write the file that production runs: validated, with what it promises.

    Args:
        config: What to export.
        path: Where; it holds the old text or the new one, never a part.
        capture: Replayed now; its books become the `expectations` of the file, which
            `gateway-lab test` runs again. Left out: those that the config has stay.
        overlay: Changes settings, options, retries or bounds for one stage; may be its file.

    Returns:
        The config that was written.

    Raises:
        ConfigError: A finding is an error, the overlay is refused, or the file cannot be written.
        ReplayError: The capture cannot be replayed.
        CaptureError: The capture is not a file, a later run could not find it.
    """
    require_config(config)
    if overlay is not None:
        config = with_overlay(config, overlay)
    if capture is not None:
        promised = expectations(replay(config, capture), path)
        config = config.with_parts(expectations=promised)
    config.write(path)
    return config


def expectations(result: Replay, path: str | os.PathLike[str]) -> Expectations:
    """Turn the books of a replay into promises.

    Args:
        result: The replay.
        path: The config file they will stand in: the capture's path is relative to it.

    Raises:
        ConfigError: The capture is not in files.
    """
    books = result.books()
    routers = {
        each.router: ExpectedRouter(
            matched=each.matched, unmatched=each.unmatched, invalid=each.invalid
        )
        for each in books.routers
    }
    targets = {
        each.target: ExpectedTarget(
            delivered=each.delivered, dropped=each.dropped, dead_lettered=each.dead_lettered
        )
        for each in books.targets
    }
    return Expectations(
        capture=os.path.relpath(_place(result.capture), Path(path).resolve().parent),
        capture_digest=result.capture.digest,
        config_digest=result.config.digest,
        messages=books.messages,
        no_source=books.no_source,
        not_replayed=sum(books.not_replayed.values()),
        routers=routers,
        targets=targets,
    )


def check_expectations(
    config: GatewayConfig, base: str | os.PathLike[str] | None = None
) -> Replay | None:
    """Replay the capture that a config names, and compare the books with what was promised.

    Args:
        config: A config; without expectations there is nothing to do.
        base: The folder that the capture's path is relative to; left out: the config file's.

    Returns:
        The replay; None if the config promises nothing.

    Raises:
        ExpectationError: A count differs, or the capture does; all differences are told.
        CaptureError: The capture cannot be read.
        ReplayError: The config has errors.
    """
    require_config(config)
    promised = config.expectations
    if promised is None:
        return None
    file = config.origin.file if config.origin else None
    folder = Path(base) if base is not None else Path(file or ".").parent
    capture = scan_capture(folder / promised.capture)
    if capture.digest != promised.capture_digest:
        raise ExpectationError(
            "the capture is not the one that the counts were made with",
            where=str(folder / promised.capture),
            hint="export the config again with this capture",
        )
    result = replay(config, capture)
    differences = list(_differences(promised, expectations(result, folder / "config")))
    if differences:
        raise ExpectationError(
            "; ".join(differences),
            where=file or config.name,
            hint="`gl.diff` against the exported version shows which messages moved",
        )
    return result


def _differences(promised: Expectations, found: Expectations) -> Iterator[str]:
    for name in ("messages", "no_source", "not_replayed"):
        yield from _differs(name, getattr(promised, name), getattr(found, name))
    for kind, empty in (("routers", ExpectedRouter()), ("targets", ExpectedTarget())):
        before, behind = getattr(promised, kind), getattr(found, kind)
        for name in dict.fromkeys([*before, *behind]):
            one = before.get(name, empty).model_dump()
            other = behind.get(name, empty).model_dump()
            for count, value in one.items():
                yield from _differs(f"{kind}.{name}.{count}", value, other[count])


def _differs(what: str, promised: int, found: int) -> Iterator[str]:
    if promised != found:
        yield f"{what}: {promised:,} promised, {found:,} found"


def _place(capture: Capture) -> Path:
    """Name the file or folder that holds exactly this capture."""
    if len(capture.paths) == 1:
        return capture.paths[0].resolve()
    folders = {path.resolve().parent for path in capture.paths}
    if len(folders) == 1:
        folder = folders.pop()
        if {path.resolve() for path in capture.paths} == set(folder.glob("[!.]*.parquet")):
            return folder
    raise ConfigError(
        "a promise needs a capture in one Parquet file, or one folder of them",
        hint="write it with capture.write('name.parquet') and scan that",
    )
