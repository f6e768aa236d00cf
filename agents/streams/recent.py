"""The ids of the last events of one patient: what makes a resend harmless.

The last 128 ids (`CAPACITY`) are kept, as 8-byte digests, in a ring of eight blocks; each block is a row of the lane's
changelog, so that a batch rewrites 16 ids at the most, not all of them. A resend that comes after 128 later events of
the same patient is taken for a new event.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

CAPACITY = 128
_BLOCK = 16
WIDTH = 8  # bytes a digest: among 128 ids a false match has a chance of 2**-56
_FACTOR = 0x243F6A8885A308D313198A2E03707345  # odd; for the rest the first bits of pi, so that nobody chose them
_BITS = (1 << 128) - 1


def digest(event_id: UUID) -> bytes:
    """The 8 bytes that stand for an event id (any UUID version: time-based ones share most of their bytes).

    Multiply-shift hashing: for any two ids at most 2 of 2**64 factors give them the same upper half (Dietzfelbinger et
    al., J. Algorithms 1997;25:19). A quarter of the time of a cryptographic digest, which would be half of a decode.
    """
    return ((event_id.int * _FACTOR & _BITS) >> 64).to_bytes(WIDTH, "big")


class Recent:
    """A ring of digests; rows are restored in any order."""

    __slots__ = ("_count", "_ring")

    def __init__(self) -> None:
        self._ring = bytearray()
        self._count = 0

    def __contains__(self, item: bytes) -> bool:
        at = self._ring.find(item)
        while at >= 0 and at % WIDTH:  # a match across two digests is none
            at = self._ring.find(item, at + 1)
        return at >= 0

    def __len__(self) -> int:
        return len(self._ring) // WIDTH

    def add(self, items: Collection[bytes]) -> set[int]:
        """Remember digests in place of the oldest; returns the numbers of the blocks that changed."""
        first, ring = self._count, self._ring
        for slot, item in enumerate(items, start=first):
            at = slot % CAPACITY * WIDTH
            ring[at : at + WIDTH] = item
        self._count = first + len(items)
        return {slot % CAPACITY // _BLOCK for slot in range(max(first, self._count - CAPACITY), self._count)}

    def newest(self, number: int) -> list[bytes]:
        """The digests that came last, the oldest of them first."""
        slots = range(max(0, self._count - min(number, len(self))), self._count)
        return [bytes(self._ring[at : at + WIDTH]) for slot in slots for at in (slot % CAPACITY * WIDTH,)]

    def block(self, number: int) -> bytes:
        """One block as it is written: how many ids came so far (8 bytes), then the block's digests."""
        start = number * _BLOCK * WIDTH
        return self._count.to_bytes(8, "big") + self._ring[start : start + _BLOCK * WIDTH]

    def restore(self, number: int, row: bytes) -> None:
        """Put a written block back."""
        start = number * _BLOCK * WIDTH
        body = row[8:]
        if len(self._ring) < start + len(body):
            self._ring.extend(bytes(start + len(body) - len(self._ring)))
        self._ring[start : start + len(body)] = body
        self._count = max(self._count, int.from_bytes(row[:8], "big"))
