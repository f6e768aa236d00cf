"""The checker catches what it is there for: each of these worlds is right but for one thing."""

from __future__ import annotations

import ast
import copy
import json
import zlib
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiokafka.partitioner import murmur2

from tests.faults.checker import Checker
from tests.faults.expected import CODES, seconds
from tests.faults.reading import Record
from tests.faults.stalls import Fault, longest, outcomes, stalls
from tests.faults.traffic import Traffic

HERE = Path(__file__).parent
LANES = 2
START = 1_800_000_000.0
TICK = "tick-1"


def lane_of(patient: str) -> int:
    return (murmur2(patient.encode()) & 0x7FFFFFFF) % LANES


class World:
    """What a run leaves behind, made by hand: every event applied once."""

    def __init__(self) -> None:
        self.ledger: list[dict[str, Any]] = []
        self.inputs: list[Record] = []
        self.scores: list[dict[str, Any]] = []
        self.alerts: list[dict[str, Any]] = []
        self.dead: list[tuple[str, int, int]] = []
        self.state: dict[str, Any] = defaultdict(lambda: {"signals": {}, "deaths": [], "stay": {}})
        self.bins: dict[str, list[str]] = defaultdict(list)

    def put(self, topic: str, event: dict[str, Any] | bytes, *, lane: int | None = None, **odd: Any) -> None:
        """Publish: the ledger's line and the record."""
        value = event if isinstance(event, bytes) else json.dumps(event).encode()
        known = event if isinstance(event, dict) else {"event_id": f"bad-{len(self.ledger)}", "patient_id": "P00000"}
        lane = lane_of(known["patient_id"]) if lane is None else lane
        entry = {"topic": topic, "id": known["event_id"], "key": known["patient_id"], "lane": lane, "sent": 1.0}
        self.ledger.append(entry | {"acked": 2.0, "crc": zlib.crc32(value), **odd})
        self.append(topic, lane, value)

    def append(self, topic: str, lane: int, value: bytes, **headers: bytes) -> None:
        offset = sum(1 for record in self.inputs if record[:2] == (topic, lane))
        named = {name.replace("_", "-"): text for name, text in headers.items()}
        self.inputs.append(Record(topic, lane, offset, b"", value, named))

    def apply(self, topic: str, event: dict[str, Any]) -> None:
        """What a worker does with an event that is new and newer than all before."""
        at, event_id, patient = seconds(event["observed_at"]), event["event_id"], event["patient_id"]
        state = self.state[patient]
        self.scores.append({"event_id": f"scores/{event_id}", "caused_by": event_id})
        if topic in ("vitals.v1", "labs.v1"):
            values = {code: event[name] for name, code in CODES.items() if name in event}
            values = values or {"wbc": event["value"]}
            for code, value in values.items():
                state["signals"][code] = [value, at, at, True]
            lines = self.bins[patient]
            lines[:] = [line for line in lines if event.get("supersedes", "nothing") not in line]
            lines.append(json.dumps([at, at, event_id, True, values]))
        elif topic == "admissions.v1":
            state["stay"]["age_years"] = event["age_years"]
        else:
            state["deaths"] = [*state["deaths"], [event_id]][-8:]

    def say(self, alert_id: str, condition: str, transition: str, patient: str, at: float, cause: str) -> None:
        event_id = f"{alert_id}/{len(self.alerts)}"
        moment = datetime.fromtimestamp(at, UTC).isoformat()
        number = 1 + sum(alert["alert_id"] == alert_id for alert in self.alerts)
        alert = {"alert_id": alert_id, "event_id": event_id, "condition": condition, "transition": transition}
        self.alerts.append(alert | {"number": number, "patient_id": patient, "observed_at": moment, "caused_by": cause})

    def verdict(self) -> dict[str, Any]:
        checker = Checker(LANES)
        for entry in self.ledger:
            checker.told(entry)
        for record in self.inputs:
            checker.expected.add(record)
        for score in self.scores:
            checker.scored(Record("scores.v1", 0, 0, b"", json.dumps(score).encode(), {}))
        for alert in self.alerts:
            checker.alerted(Record("alerts.v1", 0, 0, b"", json.dumps(alert).encode(), {}))
        for topic, lane, offset in self.dead:
            said = {"topic": topic.encode(), "partition": b"%d" % lane, "offset": b"%d" % offset}
            checker.buried(Record(f"{topic}.dead", lane, 0, None, b"?", said))
        checker.ticked(Record("ticks.v1", 0, 0, None, json.dumps({"event_id": TICK}).encode(), {}))
        for patient, row in self.state.items():
            key = patient.encode()
            checker.changed(Record("log", 0, 0, b"p\0" + key, json.dumps(row).encode(), {}))
            for part, line in enumerate(self.bins[patient]):
                checker.changed(Record("log", 0, 0, b"c\0" + key + b"\0bin/1.%d" % part, line.encode(), {}))
        return checker.verdict()


