from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gateway_lab.messages.mask import KEY_VARIABLE, is_private_shown, mask_text, show_private


def test_equal_values_have_equal_masks_and_others_do_not():
    assert mask_text("ada") == mask_text("ada")
    assert len({mask_text(value) for value in ("ada", "bob", b"ada", "", 1, "1", 1.0, True)}) == 8


def test_a_mask_does_not_show_the_value():
    assert "ada" not in mask_text("ada")
    assert mask_text("ada").startswith("masked:")


@pytest.mark.parametrize("value", ["\ud800", "ü", "x" * 100_000, b"\xff"])
def test_any_value_can_be_masked(value):
    assert len(mask_text(value)) == len(mask_text("a"))


def test_showing_private_values_is_a_switch():
    assert not is_private_shown()
    show_private()
    assert is_private_shown()
    show_private(show=False)
    assert not is_private_shown()


def _mask_in_a_new_process(key: str | None) -> str:
    environment = {name: value for name, value in os.environ.items() if name != KEY_VARIABLE}
    if key:
        environment[KEY_VARIABLE] = key
    code = "from gateway_lab.messages.mask import mask_text; print(mask_text('ada'))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_given_key_makes_masks_the_same_in_every_process():
    assert _mask_in_a_new_process("k") == _mask_in_a_new_process("k")
    assert _mask_in_a_new_process("k") != _mask_in_a_new_process("other")


def test_without_a_key_masks_of_two_processes_cannot_be_compared():
    assert _mask_in_a_new_process(None) != _mask_in_a_new_process(None)
