"""A config run with the functions, hooks and brokers of a user's own gateway: `run --app`."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
from traceback import walk_tb
from typing import Any

from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.errors import ConfigError, GatewayLabError, did_you_mean
from gateway_lab.gateway.gateway import Gateway


def find_gateway(place: str) -> Gateway:
    """Import a user's gateway.

    Args:
        place: `module:name`, the module as Python names it; it may be in the working directory.

    Raises:
        ConfigError: It cannot be imported, or is no gateway.
    """
    module, _, name = place.partition(":")
    if not module or not name:
        hint = "module:name, such as shop.handlers:gateway"
        raise ConfigError(f"{place!r} names no gateway", hint=hint)
    if (here := os.getcwd()) not in sys.path:  # noqa: PTH109 - a text, as the path has
        sys.path.insert(0, here)
    found = _import(module)
    if not hasattr(found, name):
        gateways = [each for each, value in vars(found).items() if isinstance(value, Gateway)]
        hint = did_you_mean(name, gateways) or "it makes no gl.Gateway"
        raise ConfigError(f"the module {module} has no {name}", hint=hint)
    gateway = getattr(found, name)
    if not isinstance(gateway, Gateway):
        problem = f"{place} is a {type(gateway).__name__} and no gl.Gateway"
        raise ConfigError(problem, hint="name the gateway that has the handlers")
    return gateway


def _import(module: str) -> object:
    """Import a module of a user, and say why it cannot be."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if f"{module}.".startswith(f"{missing}."):
            hint = "start in the folder that holds it, or install it"
            raise ConfigError(f"there is no module {missing}", where="--app", hint=hint) from None
        problem = f"the module {module} cannot be imported: there is no module {missing}"
        raise ConfigError(problem, where="--app", hint="install it") from error
    except Exception as error:
        problem = f"the module {module} cannot be imported: {type(error).__name__}: {error}"
        raise ConfigError(problem, where="--app", hint=_place(error)) from error


def _place(error: BaseException) -> str:
    """Return where an error was raised, as deep as it goes."""
    if isinstance(error, SyntaxError):
        return ""  # its text has it
    *_, (frame, line) = walk_tb(error.__traceback__)
    return f"see {frame.f_code.co_filename}:{line}"


class AppGateway(Gateway):
    """Runs a config as the app of another gateway, in that one's place."""

    def __init__(
        self, host: Gateway, config: GatewayConfig, *, number: int | None = None, **options: Any
    ) -> None:
        """Compile a config.

        Args:
            host: Whose functions, hooks and brokers it has.
            config: What to run.
            number: Of the process, for hooks that ask for `worker_id`; None: it is the only one.
            options: As for `Gateway`.

        Raises:
            ConfigError: As `Gateway`, or the handlers declared and those registered differ.
        """
        super().__init__(config, **options)
        self.handlers, self.telemetry = host.handlers, host.telemetry
        self.handlers.agree(config)
        self._app, self._number = host.app, number
        self._stopping: asyncio.Task[None] | None = None
        self._app.served = _Inner(self)

    async def start(self) -> None:
        """Start the app, and this gateway in it.

        Raises:
            ConfigError: As `Gateway`, or a hook has failed.
        """
        try:
            await self._app.start(worker_id=self._number)
        except GatewayLabError:
            raise
        except Exception as error:
            problem = f"a hook of the app failed: {type(error).__name__}: {error}"
            raise ConfigError(problem, where="--app", hint=_place(error)) from error

    async def stop(self, *, now: bool = False) -> None:
        """Stop the app, and this gateway in it; once, however often it is asked."""
        if now:
            await super().stop(now=True)
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._app.stop())
        await asyncio.shield(self._stopping)


class _Inner:
    """The gateway itself, as its app starts and stops it."""

    def __init__(self, gateway: AppGateway) -> None:
        self._gateway = gateway
        self.wait, self.stats = gateway.wait, gateway.stats

    @property
    def config(self) -> GatewayConfig:
        return self._gateway.config

    async def start(self) -> None:
        await Gateway.start(self._gateway)

    async def stop(self, *, now: bool = False) -> None:
        await Gateway.stop(self._gateway, now=now)
