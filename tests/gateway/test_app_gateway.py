from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from gateway_lab.errors import ConfigError
from gateway_lab.gateway.app.gateway import AppGateway, find_gateway
from gateway_lab.gateway.counters import State
from tests.gateway.shop import SHOP, Shop, order, settled, until
from tests.gateway.test_app import HANDLED

pytestmark = pytest.mark.anyio

NUMBERS = count()


class Modules:
    """Writes modules of users, each under a name that no other test has."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, text: str) -> str:
        name = f"users_module_{next(NUMBERS)}"
        (self.folder / f"{name}.py").write_text(text)
        return name


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Modules]:
    before = set(sys.modules)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield Modules(tmp_path)
    for name in set(sys.modules) - before:
        del sys.modules[name]


def refused(place: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        find_gateway(place)
    return caught.value


def test_a_module_of_the_working_directory_is_found(modules: Modules) -> None:
    (modules.folder / "shop.yaml").write_text(SHOP)
    name = modules.write("import gateway_lab as gl\ng = gl.Gateway(gl.read_config('shop.yaml'))\n")
    assert find_gateway(f"{name}:g").config.name == "shop"


@pytest.mark.parametrize("place", ["shop", ":gateway", "shop:"])
def test_a_place_names_module_and_gateway(place: str) -> None:
    assert "names no gateway" in refused(place).problem


@pytest.mark.parametrize("module", ["nowhere_at_all", "nowhere_at_all.within"])
@pytest.mark.usefixtures("modules")
def test_a_module_that_is_not_there_is_named(module: str) -> None:
    error = refused(f"{module}:gateway")
    assert error.problem == "there is no module nowhere_at_all"
    assert "folder" in error.hint


def test_a_module_that_needs_another_says_which(modules: Modules) -> None:
    name = modules.write("import nowhere_at_all\n")
    error = refused(f"{name}:gateway")
    assert error.problem == (
        f"the module {name} cannot be imported: there is no module nowhere_at_all"
    )


def test_a_module_that_fails_says_how_and_where(modules: Modules) -> None:
    name = modules.write("def fail():\n    raise LookupError('no such table')\n\nfail()\n")
    error = refused(f"{name}:gateway")
    assert f"the module {name} cannot be imported: LookupError: no such table" == error.problem
    assert error.hint.endswith(f"{name}.py:2")


def test_a_module_that_is_no_python_says_so(modules: Modules) -> None:
    name = modules.write("def fail(:\n")
    assert "SyntaxError: invalid syntax" in refused(f"{name}:gateway").problem


def test_a_name_that_is_not_there_has_a_hint_if_there_is_a_gateway(modules: Modules) -> None:
    (modules.folder / "shop.yaml").write_text(SHOP)
    text = "import gateway_lab as gl\ngateway = gl.Gateway(gl.read_config('shop.yaml'))\n"
    error = refused(f"{modules.write(text)}:gatewayy")
    assert "has no gatewayy" in error.problem
    assert error.hint == "did you mean 'gateway'?"
    assert refused(f"{modules.write('n = 1')}:gateway").hint == "it makes no gl.Gateway"


def test_what_is_no_gateway_is_refused_by_its_type(modules: Modules) -> None:
    name = modules.write("gateway = 1\n")
    assert refused(f"{name}:gateway").problem == f"{name}:gateway is a int and no gl.Gateway"


# --- running a config in the place of that gateway's own ---


async def test_a_config_runs_with_the_functions_and_hooks_of_another_gateway() -> None:
    host, shop = Shop(HANDLED).gateway(), Shop(HANDLED)
    seen: list[object] = []

    @host.handler("orders")
    async def handle(n: int) -> dict[str, int]:
        return {"n": n + 1}

    @host.app.on_startup
    async def begin(worker_id: int | None = None) -> None:
        seen.append(worker_id)

    @host.app.on_shutdown
    async def end() -> None:
        seen.append(gateway.stats().sources[0].state)

    gateway = AppGateway(host, shop.config, number=2, environ=shop.environ)
    async with gateway:
        shop.publish([order(7)])
        await until(settled(gateway, 1))
        assert host.stats().sources[0].state is State.WAITING, "the other one does not run"
    assert shop.numbers("there", "small") == [8]
    assert seen == [2, State.RUNNING]
    assert gateway.stats().sources[0].state is State.STOPPED


async def test_a_config_is_refused_whose_handlers_are_others() -> None:
    host = Shop(HANDLED).gateway()
    host.handler("orders")(lambda event: event)
    with pytest.raises(ConfigError, match="declares no handler"):
        AppGateway(host, Shop(SHOP).config)
    with pytest.raises(ConfigError, match="no function is registered"):
        AppGateway(Shop(HANDLED).gateway(), Shop(HANDLED).config)


async def test_a_hook_that_fails_is_told_as_an_error_of_its_module() -> None:
    host, shop = Shop().gateway(), Shop()

    @host.app.on_startup
    async def begin() -> None:
        raise LookupError("no such table")

    with pytest.raises(ConfigError, match="LookupError: no such table") as caught:
        await AppGateway(host, shop.config, environ=shop.environ).start()
    assert Path(__file__).name in caught.value.hint


async def test_a_stop_at_once_does_not_wait_for_handlers() -> None:
    host, shop = Shop(HANDLED).gateway(), Shop(HANDLED)
    begun = []

    @host.handler("orders")
    async def handle(n: int) -> None:
        begun.append(n)
        await until(lambda: False)

    gateway = AppGateway(host, shop.config, environ=shop.environ)
    await gateway.start()
    shop.publish([order(7)])
    await until(lambda: begun == [7])
    await gateway.stop(now=True)
    assert len(await shop.left()) == 1
