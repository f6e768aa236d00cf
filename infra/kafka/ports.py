"""Ports of a local cluster, held as long as it lives.

A bound socket of ours keeps each port while its broker is down. Otherwise the port of a killed broker, which lies in
the ephemeral range, may go to any outgoing connection, even to the very one that tries to reach the broker.
"""

from __future__ import annotations

import socket
from pathlib import Path


class Ports:
    """Free ports on 127.0.0.1, the same as last time where they still are, so that an address stays good.

    Parameters
    ----------
    file
        Remembers the numbers.
    count
        How many.
    """

    def __init__(self, file: Path, count: int) -> None:
        before = [int(number) for number in file.read_text().split()] if file.exists() else []
        before += [0] * (count - len(before))
        self._sockets = [_take(number) for number in before[:count]]
        self.numbers: tuple[int, ...] = tuple(taken.getsockname()[1] for taken in self._sockets)
        file.write_text(" ".join(map(str, self.numbers)))

    def close(self) -> None:
        """Give the ports back."""
        for taken in self._sockets:
            taken.close()


def _take(wanted: int) -> socket.socket:
    # Java binds with SO_REUSEADDR as well, so both may hold the port, as only one of them listens.
    taken = socket.socket()
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind(("127.0.0.1", wanted))
    except OSError:
        taken.bind(("127.0.0.1", 0))
    return taken
