"""How a config meets a capture: part after part, here or wherever an executor runs.

A task is a config in canonical form, a run of rows of a file and a question. It can be pickled,
so any `concurrent.futures.Executor` runs it, also `client.get_executor()` of a Dask cluster;
only counts and capped samples travel back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Generic, TypeAlias, TypeVar

from gateway_lab.captures.binding import Sources, bind
from gateway_lab.captures.capture import Capture, require_capture
from gateway_lab.config.canonical import canonical_json
from gateway_lab.config.compile import compile_plan
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config
from gateway_lab.config.plan import Plan
from gateway_lab.errors import ReplayError
from gateway_lab.findings import Finding, Severity
from gateway_lab.offline.between import Window
from gateway_lab.offline.handled import HandledCapture
from gateway_lab.offline.masked import masked_plan
from gateway_lab.offline.parts import Part, parts_of
from gateway_lab.offline.places import Places
from gateway_lab.offline.progress import watched
from gateway_lab.offline.rehearse import rehearse
from gateway_lab.offline.view import View, view
from gateway_lab.routing.rehearsal import GivenHandlers, handlers_of

T = TypeVar("T")

Question: TypeAlias = Callable[[View], T]
"""What is asked about a part; a function of a module, or a partial of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Generic[T]):
    """One question about one part, complete in itself."""

    config: bytes
    part: Part
    sources: Sources
    is_handled: bool
    window: Window | None
    ask: Question[T]

    def __call__(self) -> T:
        """Answer it; a process compiles a config once."""
        plan = _plan_of(self.config)
        if self.part.masked:
            plan, _ = masked_plan(plan)
        seen = view(
            plan,
            self.part,
            sources=self.sources,
            window=self.window,
            handled="already" if self.is_handled else None,
        )
        return self.ask(seen)


@lru_cache(maxsize=4)
def _plan_of(config: bytes) -> Plan:
    return checked_plan(parse_config(config.decode()))[0]


def checked_plan(config: GatewayConfig) -> tuple[Plan, tuple[Finding, ...]]:
    """Compile a config, and give its findings.

    Raises:
        ReplayError: A finding is an error; all that are errors are named.
    """
    compiled = compile_plan(config)
    if compiled.plan is not None:
        return compiled.plan, compiled.findings
    errors = [str(each) for each in compiled.findings if each.severity is Severity.ERROR]
    raise ReplayError(
        f"this config has errors, so nothing can be replayed:\n{chr(10).join(errors)}",
        hint="`gl.check(config)` lists all findings",
    )


def plan_for(config: GatewayConfig, capture: Capture) -> tuple[Plan, tuple[Finding, ...]]:
    """Compile a config for a capture: of a masked one some conditions cannot be told.

    Raises:
        ReplayError: A finding is an error.
        CaptureError: It is no capture.
    """
    plan, findings = checked_plan(config)
    require_capture(capture)
    if not capture.is_masked:
        return plan, findings
    plan, unknown = masked_plan(plan)
    return plan, (*findings, *unknown)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A config over a capture: answers questions, part after part."""

    config: GatewayConfig
    plan: Plan
    capture: Capture
    parts: tuple[Part, ...]
    sources: Sources = field(default_factory=dict)
    executor: Executor | None = None
    window: Window | None = None
    handled: HandledCapture | None = None

    @property
    def is_handled(self) -> bool:
        """Whether the bodies are what handlers returned."""
        return self.capture.metadata.stage == "handled"

    def views(self) -> Iterator[View]:
        """Look at the parts in this process, one after the other."""
        for part in self.parts:
            yield view(
                self.plan,
                part,
                sources=self.sources,
                window=self.window,
                handled="already" if self.is_handled else self.handled,
            )

    def ask(self, question: Question[T], label: str) -> Iterator[T]:
        """Answer a question for every part, in their order; long work shows its progress."""
        if self.executor is None:
            return self.ask_here(question, label)
        return watched(self._sent(question), [part.rows for part in self.parts], label)

    def ask_here(self, question: Question[T], label: str) -> Iterator[T]:
        """Answer a question in this process, for answers that are not small."""
        return watched(self._local(question), [part.rows for part in self.parts], label)

    def _local(self, question: Question[T]) -> Iterator[T]:
        return (question(seen) for seen in self.views())

    def _sent(self, question: Question[T]) -> Iterator[T]:
        assert self.executor is not None  # noqa: S101 - asked by `ask`
        config = canonical_json(self.config)
        futures: list[Future[T]] = [
            self.executor.submit(
                Task(
                    config=config,
                    part=part,
                    sources=self.sources,
                    is_handled=self.is_handled,
                    window=self.window,
                    ask=question,
                )
            )
            for part in self.parts
        ]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def make_run(
    config: GatewayConfig,
    capture: Capture,
    *,
    executor: Executor | None = None,
    sources: Mapping[str, str | tuple[str, ...]] | None = None,
    handlers: GivenHandlers | None = None,
) -> tuple[Run, tuple[Finding, ...]]:
    """Prepare a run, and give the findings of its config; handlers run now.

    Raises:
        ReplayError: The config has errors, or `sources` names what it does not have; handlers
            cannot run on this capture.
        ConfigError: A function is registered for a source that declares no handler.
    """
    plan, findings = plan_for(config, capture)
    parts = parts_of(capture)
    told = dict(sources or {})
    run = Run(
        config=config, plan=plan, capture=capture, parts=parts, sources=told, executor=executor
    )
    if handlers is None:
        return run, findings
    if executor is not None:
        raise ReplayError("handlers run in this process alone", hint="leave out executor=")
    check_handlers(handlers, capture)
    bound = partial(_bound, plan, told)
    return replace(run, handled=rehearse(plan, parts, handlers, bound)), findings


def check_handlers(handlers: GivenHandlers, capture: Capture) -> None:
    """Look whether handlers can run on a capture.

    Raises:
        ReplayError: They are none; the capture is masked, or holds what handlers returned.
    """
    handlers_of(handlers)
    if capture.is_masked:
        raise ReplayError(
            "handlers cannot run on a masked capture: they would be given the masks",
            hint="use one that was recorded with --show-private, or leave out handlers= (--app)",
        )
    if capture.metadata.stage == "handled":
        problem = "this capture holds what handlers returned"
        raise ReplayError(problem, hint="leave out handlers=")


def _bound(plan: Plan, sources: Sources, places: Places) -> Mapping[str, list[int]]:
    return bind(plan.sources, places.names, sources)
