"""What verbs say of a capture that no source of its config reads: counts of nothing are no news."""

from __future__ import annotations

import gateway_lab as gl

TEXT = "no source of the config reads any of these messages"

WRITE = "gl.scan_capture(path, broker=…, protocol=…, channel=…).write('new.parquet')"


def is_unread(config: gl.GatewayConfig, capture: gl.Capture) -> bool:
    """Tell whether there are messages, and none is from where a source reads."""
    from gateway_lab.config.compile import compile_plan  # noqa: PLC0415 - not to show help
    from gateway_lab.config.readers import readers  # noqa: PLC0415 - likewise

    plan = compile_plan(config).plan
    if plan is None:
        return False
    places = capture.frame.select("broker", "kind", "channel").fill_null("").unique().collect()
    return not places.is_empty() and not any(readers(plan.sources, *each) for each in places.rows())


def unread(capture: gl.Capture, *, binds: bool) -> list[str]:
    """Say where the messages of a capture that nobody reads came from, and what to do.

    Args:
        capture: Messages that no source reads.
        binds: Whether the verb has `--source`.
    """
    match capture.places():
        case [":"]:
            hint = f"say once where they are from: {WRITE}"
            if binds:
                hint = f"bind a source to them, as it stands: --source NAME=:  (or {hint})"
            return [f"{TEXT}; they do not say where they are from\n  hint: {hint}"]
        case [first, *_] as found:
            hint = "is it the right capture?"
            if binds:
                hint += f" else bind a source: --source NAME={first}"
            return [f"{TEXT}; they are from {', '.join(found[:3])}\n  hint: {hint}"]
    return []
