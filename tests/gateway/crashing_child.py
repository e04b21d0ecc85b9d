"""A gateway whose handler ends its process: `python -m tests.gateway.crashing_child CONFIG`.

What is started is a supervisor, which starts the gateway in a process of its own again and again. It
says a line for each that died; SIGTERM stops it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from importlib import import_module
from pathlib import Path

import gateway_lab as gl
from tests.gateway.told import run_until_told

CULPRIT = 13
EXIT = 70


def main() -> None:
    """Run a config until told to stop; whatever dies is started again."""
    config = gl.read_config(Path(sys.argv[1]))
    gateway = gl.Gateway(config, member="one")
    gateway.handler("orders")(pay)
    for protocol in config.brokers.values():  # a client that is loaded once is soon started
        import_module(f"gateway_lab.brokers.{protocol}.broker")
    while True:
        child = os.fork()
        if not child:
            asyncio.run(run_until_told(gateway))
            os._exit(0)
        signal.signal(signal.SIGTERM, lambda *_, child=child: os.kill(child, signal.SIGTERM))
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) != EXIT:
            sys.exit(status and 1)
        sys.stdout.write("died\n")
        sys.stdout.flush()


async def pay(event: dict[str, int]) -> dict[str, int]:
    """Die of the culprit."""
    await asyncio.sleep(0)
    if event["n"] == CULPRIT:
        os._exit(EXIT)
    return {"n": event["n"] + 1_000}


if __name__ == "__main__":
    main()
