"""The newest transitions in memory, in the one order in which this process read them, and positions in Kafka.

A position says of each partition which record comes next. It is told to clients as an opaque text: whoever comes back
with it is told all that is at or after it. In the ring every row's position is at or after the one before in every
partition, so the rows after any position, from wherever it is, begin at a place that is found by bisection.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from bisect import bisect_left
from collections.abc import Sequence

import msgspec

from wardstream.schemas.alerts import Alert

Position = tuple[int, ...]
"""The offset that comes next, of each partition, in the reader's order of partitions."""

_MOST_PARTITIONS = 4096
_decode = msgspec.msgpack.Decoder(tuple[int, ...]).decode


class Row:
    """A transition: what it says, its record's value, and the position after it.

    `event` and `message` are what streams made of it (`streams`): once, for all who want it.
    """

    event: bytes | None = None
    message: str | None = None
    trace: tuple[str, float] | None = None
    """Of a traced transition: its record's traceparent, and when it was read, s since 1970."""

    def __init__(self, alert: Alert, value: bytes, part: int, offset: int, after: Position, silent: bool) -> None:
        self.alert, self.part, self.offset, self.after, self.silent = alert, part, offset, after, silent
        # White space between tokens is all that a line feed can be in JSON, and frames end at line feeds.
        self.value = value.replace(b"\r", b" ").replace(b"\n", b" ")


def text_of(position: Position) -> str:
    """A position as clients are told it."""
    return urlsafe_b64encode(msgspec.msgpack.encode(position)).decode().rstrip("=")


def position_of(text: str, partitions: int) -> Position:
    """The position that a client shows. Partitions that it does not know yet are read from their beginning.

    Raises
    ------
    ValueError
        It is none of ours.
    """
    if len(text) > 10 * _MOST_PARTITIONS:
        raise ValueError("too long")
    try:
        found = _decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (msgspec.MsgspecError, ValueError):
        raise ValueError("no position") from None
    if len(found) > partitions or any(not 0 <= offset < 1 << 63 for offset in found):
        raise ValueError("no position")
    return found + (0,) * (partitions - len(found))


class Ring:
    """The newest rows.

    Parameters
    ----------
    begin : Position
        Before the first row.
    size : int
        How many rows are kept.
    """

    def __init__(self, begin: Position, size: int) -> None:
        self.begin = self.end = begin
        self._size = size
        self._rows: list[Row] = []

    def add(self, row: Row) -> None:
        """Add the row that was read next."""
        self._rows.append(row)
        self.end = row.after
        if len(self._rows) >= 2 * self._size:
            self.begin = self._rows[-self._size - 1].after
            del self._rows[: -self._size]

    def since(self, position: Position) -> Sequence[Row] | None:
        """The rows at or after a position, in their order; None: there may be some that are no longer here."""
        if any(map(int.__lt__, position, self.begin)):
            return None
        first = bisect_left(self._rows, True, key=lambda row: any(map(int.__gt__, row.after, position)))
        return [row for row in self._rows[first:] if row.offset >= position[row.part]]
