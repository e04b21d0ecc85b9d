"""Replay: where every captured message would go. It sends nothing and changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor

from gateway_lab.captures.capture import Capture
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.offline.summary import Replay, counted
from gateway_lab.offline.tasks import make_run
from gateway_lab.routing.rehearsal import GivenHandlers


def replay(
    config: GatewayConfig,
    capture: Capture,
    *,
    executor: Executor | None = None,
    sources: Mapping[str, str | tuple[str, ...]] | None = None,
    handlers: GivenHandlers | None = None,
) -> Replay:
    """Decide where every captured message would go.

    Messages bind to sources by broker alias and channel, else by protocol and channel. A source
    with a handler is `not_replayed`, unless its function is passed on, or the capture holds what
    handlers returned.

    Args:
        config: The config; findings are fine as long as none is an error.
        capture: The messages. Larger than memory is fine.
        executor: Any `concurrent.futures.Executor`, also `client.get_executor()` of a Dask
            cluster; its workers must reach the capture's files under the same path. Left out:
            this process, helped by a warm worker process if there are many messages.
        sources: Source name to `broker:channel` (an alias or a protocol), or several of them:
            where to find a source's messages if they were captured elsewhere.
        handlers: A gateway, whose handlers and middlewares run now, once on each message, one
            after the other in the order of the capture, in this process. Whatever they do to the
            world, they do: give them fakes by `gateway.dependencies.override`. What they publish
            through the gateway is not sent. Tries follow each other at once. Or the `handlers`
            of another replay of the capture: they run again only where this config differs.

    Returns:
        Counts at once; messages and deliveries lazily.

    Raises:
        ReplayError: The config has errors (all are named), or `sources` names what it lacks; the
            capture is masked, or `executor` is given, and there are handlers; or one of these
            blocks its thread.
        ConfigError: A function is registered for a source that declares no handler.
    """
    run, findings = make_run(config, capture, executor=executor, sources=sources, handlers=handlers)
    return Replay(run, counted(run), findings)
