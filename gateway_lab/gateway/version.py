"""A config that can be run, compiled: what decides, and what each source needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway_lab.config.compile import compile_plan
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.plan import Plan
from gateway_lab.errors import ConfigError
from gateway_lab.findings import Severity
from gateway_lab.gateway.handlers.handlers import Handlers
from gateway_lab.gateway.means import Means
from gateway_lab.gateway.reach import Reach, reach_of
from gateway_lab.gateway.reload import restart_findings


@dataclass(frozen=True, slots=True)
class Version:
    """A config that can be run: every name in it was looked up, and what each source needs."""

    config: GatewayConfig
    plan: Plan
    reaches: Mapping[str, Reach]

    @classmethod
    def of(cls, config: GatewayConfig) -> Version:
        """Compile a config.

        Raises:
            ConfigError: It has an error, or needs what does not run live.
        """
        plan = _compile(config)
        read = [name for name, source in plan.sources.items() if source.routers or source.batches]
        return cls(config, plan, {name: reach_of(config, plan, name) for name in read})

    def successor(self, config: GatewayConfig) -> Version:
        """Compile a config that may follow while messages flow.

        Raises:
            ConfigError: As `of`, or it changes what needs a restart.
        """
        if findings := restart_findings(self.config, config):
            hint = "\n".join(map(str, findings))
            raise ConfigError("the new config needs a restart of the gateway", hint=hint)
        return Version.of(config)

    def means(self, source: str, handlers: Handlers) -> Means:
        """Make what a pump of a source decides by."""
        handling = handlers.handling(self.plan, source)
        return Means.of(self.config, self.plan, source, handling)

    @property
    def brokers(self) -> frozenset[str]:
        """The aliases of all brokers that are read from or written to."""
        return frozenset().union(*(each.brokers for each in self.reaches.values()))


def _compile(config: GatewayConfig) -> Plan:
    plan, findings = (compiled := compile_plan(config)).plan, compiled.findings
    if plan is None:
        errors = [each for each in findings if each.severity is Severity.ERROR]
        raise ConfigError("the gateway cannot run, the config has errors", hint=str(errors[0]))
    return plan
