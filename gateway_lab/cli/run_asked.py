"""What was asked of `gateway-lab run`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """The options of `gateway-lab run`; `run.py` says what they do."""

    path: Path
    workers: int
    create_channels: bool
    watch: bool
    record: Path | None
    show_private: bool
    shadow: Path | None
    disagreements: Path | None
    port: int | None
    member: str
    app: str
