"""Running a feed against a cluster: what the commands and the demo share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from wardstream.infra.feeds.clock import refuse_live_clock
from wardstream.infra.feeds.names import NamingPublisher
from wardstream.infra.feeds.outbox import BAD_SHARE
from wardstream.infra.feeds.pace import FeedPublisher, Item, Sent, send_paced
from wardstream.infra.feeds.radiology import Shot
from wardstream.infra.feeds.simulator import as_items, simulate
from wardstream.infra.identities import IdentitySeals


async def run_simulator(
    client_options: dict[str, Any],
    *,
    patients: int = 40,
    seed: int = 1,
    speed: float = 60.0,
    bad_share: float = BAD_SHARE,
    films: Sequence[Shot] = (),
    identity_keys: Sequence[bytes] = (),
    stop: asyncio.Event | None = None,
    progress: Callable[[Sent], None] | None = None,
) -> Sent:
    """Simulate a hospital into a cluster until `stop` is set; return what was sent.

    It begins at the wall clock's now, or a minute after the cluster's last tick where an earlier run was ahead of the
    clock: time must not go backwards.

    Parameters
    ----------
    client_options : dict
        As `kafka_client_options` returns them.
    patients, seed, bad_share, films
        As of `simulate`.
    identity_keys : sequence of bytes
        The first seals the patients' names, for `identities.v1`; without one they have none.
    speed : float
        Simulated seconds a second.
    stop, progress
        As of `send_paced`.

    Raises
    ------
    ClockError
        A live clock keeps the cluster's time.
    PublishError
        The cluster did not take the events.
    """
    tick = await refuse_live_clock(client_options)
    start = datetime.now(UTC)
    if tick is not None:
        start = max(start, tick.observed_at + timedelta(minutes=1))
    items = as_items(simulate(seed=seed, patients=patients, start=start, bad_share=bad_share, films=films))
    named = NamingPublisher(IdentitySeals(identity_keys), **client_options) if identity_keys else None
    async with named or FeedPublisher(**client_options) as publisher:
        return await send_paced(items, publisher, ticks="simulator", speed=speed, stop=stop, progress=progress)


async def run_replay(
    client_options: dict[str, Any],
    items: Iterator[Item],
    *,
    speed: float | None,
    stop: asyncio.Event | None = None,
    progress: Callable[[Sent], None] | None = None,
    warn: Callable[[str], None] = lambda _: None,
) -> Sent:
    """Send a timeline of recorded patients; return what was sent.

    Parameters
    ----------
    client_options : dict
        As `kafka_client_options` returns them.
    items : iterator of Item
        As `timeline` yields them.
    speed : float or None
        Recorded seconds a second; None: as fast as the cluster takes it.
    stop, progress
        As of `send_paced`.
    warn : callable
        Told when the cluster's time is not the records'.

    Raises
    ------
    ClockError
        A live clock keeps the cluster's time.
    PublishError
        The cluster did not take the events.
    """
    tick = await refuse_live_clock(client_options)
    if tick is not None and tick.source != "replay":
        warn(
            f"this cluster's time is {tick.observed_at:%Y-%m-%d %H:%M} (from the {tick.source}): what is replayed"
            " from before counts as late there. Use a cluster of its own for exact results."
        )
    async with FeedPublisher(**client_options) as publisher:
        return await send_paced(items, publisher, ticks="replay", speed=speed, stop=stop, progress=progress)
