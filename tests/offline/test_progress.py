from __future__ import annotations

import pytest

from gateway_lab.offline import progress
from gateway_lab.offline.progress import SHOWN_FROM, advance, told, watched


def test_few_messages_show_nothing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_INTERACTIVE", "1")
    assert list(watched(["a", "b"], [1, SHOWN_FROM - 2], "replay")) == ["a", "b"]
    assert capsys.readouterr().err == ""


def test_many_messages_show_how_far_the_work_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_INTERACTIVE", "1")  # what rich asks before it asks the terminal
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    assert list(watched(["a", "b"], [1, SHOWN_FROM], "replay")) == ["a", "b"]
    assert "replay" in capsys.readouterr().err


def test_nothing_is_drawn_where_nobody_looks(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(watched(["a", "b"], [1, SHOWN_FROM], "replay")) == ["a", "b"]
    assert capsys.readouterr().err == ""


def test_what_is_shown_elsewhere_draws_no_bar(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_INTERACTIVE", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    counted: list[int] = []
    with told(counted.append):
        assert list(watched(["a", "b"], [1, SHOWN_FROM], "replay")) == ["a", "b"]
        advance(7)
    advance(8)
    assert (capsys.readouterr().err, counted) == ("", [7])


def test_work_is_done_only_as_it_is_asked_for() -> None:
    answers = iter(["a", "b"])
    assert next(iter(watched(answers, [1, SHOWN_FROM], "replay"))) == "a"
    assert next(answers) == "b"


def test_slow_work_is_shown_once_it_has_taken_a_while(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_INTERACTIVE", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    assert list(watched(["a", "b"], [1, 1], "handlers")) == ["a", "b"]
    monkeypatch.setattr(progress, "SLOW_FROM_S", 0.0)
    assert capsys.readouterr().err == ""
    assert list(watched(["a", "b"], [1, 1], "handlers", is_slow=True)) == ["a", "b"]
    assert "handlers" in capsys.readouterr().err
