from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gateway_lab.cli.main import app
from gateway_lab.messages.message import Message
from tests.gateway.shop import RECEIVED, SHOP, Shop, order, settled, until

PRIVATE = SHOP.replace("tenant: {type: string}", "tenant: {type: string, x-private: true}")


class Desk:
    """A shop with letters, and the command line beside it."""

    def __init__(self, path: Path, patch: pytest.MonkeyPatch, text: str = SHOP) -> None:
        self.shop, self.path = Shop(text), path
        path.write_text(text)
        for name, value in self.shop.environ.items():
            patch.setenv(name, value)

    def fail(self, *messages: Message) -> None:
        """Let the gateway write a letter of each."""

        async def run() -> None:
            self.shop.publish(messages)
            async with self.shop.gateway() as gateway:
                await until(settled(gateway, len(messages)))

        asyncio.run(run())

    def redrive(self, *options: str, code: int = 0) -> tuple[Any, str]:
        arguments = ["redrive", str(self.path), "--wait", "0.1", "--format", "json", *options]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == code, result.output
        return json.loads(result.stdout) if result.stdout else None, result.stderr


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path / "routes.yaml", monkeypatch)


def mend(desk: Desk) -> None:
    """Let the rule deliver what it asked letters of."""
    desk.path.write_text(desk.path.read_text().replace("to: [dead_letter]", "to: [small]"))


def test_letters_are_counted_and_sent_again(desk: Desk) -> None:
    desk.fail(order(1, kind="parked"), order(2, kind="parked"))
    mend(desk)
    told, _ = desk.redrive()
    assert (told["delivered"], told["failed"], told["letters"][0]["letters"]) == (2, 0, 2)
    assert sorted(desk.shop.numbers("there", "small")) == [1, 2]
    told, _ = desk.redrive()
    assert (told["delivered"], told["letters"]) == (0, [])


def test_what_fails_again_is_an_exit_of_1(desk: Desk) -> None:
    desk.fail(order(1, kind="parked"))
    told, _ = desk.redrive(code=1)
    assert (told["delivered"], told["failed"]) == (0, 1)


def test_what_stays_is_an_exit_of_1_that_says_why(desk: Desk) -> None:
    desk.shop.server("letters").publish("dead.orders", [order(1)])
    told, _ = desk.redrive(code=1)
    assert told["stay"] == [{"messages": 1, "why": "it is not a dead letter"}]


def test_what_a_filter_leaves_is_no_failure(desk: Desk) -> None:
    desk.fail(order(1, kind="parked"))
    told, _ = desk.redrive("--where", "class = 'permanent'")
    assert told["stay"] == [{"messages": 1, "why": "--where leaves it"}]


def test_a_dry_run_shows_kinds_and_an_example_without_private_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(tmp_path / "routes.yaml", monkeypatch, PRIVATE)
    desk.fail(order(1, kind="parked", tenant="a"), order(2, kind="parked", tenant="a"))
    told, _ = desk.redrive("--dry-run")
    [kind] = told["letters"]
    assert (kind["letters"], kind["class"], kind["source"]) == (2, "rule", "orders")
    assert (kind["route"], kind["target"], kind["reason"]) == (
        "size/parked",
        "dead_letter",
        "route",
    )
    assert "n = 1" in kind["example"]
    assert "tenant = masked:" in kind["example"]
    assert 'tenant = "a"' not in kind["example"]
    assert desk.redrive("--dry-run")[0] == told


def test_nothing_of_an_invalid_body_is_shown(desk: Desk) -> None:
    desk.fail(Message(body=b'{"n": "secret"}', received=RECEIVED))
    told, _ = desk.redrive("--dry-run")
    assert told["letters"][0]["class"] == "invalid"
    assert "secret" not in json.dumps(told)


def test_going_back_to_the_source_warns(desk: Desk) -> None:
    desk.fail(order(1, kind="parked"))
    told, warning = desk.redrive("--to", "source")
    assert told["delivered"] == 1
    assert "targets that have them get them twice" in warning
    assert desk.shop.numbers("here", "orders") == [1, 1]


def test_what_cannot_be_done_is_an_exit_of_2(desk: Desk) -> None:
    assert "names no channel of letters" in desk.redrive("--from", "dead", code=2)[1]
    assert "kind" in desk.redrive("--where", "kind = 1", code=2)[1]
    desk.shop.server("letters").delete("dead.orders")
    assert "there is no channel dead.orders on letters" in desk.redrive(code=2)[1]
