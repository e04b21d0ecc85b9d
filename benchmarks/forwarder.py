"""The process of one job: what sends on runs here by itself, so that its CPU can be counted.

python -m benchmarks.forwarder JOB.json
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from benchmarks import bare, feeder
from benchmarks.stage import Done, Job
from gateway_lab.config.load import parse_config
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.gateway.tuning import tune

_LOOK_S = 0.002


def gateway(job: Job) -> Done:
    """Do a job with the gateway."""
    return asyncio.run(_gateway(job))


async def _gateway(job: Job) -> Done:
    async with Gateway(parse_config(job.config), environ=job.environ) as running:
        tune()
        [source] = running.stats().sources
        while not source.read:
            await asyncio.sleep(_LOOK_S)
            [source] = running.stats().sources
        start = bare.clocks()
        while source.settled < job.count or not job.count:
            assert source.state == "running", source.reason
            await asyncio.sleep(_LOOK_S)
            [source] = running.stats().sources
        return bare.done_since(start)


def faststream(job: Job) -> Done:
    """Do a job with FastStream."""
    from benchmarks import faststream_peer  # noqa: PLC0415 - the others must not carry it

    return faststream_peer.forward(job)


def traced(job: Job) -> Done:
    """Do a job with the gateway and telemetry."""
    from benchmarks.telemetry import trace_at  # noqa: PLC0415 - nobody else must carry it

    trace_at(job.who)
    return gateway(job)


WHO: Mapping[str, Callable[[Job], Done]] = {
    "gateway": gateway,
    "bare": bare.forward,
    "faststream": faststream,
    "feeder": feeder.feed,
    "traced-1": traced,
    "traced-100": traced,
}


def main() -> None:
    """Do the job that a file describes, and print what it took."""
    file = Path(sys.argv[1])
    job = msgspec.json.decode(file.read_bytes(), type=Job)
    file.unlink()
    print(WHO[job.who](job))


if __name__ == "__main__":
    main()
