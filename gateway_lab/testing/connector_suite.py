"""What every connector is held to: each test is a sentence of `brokers/contract.py`.

Give it a `Rig` for your broker, and pytest runs all of it (anyio's plugin runs the async tests):

    class TestMyConnector(ConnectorSuite):
        protocol = "kafka"
        features = FEATURES - {"leases"}

        @pytest.fixture
        async def rig(self, my_server):
            async with my_client(my_server) as client:
                yield MyRig(client)

What a protocol cannot carry is not asked of it: `PROTOCOLS[…].carries` says what that is. What a
broker does not do by nature is taken out of `features`.
"""

from __future__ import annotations

from gateway_lab.testing.connector_browsing import BrowsingTests
from gateway_lab.testing.connector_ending import EndingTests
from gateway_lab.testing.connector_reading import ReadingTests
from gateway_lab.testing.connector_rig import FEATURES, Rig
from gateway_lab.testing.connector_sending import SendingTests

__all__ = ["FEATURES", "ConnectorSuite", "Rig"]


class ConnectorSuite(ReadingTests, SendingTests, BrowsingTests, EndingTests):
    """Hold a connector to its contract; a subclass has the fixture `rig`."""
