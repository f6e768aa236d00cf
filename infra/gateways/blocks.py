"""Blocks of MLLP as python-hl7 frames them, with limits of size and time.

Two things are added to its reader. Bytes before the start of a block are passed over, as the MLLP specification has it:
a line feed that an engine leaves between two blocks would make the second one invalid. And a block has to end some time
after its first byte; between blocks a sender may be silent for as long as it likes.
"""

from __future__ import annotations

import asyncio

from hl7.mllp import HL7StreamReader

BLOCK_BYTES = 1 << 20
"""The largest block; `StreamReader` holds twice that at most."""
BLOCK_SECONDS = 30.0
_START = b"\x0b"
_HEAD_BYTES = 4096


class SlowBlock(Exception):
    """A block has begun and does not end."""


class BlockReader(HL7StreamReader):  # type: ignore[misc]  # python-hl7 brings no types
    """Reads the blocks of one connection.

    Parameters
    ----------
    limit : int
        Largest block, in bytes.
    seconds : float
        Longest time from a block's first byte to its last.
    """

    def __init__(self, limit: int = BLOCK_BYTES, seconds: float = BLOCK_SECONDS) -> None:
        super().__init__(limit=limit, loop=asyncio.get_running_loop())
        self._seconds = seconds
        self._pending = 0  # bytes that came and are in no block yet
        self._since = 0.0  # when the first of them came
        self.head = b""  # how the block that was too large began
        self.ended = asyncio.Event()  # the sender has hung up, whether or not all is read

    def feed_data(self, data: bytes) -> None:
        if not self._pending:
            self._since = self._now()
        self._pending += len(data)
        super().feed_data(data)

    def set_exception(self, exc: BaseException) -> None:
        self.ended.set()
        super().set_exception(exc)

    def feed_eof(self) -> None:
        self.ended.set()
        super().feed_eof()

    async def readuntil(self, separator: bytes = b"\n") -> bytes:
        try:
            block: bytes = await super().readuntil(separator)
        except asyncio.LimitOverrunError:
            begun = bytes(self._buffer[:_HEAD_BYTES])
            self.head = begun[begun.find(_START) + 1 :]
            raise
        self._pending -= len(block)
        self._since = self._now()
        return block[max(block.find(_START), 0) :]

    async def block(self) -> bytes:
        """The next block.

        Raises
        ------
        SlowBlock
            It has not ended in time.
        hl7.mllp.InvalidBlockError
            What ended here had no beginning; the next block may be sound.
        ValueError
            It is too large; what follows cannot be told apart from it.
        asyncio.IncompleteReadError, ConnectionError
            The sender has hung up.
        """
        begun = self._now()
        while True:
            left = max(self._since, begun) + self._seconds - self._now() if self._pending else self._seconds
            try:
                async with asyncio.timeout(max(left, 0)):
                    block: bytes = await self.readblock()
                    return block
            except TimeoutError:
                if self._pending and self._now() - max(self._since, begun) >= self._seconds:
                    raise SlowBlock from None

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