@pytest.fixture(scope="module")
def right() -> World:
    """Minutes of everything, a bad record, a stray, a resend, a late event, and an hour in which S falls silent."""
    world, traffic = World(), Traffic(3, 20)
    at = START

    def happen(topic: str, event: dict[str, Any]) -> None:
        world.put(topic, event)
        world.apply(topic, event)
        high = event.get("supersedes") if topic == "vitals.v1" else None
        if event["patient_id"][0] == "C" and event.get("heart_rate_bpm", 0) > 100:
            world.say(f"high/{event['event_id']}", "news2", "raised", event["patient_id"], at, event["event_id"])
        if high:
            world.say(f"high/{high}", "news2", "retracted", event["patient_id"], at, event["event_id"])

    for patient in traffic.ids:
        happen(*traffic.complete(patient, at))
    for _ in range(400):
        at += 0.5
        made = traffic.event(at)
        assert made is not None
        happen(*made)
    topic, stray = traffic.of("vitals.v1", "P00001", at + 1)
    world.put(topic, stray, lane=1 - lane_of("P00001"), stray=True)
    world.append(topic, lane_of("P00001"), json.dumps(stray).encode(), forwarded_from=b"1")
    world.apply(topic, stray)
    world.put("labs.v1", b'{"event_id": 7}', bad=True)
    world.dead.append(world.inputs[-1][:3])
    again = world.inputs[-5]
    world.append(again.topic, again.partition, again.value or b"")
    _, late = traffic.of("vitals.v1", "P00002", at + 2)
    happen(*traffic.complete("P00002", at + 3))
    world.put("vitals.v1", late)  # changes nothing but the bins
    world.bins["P00002"].append(json.dumps([0, 0, late["event_id"], True, {}]))
    silent_since = max(
        seconds(json.loads(r.value)["received_at"]) for r in world.inputs if b'"S00000"' in (r.value or b"")
    )
    for minute in range(0, 60, 4):
        for patient in traffic.ids:
            if patient[0] != "S":
                happen(*traffic.of("vitals.v1", patient, at + 60 * minute + 10))
    world.say("stale", "stale", "raised", "S00000", silent_since + 17 * 60, TICK)
    world.scores.append({"event_id": "scores/tick", "caused_by": TICK})
    world.say("stale", "stale", "resolved", "S00000", at + 3600, "whatever")
    return world


def test_the_right_world(right: World) -> None:
    verdict = right.verdict()
    assert verdict["wrong"] == 0, verdict
    assert verdict["sent"] == verdict["acknowledged"] > 400
    assert verdict["applied"] == verdict["sent"] - 1  # the late one
    assert (verdict["stale"], verdict["strays"], verdict["dead_letters"]) == (1, 1, 1)
    assert verdict["retracted"] > 2


def event_of(world: World, topic: str) -> int:
    return next(index for index, record in enumerate(world.inputs) if record.topic == topic)


def lose_a_record(world: World) -> None:
    del world.inputs[event_of(world, "admissions.v1")]


def lose_a_score(world: World) -> None:
    del world.scores[100]


def change_a_record(world: World) -> None:
    index = event_of(world, "labs.v1")
    record = world.inputs[index]
    world.inputs[index] = record._replace(value=(record.value or b"") + b" ")


def forget_a_set(world: World) -> None:
    del world.bins["P00003"][2]


def drop_the_last_transition(world: World, transition: str) -> None:
    index = max(i for i, alert in enumerate(world.alerts) if alert["transition"] == transition)
    del world.alerts[index]


def retract_without_a_correction(world: World) -> None:
    world.say("x", "news2", "raised", "P00001", START, "whatever")
    world.say("x", "news2", "retracted", "P00001", START, world.inputs[0].topic)


