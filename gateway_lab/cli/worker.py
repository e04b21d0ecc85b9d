"""What `gateway-lab run --workers` starts: one of several processes; no verb of the command."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.gateway.gateway import Wrap
from gateway_lab.gateway.workers.talk import Begin
from gateway_lab.gateway.workers.worker import serve
from gateway_lab.messages.mask import show_private

COMMAND: Final = (sys.executable, "-m", __spec__.name)
"""Starts a worker; the number of its socket comes behind."""


@contextmanager
def _wrapped(begin: Begin, config: GatewayConfig) -> Iterator[Wrap]:
    """Record if that is asked for, each worker to files of its own."""
    if begin.record is None:
        yield lambda _, source: source
        return
    from gateway_lab.recording.tap import Tap  # noqa: PLC0415 - only a recorder needs polars

    if begin.shows_private:
        show_private()
    with Tap(config, begin.record, member=begin.number) as tap:
        yield tap.wrap


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), _wrapped))
