from __future__ import annotations

import pytest

from gateway_lab.protocols.memory import check_channel


@pytest.mark.parametrize("name", ["__gateway", "a#b", "ä", "x" * 256])
def test_a_channel_that_no_broker_would_take_is_refused(name):
    assert check_channel(name)