DOCTORED: dict[str, Callable[[World], object]] = {
    "lost": lose_a_score,
    "doubled": lambda world: world.scores.append({"event_id": "another", "caused_by": world.scores[50]["caused_by"]}),
    "outputs_twice": lambda world: world.scores.append(world.scores[-1]),
    "unexplained": lambda world: world.scores.append({"event_id": "another", "caused_by": "nobody"}),
    "lost_by_broker": lose_a_record,
    "altered": change_a_record,
    "never_published": lambda world: world.ledger.pop(200),
    "strays_lost": lambda world: world.inputs.remove(next(r for r in world.inputs if r.headers)),
    "strays_doubled": lambda world: world.inputs.append(next(r for r in world.inputs if r.headers)),
    "dead_letters_missing": lambda world: world.dead.clear(),
    "dead_letters_extra": lambda world: world.dead.append(("labs.v1", 0, 99)),
    "bad_lost_by_broker": lambda world: world.ledger.append(next(e for e in world.ledger if "bad" in e)),
    "raised_twice": lambda world: world.alerts.insert(0, world.alerts[0] | {"event_id": "another"}),
    "steps_missing": lambda world: world.alerts[-1].update(number=7),
    "ended_twice": lambda world: world.say("stale", "stale", "expired", "S00000", START, TICK),
    "retracted_wrongly": retract_without_a_correction,
    "retracted_never": lambda world: drop_the_last_transition(world, "retracted"),
    "stale_wrongly": lambda world: world.say("y", "stale", "raised", "P00001", START + 700, TICK),
    "stale_never": lambda world: [world.alerts.pop(), world.alerts.pop()],
}


@pytest.mark.parametrize("wrong", DOCTORED)
def test_what_is_wrong_is_found(right: World, wrong: str) -> None:
    world = copy.deepcopy(right)
    DOCTORED[wrong](world)
    verdict = world.verdict()
    assert verdict[wrong] == 1, verdict
    assert verdict["wrong"] >= 1
    assert verdict["examples"][wrong]


@pytest.mark.parametrize(
    "doctor",
    [
        forget_a_set,
        lambda world: world.bins["P00003"].append(world.bins["P00003"][0]),
        lambda world: world.state["P00003"]["signals"].pop("hr"),
        lambda world: world.state["P00003"]["signals"]["hr"].__setitem__(0, 77.5),
        lambda world: world.state["P00003"]["signals"]["hr"].__setitem__(1, START - 1),
        lambda world: world.state["D00000"]["deaths"].append(["another"]),
        lambda world: world.state["P00003"].update(stay={"age_years": 7.0}),
        lambda world: world.state.pop("P00003"),
    ],
)
def test_a_wrong_state_is_found(right: World, doctor: Callable[[World], object]) -> None:
    world = copy.deepcopy(right)
    doctor(world)
    verdict = world.verdict()
    assert (verdict["wrong_state"], verdict["wrong"]) == (1, 1), verdict


def test_a_score_for_an_event_that_came_too_late_is_found(right: World) -> None:
    world = copy.deepcopy(right)
    verdict = world.verdict()
    scored = {score["caused_by"] for score in world.scores}
    (late,) = [entry["id"] for entry in world.ledger if entry["id"] not in scored and "bad" not in entry]
    world.scores.append({"event_id": "late", "caused_by": late})
    assert (verdict["doubled"], world.verdict()["doubled"]) == (0, 1)


def test_how_long_lanes_stood_still() -> None:
    acked = {"a": 1.0, "b": 2.0, "c": 9.0, "d": 30.0}
    outputs = [(1.1, 0, "a"), (8.0, 0, "b"), (9.2, 0, "c"), (9.3, 0, "tick"), (30.1, 0, "d"), (3.0, 1, "elsewhere")]
    found = {(round(one.begin, 2), round(one.end, 2)): round(one.seconds, 2) for one in stalls(acked, outputs, [])}
    # b waited from 2 to 8; c came a second after b, but waited 0.2 s; nothing waited between 9.3 and 30.
    assert found == {(2.0, 8.0): 6.0, (9.0, 9.2): 0.2, (30.0, 30.1): 0.1}
    faults = [Fault(1.5, 8.5, None), Fault(8.5, 40.0, None)]
    assert [outcome.stall_s for outcome in outcomes(acked, outputs, faults)] == [6.0, 0.2]
    assert [outcome.recovered_s for outcome in outcomes(acked, outputs, faults)] == [6.5, 0.0]
    assert longest(acked, outputs, [Fault(1.5, 40.0, (1.5, 5.0))]) == 3.0


def test_those_who_judge_know_nothing_of_ours() -> None:
    for name in ("checker", "expected", "reading", "stalls", "tail", "load", "traffic"):
        tree = ast.parse((HERE / f"{name}.py").read_text())
        imported = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        imported += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
        ours = [module for module in imported if module.startswith("wardstream") or module == "tests.workers"]
        assert not ours, name
