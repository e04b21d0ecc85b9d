"""A source around a source: whoever looks at what is read overrides that, and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from gateway_lab.brokers.contract import Batch, Handle, Source, Starts


class WrappedSource:
    """Does what the source within does; see the contract."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def starts(self) -> Starts | None:
        """Those that the source keeps."""
        return self._source.starts

    @property
    def lost(self) -> int:
        """How many messages the source lost."""
        return self._source.lost

    async def read(self, limit: int) -> Batch:
        """Wait for messages."""
        return await self._source.read(limit)

    async def settle(self, handles: Sequence[Handle]) -> None:
        """Settle messages."""
        await self._source.settle(handles)

    async def give_back(self, handles: Sequence[Handle]) -> None:
        """Give messages back."""
        await self._source.give_back(handles)

    async def close(self) -> None:
        """Close the source."""
        await self._source.close()
