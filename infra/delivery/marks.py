"""How far a subscription is in one partition: up to which offset all is done, though later ones may be before earlier.

What is committed is the first offset that is not done. After a kill all from there on is told again.
"""

from __future__ import annotations

from collections import deque


class Marks:
    """Offsets that were taken, in their order, until all before them are done.

    Parameters
    ----------
    position : int
        The next offset to be read.

    Attributes
    ----------
    read : int
        The next offset to be read, now.
    """

    def __init__(self, position: int) -> None:
        self.read = position
        self._held: deque[int] = deque()
        self._done: set[int] = set()

    @property
    def position(self) -> int:
        """The first offset that is not done."""
        return self._held[0] if self._held else self.read

    @property
    def held(self) -> int:
        """How many offsets are remembered."""
        return len(self._held)

    def take(self, offset: int) -> None:
        """Remember an offset; later ones come later."""
        self._held.append(offset)
        self.read = offset + 1

    def read_to(self, position: int) -> None:
        """All before this one have been read."""
        self.read = position

    def done(self, offset: int) -> None:
        """An offset that was taken is done."""
        self._done.add(offset)
        while self._held and self._held[0] in self._done:
            self._done.remove(self._held.popleft())
