"""Feeds that fall silent, and feeds of which too much cannot be used: what operators are told, on notices.v1.

**silent**: no message for as long as the feed's settings say; it ends with the next one. **rejects**: more than so many
in an hour: messages refused, blocks that were none, parts that became dead letters; it ends when an hour has brought no
more than half as many. Each gateway judges what it listens to itself: of a feed that comes to several, each tells what
it sees.

What is so is compared with what is on the topic, and written where they differ: what Kafka does not take now is written
later, if it still holds, and a gateway that starts takes over what is open of its feeds. The log has each transition at
once, and `notices_open` what is open, whether Kafka is there or not.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Final, get_args
from uuid import uuid4

from aiokafka.errors import KafkaError
from msgspec.structs import replace

from wardstream.agents.metrics import FEED_QUIET, FEED_REJECTS, NOTICES_OPEN, Meters
from wardstream.client.batches import PublishError
from wardstream.infra.failure import Failure
from wardstream.infra.gateways.delivery import Way
from wardstream.infra.gateways.feeds import Watch
from wardstream.schemas.decode import encode
from wardstream.schemas.notices import TOPIC, Condition, FeedCondition, Notice

log = logging.getLogger(__name__)

CONDITIONS: Final[tuple[FeedCondition, ...]] = get_args(FeedCondition)
LOOK_S: Final = 1.0
_PAUSE_S: Final = 15.0  # after Kafka took nothing
_HOUR: Final = timedelta(hours=1)
_MINUTE_S: Final = 60

_About = tuple[str, Condition]  # a feed, and what is wrong


class Traffic:
    """What one feed has brought lately.

    Parameters
    ----------
    watch
        The feed's limits.
    since
        When watching began.
    """

    def __init__(self, watch: Watch, since: datetime) -> None:
        self._watch, self._since = watch, since
        self._heard: datetime | None = None
        self._rejects: Counter[int] = Counter()  # by minute since 1970

    def heard(self, at: datetime, rejects: int) -> None:
        """Something came, and so many parts of it could not be used."""
        self._heard = at
        if rejects:
            self._rejects[_minute(at)] += rejects

    def quiet(self, at: datetime) -> timedelta:
        """For how long nothing has come."""
        return at - (self._heard or self._since)

    def rejects(self, at: datetime) -> int:
        """How many there were in the last hour."""
        first = _minute(at - _HOUR)
        for minute in [minute for minute in self._rejects if minute <= first]:
            del self._rejects[minute]
        return self._rejects.total()

    def holds(self, condition: Condition, at: datetime, before: bool) -> bool:
        """Whether operators must know; `before`: whether that was so until now."""
        if condition == "silent":
            limit = timedelta(minutes=self._watch.silent_after_min)
            return bool(limit) and (self.quiet(at) >= limit or (before and self._heard is None))
        if before:  # of the time before we watched nothing is known
            return self.rejects(at) > self._watch.rejects_per_hour / 2 or at - self._since < _HOUR
        return self.rejects(at) > self._watch.rejects_per_hour

    def since(self, condition: Condition) -> datetime | None:
        """Of a silent feed, when the last message came (or watching began)."""
        return self._heard or self._since if condition == "silent" else None

    def reason(self, condition: Condition, at: datetime) -> str:
        """What is so, in a sentence."""
        if condition == "silent":
            return f"no message for {self.quiet(at) // timedelta(minutes=1)} minutes"
        return f"{self.rejects(at)} rejects in the last hour"


class Watcher:
    """Watches the feeds of one gateway.

    Parameters
    ----------
    feeds
        The limits of each.
    meters
        Counts.
    read
        Reads what is open on the topic; raises as `open_notices`.
    way
        Makes a connection to write over.
    now
        The wall clock.
    """

    def __init__(
        self,
        feeds: Mapping[str, Watch],
        meters: Meters,
        read: Callable[[], Awaitable[Iterable[Notice]]],
        way: Callable[[], Way],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._meters, self._read, self._way, self._now = meters, read, way, now
        self._traffic = {name: Traffic(watch, now()) for name, watch in feeds.items()}
        self._open: dict[_About, Notice] = {}
        self._told: dict[_About, Notice] | None = None  # None: not read yet
        self._trouble = ""

    def heard(self, feed: str, rejects: int) -> None:
        """Something came over a feed, and so many parts of it could not be used."""
        self._traffic[feed].heard(self._now(), rejects)
        if rejects:
            self._meters.count(FEED_REJECTS, (feed,), rejects)

    async def run(self) -> None:
        """Look, and tell. Runs until it is cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_S if await self.tell() else _PAUSE_S)

    def look(self) -> None:
        """Judge every feed as of now."""
        at = self._now()
        for feed, traffic in self._traffic.items():
            self._meters.set(FEED_QUIET, traffic.quiet(at).total_seconds(), (feed,))
            for condition in CONDITIONS:
                about, reason = (feed, condition), traffic.reason(condition, at)
                known = self._open.get(about)
                holds = traffic.holds(condition, at, known is not None)
                if holds and known is None:
                    log.warning("feed %s: %s: raised: %s", feed, condition, reason)
                    self._open[about] = _raised(feed, condition, at, reason, traffic.since(condition))
                elif known is not None and not holds:
                    log.warning("feed %s: %s: resolved", feed, condition)
                    del self._open[about]
                self._meters.set(NOTICES_OPEN, float(holds), about)

    async def tell(self) -> bool:
        """Write what is not on the topic yet; False: Kafka did not take it."""
        try:
            if self._told is None:
                self._told = self._adopted(await self._read())
            due = self._due(self._told)
            if due:
                await self._write(due)
        except (Failure, KafkaError, OSError, PublishError, TimeoutError) as error:
            trouble = f"{type(error).__name__}: {error}" if isinstance(error, Failure) else type(error).__name__
            if trouble != self._trouble:
                log.warning("operators' notices cannot be written yet: %s", trouble)
            self._trouble = trouble
            return False
        self._trouble = ""
        for notice in due:
            about = notice.feed, notice.condition
            if notice.transition == "raised":
                self._told[about] = notice
            else:
                self._told.pop(about, None)
        return True

    def _adopted(self, found: Iterable[Notice]) -> dict[_About, Notice]:
        """Of what is open on the topic what is about our feeds; it goes on, whatever we have seen since."""
        told = {(notice.feed, notice.condition): notice for notice in found if notice.feed in self._traffic}
        self._open |= told
        return told

    def _due(self, told: Mapping[_About, Notice]) -> list[Notice]:
        at = self._now()
        ended = [
            replace(
                notice,
                transition="resolved",
                at=max(at, notice.at),
                reason="a message came" if condition == "silent" else self._traffic[feed].reason(condition, at),
            )
            for (feed, condition), notice in told.items()
            if (feed, condition) not in self._open
        ]
        return ended + [notice for about, notice in self._open.items() if about not in told]

    async def _write(self, notices: Iterable[Notice]) -> None:
        way = self._way()
        try:
            await way.open()
            for notice in notices:
                await way.add(TOPIC.name, str(notice.notice_id), encode(notice))
            await way.flush()
        finally:
            await way.close()


def _raised(feed: str, condition: Condition, at: datetime, reason: str, since: datetime | None) -> Notice:
    return Notice(
        notice_id=uuid4(),
        condition=condition,
        feed=feed,
        transition="raised",
        raised_at=at,
        at=at,
        reason=reason,
        since=since,
    )


def _minute(at: datetime) -> int:
    return int(at.timestamp() // _MINUTE_S)
