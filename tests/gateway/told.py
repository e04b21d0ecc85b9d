"""A gateway that runs until its process is told to stop: for children of tests."""

from __future__ import annotations

import asyncio
import signal

import gateway_lab as gl


async def run_until_told(gateway: gl.Gateway) -> None:
    """Run a gateway until SIGTERM, and stop it cleanly."""
    stops: list[asyncio.Task[None]] = []
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, lambda: stops.append(loop.create_task(gateway.stop())))
    async with gateway:
        await gateway.wait()
    await asyncio.gather(*stops)
