"""A board's stream: what it sees now, then what changes, at most once a second.

An event's id is the process's epoch and the version after it. Who comes back with one of this process is told what has
changed since; anybody else begins anew. A reader that takes little holds up nobody, and nothing is queued for it: when
it takes again, it is told how things stand then.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Final

from fastapi.sse import format_sse_event

from wardstream.agents.metrics import BOARD_BEGUN, BOARD_BYTES
from wardstream.infra.api.hub import HEARTBEAT_S
from wardstream.infra.board.board import Board
from wardstream.infra.board.shelf import Audience
from wardstream.infra.board.tiles import encode, moment

BEAT_S: Final = 5.0
_RETRY_MS: Final = 2000


async def events(
    board: Board,
    audience: Audience,
    units: Sequence[str],
    last: str | None,
    system: Callable[[], bytes],
    holds: Callable[[], bool],
) -> AsyncGenerator[bytes]:
    """The body of an SSE answer; counted as it is told.

    Parameters
    ----------
    units : sequence of str
        Those that can be told of.
    last : str or None
        id of the last event that was seen.
    system : callable
        How the system does, as JSON.
    holds : callable
        Whether the token still lets this audience in; looked at from time to time.
    """
    loop = asyncio.get_running_loop()
    something = asyncio.Event()
    board.told.append(something.set)
    try:
        yield format_sse_event(retry=_RETRY_MS)
        version = version_of(board, last)
        board.meters.count(BOARD_BEGUN, ("new" if version < 0 else "resumed",))
        beaten = looked = float("-inf")
        while not board.closing:
            something.clear()
            if version < board.version or version < 0:
                news, version = _news(board, audience, units, version), board.version
                if news:
                    yield _counted(board, b"".join(news))
            now = loop.time()
            if now - looked >= HEARTBEAT_S:
                looked = now
                if not holds():
                    return
            if now - beaten >= BEAT_S:
                beaten = now
                at = name_of(board, version)
                yield _counted(board, _event("beat", beat(board), at) + _event("system", system(), at))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, beaten + BEAT_S - loop.time())):
                    await something.wait()
    finally:
        board.told.remove(something.set)


def name_of(board: Board, version: int) -> str:
    """A version as an event's id."""
    return f"{board.epoch}-{version}"


def version_of(board: Board, last: str | None) -> int:
    """The version of an event's id; -1: it is none of this process."""
    epoch, _, number = (last or "").partition("-")
    if epoch != board.epoch or not number.isdecimal() or len(number) > 18:
        return -1
    return int(number) if int(number) <= board.version else -1


def beat(board: Board) -> bytes:
    """That the stream lives, and how old what it tells is."""
    clock = board.clock
    return encode(
        {
            "at": moment(clock.now),
            "wall": moment(clock.wall()),
            "pace": round(clock.pace, 2),
            "behind_s": None if board.behind_s is None else round(board.behind_s, 1),
            "source_ok": board.source_ok,
        }
    )


def _news(board: Board, audience: Audience, units: Sequence[str], version: int) -> list[bytes]:
    """The events after a version; only the last has an id, so that who is cut off between is told all of them again."""
    at = encode(moment(board.clock.now))
    tiles = None if version < 0 else board.tiles.since(version, audience)
    alerts = None if version < 0 else board.alerts.since(version, audience)
    found = []
    if tiles is None or alerts is None:
        now = at, encode(units), b",".join(board.tiles.whole(audience))
        found.append(("reset", b'{"at":%b,"units":%b,"tiles":[%b]}' % now))
        found.append(("alerts", b'{"changed":[%b],"gone":[]}' % b",".join(board.alerts.whole(audience))))
    else:
        if tiles:
            some = at, b",".join(tiles.changed), encode(tiles.gone)
            found.append(("tiles", b'{"at":%b,"changed":[%b],"gone":%b}' % some))
        if alerts:
            both = b",".join(alerts.changed), encode(alerts.gone)
            found.append(("alerts", b'{"changed":[%b],"gone":%b}' % both))
    last = len(found) - 1
    version = board.version
    return [
        _event(name, data, name_of(board, version) if place == last else None)
        for place, (name, data) in enumerate(found)
    ]


def _counted(board: Board, chunk: bytes) -> bytes:
    board.meters.count(BOARD_BYTES, by=len(chunk))
    return chunk


def _event(name: str, data: bytes, at: str | None) -> bytes:
    return format_sse_event(event=name, data_str=data.decode(), id=at)
