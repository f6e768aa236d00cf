"""What operators are told of feeds: when it begins, that it ended, once each, whatever Kafka and restarts do."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.infra.gateways.running import running
from tests.infra.gateways.senders import FakeWay, message
from wardstream.agents.metrics import FEED_QUIET, FEED_REJECTS, NOTICES_OPEN, Meters
from wardstream.infra.failure import Failure
from wardstream.infra.gateways.feeds import Watch
from wardstream.infra.gateways.watching import Traffic, Watcher
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.notices import Notice

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LIMITS = Watch(silent_after_min=60, rejects_per_hour=10)


def minutes(count: float) -> timedelta:
    return timedelta(minutes=count)


class Desk:
    """A watcher of the feed `lab`, a clock, and a topic that can be away."""

    def __init__(self, limits: Watch = LIMITS) -> None:
        self.at = NOON
        self.way, self.meters = FakeWay(), Meters()
        self.trouble: Exception | None = None
        self._limits = limits
        self.restart()

    def restart(self) -> None:
        self.watcher = Watcher({"lab": self._limits}, self.meters, self._read, lambda: self.way, lambda: self.at)

    async def _read(self) -> Iterable[Notice]:
        if self.trouble is not None:
            raise self.trouble
        found: dict[object, Notice] = {}
        for notice in self.told():
            if notice.transition == "raised":
                found[notice.notice_id] = notice
            else:
                found.pop(notice.notice_id, None)
        return found.values()

    async def pass_time(self, more: timedelta) -> bool:
        self.at += more
        self.watcher.look()
        return await self.watcher.tell()

    def told(self) -> list[Notice]:
        assert {topic for topic, *_ in self.way.kept} <= {"notices.v1"}
        found = [decoder_of(Notice)(value) for _, _, value, _ in self.way.kept]
        assert [key for _, key, *_ in self.way.kept] == [str(notice.notice_id) for notice in found]
        return found

    def lives(self) -> list[tuple[str, str]]:
        return [(notice.condition, notice.transition) for notice in self.told()]

    def open(self, condition: str) -> float:
        return self.meters.values[NOTICES_OPEN, ("lab", condition)]


async def test_a_feed_that_falls_silent_and_speaks_again() -> None:
    desk = Desk()
    desk.watcher.heard("lab", 0)
    await desk.pass_time(minutes(59))
    assert (desk.told(), desk.open("silent")) == ([], 0)
    await desk.pass_time(minutes(1))
    await desk.pass_time(minutes(30))
    (raised,) = desk.told()
    assert (raised.feed, raised.condition, raised.transition) == ("lab", "silent", "raised")
    assert (raised.raised_at, raised.at, raised.reason) == (NOON + minutes(60),) * 2 + ("no message for 60 minutes",)
    assert raised.since == NOON, "when the last message came"
    assert desk.open("silent") == 1
    assert desk.meters.values[FEED_QUIET, ("lab",)] == 90 * 60
    desk.watcher.heard("lab", 0)
    await desk.pass_time(minutes(1))
    _, resolved = desk.told()
    assert (resolved.notice_id, resolved.transition) == (raised.notice_id, "resolved")
    assert (resolved.raised_at, resolved.at) == (raised.raised_at, NOON + minutes(91))
    assert desk.open("silent") == 0
    await desk.pass_time(minutes(59))
    assert desk.lives() == [("silent", "raised"), ("silent", "resolved"), ("silent", "raised")]
    assert desk.told()[2].notice_id != raised.notice_id


async def test_a_feed_that_never_spoke_is_silent_and_one_that_need_not_is_not() -> None:
    desk, quiet = Desk(), Desk(Watch(silent_after_min=0))
    for one in (desk, quiet):
        await one.pass_time(minutes(60))
    assert (desk.lives(), quiet.lives()) == ([("silent", "raised")], [])
    assert desk.told()[0].since == NOON, "when watching began"


async def test_too_many_rejects() -> None:
    desk = Desk(Watch(silent_after_min=0, rejects_per_hour=10))
    for _ in range(5):
        desk.watcher.heard("lab", 2)
        await desk.pass_time(minutes(1))
    assert desk.told() == []
    desk.watcher.heard("lab", 1)
    desk.watcher.heard("lab", 0)
    await desk.pass_time(minutes(0))
    assert [(notice.condition, notice.reason) for notice in desk.told()] == [("rejects", "11 rejects in the last hour")]
    assert desk.meters.values[FEED_REJECTS, ("lab",)] == 11
    for _ in range(56):  # until half of them are an hour ago
        await desk.pass_time(minutes(1))
        assert len(desk.told()) == 1
    await desk.pass_time(minutes(1))
    assert desk.lives() == [("rejects", "raised"), ("rejects", "resolved")]
    assert desk.told()[1].reason == "5 rejects in the last hour"


async def test_what_kafka_does_not_take_is_told_later_if_it_still_holds(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    desk.way.up.clear()
    assert not await desk.pass_time(minutes(60))
    assert not await desk.pass_time(minutes(1))
    assert desk.open("silent") == 1
    assert [record.message for record in caplog.records] == [
        "feed lab: silent: raised: no message for 60 minutes",
        "operators' notices cannot be written yet: PublishError",
    ]
    desk.way.up.set()
    assert await desk.pass_time(minutes(1))
    assert desk.lives() == [("silent", "raised")]
    desk.way.up.clear()
    desk.watcher.heard("lab", 0)
    assert not await desk.pass_time(minutes(1))
    await desk.pass_time(minutes(60))  # silent again, before anybody heard that it had spoken
    desk.watcher.heard("lab", 0)
    desk.way.up.set()
    assert await desk.pass_time(minutes(1))
    assert desk.lives() == [("silent", "raised"), ("silent", "resolved")]


async def test_a_topic_that_is_not_there_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    desk = Desk()
    desk.trouble = Failure("no topic notices.v1: `wardstream topics create` makes it")
    for _ in range(3):
        assert not await desk.pass_time(minutes(30))
    assert desk.open("silent") == 1
    assert "wardstream topics create" in caplog.text
    desk.trouble = None
    assert await desk.pass_time(minutes(1))
    assert desk.lives() == [("silent", "raised")]


async def test_a_restart_goes_on_with_what_is_open() -> None:
    desk = Desk(Watch(silent_after_min=30, rejects_per_hour=10))
    desk.watcher.heard("lab", 11)
    await desk.pass_time(minutes(1))
    await desk.pass_time(minutes(29))
    assert sorted(desk.lives()) == [("rejects", "raised"), ("silent", "raised")]
    desk.restart()
    await desk.pass_time(minutes(30))
    await desk.pass_time(minutes(29))
    assert len(desk.told()) == 2, "nothing has been heard, and no hour has passed"
    desk.watcher.heard("lab", 0)
    await desk.pass_time(minutes(1))
    assert sorted(desk.lives()[2:]) == [("rejects", "resolved"), ("silent", "resolved")]
    assert {notice.notice_id for notice in desk.told()[:2]} == {notice.notice_id for notice in desk.told()[2:]}


async def test_notices_of_other_feeds_are_left_alone() -> None:
    desk = Desk()
    await desk.pass_time(minutes(60))
    desk.watcher = Watcher({"icu": LIMITS}, desk.meters, desk._read, lambda: desk.way, lambda: desk.at)
    desk.watcher.heard("icu", 0)
    await desk.pass_time(minutes(1))
    assert desk.lives() == [("silent", "raised")]


@settings(max_examples=100)
@given(st.lists(st.tuples(st.floats(0, 100), st.integers(0, 4)), max_size=40), st.floats(0, 200))
def test_rejects_are_those_of_the_last_hour(steps: list[tuple[float, int]], later: float) -> None:
    traffic, at, said = Traffic(LIMITS, NOON), NOON, []
    for after, rejects in steps:
        at += minutes(after)
        traffic.heard(at, rejects)
        said.append((at, rejects))
    now = at + minutes(later)
    certain = sum(count for then, count in said if now - then < minutes(59))
    possible = sum(count for then, count in said if now - then <= minutes(61))
    assert certain <= traffic.rejects(now) <= possible  # to the minute
    assert traffic.quiet(now) == now - at


async def test_the_gateway_tells_what_came_and_what_could_not_be_used(tmp_path: Path) -> None:
    heard: list[tuple[str, int]] = []
    async with running(tmp_path, heard=lambda *what: heard.append(what)) as run, run.sender() as engine:
        for control_id, parts in (("m1", ("event",)), ("m2", ("reject", "impossible", "event")), ("m3", ("ignored",))):
            assert (await engine.ask(message(control_id, *parts)))[0] == "AA"
        assert (await engine.ask(message("m4", "malformed")))[0] == "AE"
        assert (await engine.ask(message("m5", "crash")))[0] == "AR"
        assert (await engine.ask(message("m6", "reject", accept="AL")))[0] == "CA"
        engine.send(b"BHS|^~\\&\r" + message("m7") + message("m8", "malformed") + b"BTS|2\r")
        await engine.reader.readblock()
        assert (await engine.ask(b"BHS|^~\\&\rBTS|0\r"))[0] == "AE"
        engine.write(b"garbage\x1c\r")
        assert (await engine.ask(message("m9")))[0] == "AA"
    assert heard == [("icu", count) for count in (0, 2, 0, 1, 1, 1, 0, 1, 1, 1, 0)]
