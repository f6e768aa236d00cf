"""The one lane of operators' alerts, with what it reads and writes in memory; handlers and settings are the worker's
own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid5

from tests.agents.streams.fakes import Record
from wardstream.agents.streams.batch import Batch
from wardstream.agents.streams.lane import Lane
from wardstream.agents.streams.outputs import Row
from wardstream.agents.streams.places import place
from wardstream.agents.streams.state import LaneState
from wardstream.infra.operations_app import OPERATIONS, operations_lanes
from wardstream.infra.settings import Settings
from wardstream.models.alerts.policy import Policy
from wardstream.models.alerts.policy_file import DEFAULT
from wardstream.models.operations import Row as Subject
from wardstream.models.operations import RowCodec
from wardstream.schemas.alerts import Alert, Evidence, State
from wardstream.schemas.decode import check, decoder_of, encode
from wardstream.schemas.flow import LEVELS, Ahead, Flow, Spread
from wardstream.schemas.metrics import HistogramSnapshot, Metrics
from wardstream.schemas.notices import Notice
from wardstream.schemas.operator_alerts import OperatorAlert
from wardstream.schemas.operator_answers import OperatorAnswer
from wardstream.schemas.ticks import Tick
from wardstream.schemas.topics import TOPICS

START = datetime(2026, 3, 14, 9, tzinfo=UTC)
SPACE = UUID(int=77)
KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
TOPIC_OF = {topic.type: name for name, topic in TOPICS.items()}


class Killed(Exception):
    """The worker dies in its commit."""


def minute(count: float) -> datetime:
    return START + timedelta(minutes=count)


def notice(name: str, at: float, transition: str = "raised", **fields: Any) -> Notice:
    """Of the feed `lab`, silent for an hour then; `at` in minutes, as everywhere here."""
    told = {"condition": "silent", "feed": "lab", "raised_at": minute(min(at, fields.pop("began", at)))}
    if fields.get("condition", "silent") == "silent" and transition == "raised":
        told["since"] = minute(at - 60)
    return Notice(notice_id=uuid5(SPACE, name), transition=transition, at=minute(at), reason="so", **told | fields)  # type: ignore[arg-type]


def snapshot(process: str, at: float, counters: Mapping[str, float], answered: int = 0, started: float = 0) -> Metrics:
    """What a worker has counted of the model `sepsis`."""
    histogram = HistogramSnapshot(scheme="s", counts={0: answered}, sum=float(answered), count=answered)
    return Metrics(
        process=process,
        role="worker",
        started_at=minute(started),
        at=minute(at),
        counters={name.replace("(", '{model="sepsis",').replace(")", "}"): n for name, n in counters.items()},
        histograms={'model_seconds{model="sepsis"}': histogram} if answered else {},
    )


def answers(ok: float = 0, degraded: float = 0, abstained: float = 0, failed: float = 0) -> dict[str, float]:
    """Counters of the model `sepsis`."""
    found = {f'predictions_total(quality="{name}")': n for name, n in zip(("ok", "degraded"), (ok, degraded))}  # noqa: B905
    found['predictions_total(quality="abstained")'] = abstained
    return found | {'model_failures_total(reason="deadline")': failed, "events_total": 9}


def hour(number: int, census: int = 10, full: Mapping[int, float | None] | None = None, **fields: Any) -> Flow:
    """What was told when an hour of the unit 4B had ended; `full` by horizon, as are patients too many in tenths."""
    some = Spread(mean=1.0, quantiles=(1,) * len(LEVELS))
    ahead = [
        Ahead(horizon_h=h, arrivals=some, discharges=some, beds=some, full=p, shortfall=None if p is None else p * 10)
        for h, p in (full or {}).items()
    ]
    told = {"unit": "4B", "ahead": tuple(ahead)} | fields
    begin = START + timedelta(hours=number)
    return Flow(
        event_id=uuid5(SPACE, f"flow {number} {fields}"),
        source="wardstream",
        hour_from=begin - timedelta(hours=1),
        observed_at=begin,
        received_at=begin,
        census=census,
        **told,  # type: ignore[arg-type]
    )


def stale_alert(name: str, at: float, state: State = "raised", unit: str | None = "4B", **fields: Any) -> Alert:
    """A transition of an alert of kind staleness."""
    said = uuid5(SPACE, f"{name} {at} {state}")
    told = {"condition": "stale", "kind": "staleness"} | fields
    return Alert(
        event_id=said,
        source="wardstream",
        patient_id=f"p-{name}",
        observed_at=minute(at),
        received_at=minute(at),
        alert_id=uuid5(SPACE, name),
        number=1,
        transition="raised",
        state=state,
        priority="low",
        raised_at=minute(at),
        reason="no current heart rate",
        caused_by=said,
        evidence=Evidence(caused_by=said),
        unit=unit,
        **told,  # type: ignore[arg-type]
    )


class OperationsLane:
    """What a worker of the group does, step by step; two lanes of patients.

    Attributes
    ----------
    policy : the policy in force.
    told : every record of operator-alerts.v1, with its key.
    rows : the compacted changelog.
    kill : called before and after each commit is made; raises `Killed` to have the worker die there.
    """

    def __init__(self, policy: Policy = DEFAULT) -> None:
        self.policy = policy
        self.logs: dict[str, list[Record]] = defaultdict(list)
        self.written: list[tuple[bytes, bytes]] = []
        self.dead: list[Row] = []
        self.rows: dict[bytes, bytes] = {}
        self.kill: Callable[[], None] = lambda: None
        settings = Settings(broker_url="kafka://localhost:9092", dead_letter_key=KEY)
        self.settings = operations_lanes(settings, 2)
        self._handlers = {topic: make(lambda: self.policy) for topic, make in OPERATIONS.items()}
        self.lane = self._opened()

    def _opened(self) -> Lane:
        lane = Lane(0, self.settings)
        lane.state = LaneState(self.settings.codec, self.rows)
        lane._producer = _Producer(self)  # type: ignore[assignment]
        names = self.settings.topics
        lane.start_offsets(dict.fromkeys(names, UUID(int=1)), dict.fromkeys(names, 0), dict.fromkeys(names, 10**9))
        return lane

    def restart(self) -> None:
        """Nothing is left but the changelog."""
        self.lane = self._opened()

    async def give(self, *events: Any, partition: int = 0) -> None:
        """Publish records one by one, each handled before the next."""
        for event in events:
            check(event)
            self.append(TOPIC_OF[type(event)], encode(event), partition)
            await self.settle()

    def append(self, topic: str, value: bytes, partition: int = 0) -> None:
        """One more record to read."""
        log = self.logs[f"{topic}/{partition}"]
        log.append(Record(topic, len(log), value, partition, b"k", (), 0))

    async def settle(self) -> None:
        """Read until nothing is left, through any kills."""
        while left := {name: log for name, log in self.logs.items() if len(log) > self._at(name)}:
            for name in left:
                some = self.logs[name][self._at(name) :]
                try:
                    await self.lane.apply(self.lane.decode(name, some, 0.0), self._dispatch)
                except Killed:
                    self.restart()

    def _at(self, name: str) -> int:
        return self.lane.state.lane.positions[name].offset

    async def _dispatch(self, name: str, batch: Batch[Any, Any]) -> None:
        await self._handlers[place(name, 0).topic](batch)

    async def pass_to(self, at: float, begin: float | None = None) -> list[OperatorAlert]:
        """Ticks of every minute up to this one; what was told from then on."""
        before = len(self.written)
        last = self.subject("").clock
        first = begin if begin is not None else at if last is None else (last - START.timestamp()) / 60 + 1
        for count in range(int(first), int(at) + 1):
            now = minute(count)
            tick = Tick(event_id=uuid5(SPACE, f"tick {count}"), source="clock", observed_at=now, received_at=now)
            await self.give(tick)
        return self.told[before:]

    async def answer(self, alert: OperatorAlert, action: str, at: float, **fields: Any) -> list[OperatorAlert]:
        """A person answers; what was told then."""
        before = len(self.written)
        name = f"{alert.alert_id} {action} {at}"
        told = {"event_id": uuid5(SPACE, name), "source": "test", "observed_at": minute(at), "received_at": minute(at)}
        await self.give(OperatorAnswer(alert_id=alert.alert_id, action=action, actor="m.garcia", **told | fields))  # type: ignore[arg-type]
        return self.told[before:]

    @property
    def told(self) -> list[OperatorAlert]:
        found = [decoder_of(OperatorAlert)(value) for _, value in self.written]
        assert [key for key, _ in self.written] == [str(one.alert_id).encode() for one in found]
        return found

    def subject(self, key: str) -> Subject:
        """The row of a subject, as it is in the changelog."""
        row = self.rows.get(b"p\0" + key.encode())
        return Subject() if row is None else RowCodec().decode(row)


class _Producer:
    def __init__(self, lane: OperationsLane) -> None:
        self._lane = lane

    async def commit(self, rows: Mapping[tuple[str, int], Sequence[Row]], offsets: Any, group: str) -> None:
        lane = self._lane
        lane.kill()
        for (topic, partition), some in rows.items():
            for row in some:
                if topic == "operator-alerts.v1":
                    assert partition == 0
                    lane.written.append((row.key or b"", row.value or b""))
                elif topic.endswith(".dead"):
                    lane.dead.append(row)
                elif row.value is None:
                    lane.rows.pop(row.key or b"", None)
                else:
                    lane.rows[row.key or b""] = row.value
        lane.kill()


def said(told: Sequence[OperatorAlert]) -> list[tuple[str, str, str]]:
    """Condition, transition and priority of each."""
    return [(one.condition, one.transition, one.priority) for one in told]
