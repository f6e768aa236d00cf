"""What a log of inputs must lead to: a model of the stream that shares no code with it. Imports nothing of wardstream.

It knows only what the traffic of `tests.faults.traffic` needs, and is told the inputs of each topic in the order
of the log. For every event: how many records of scores.v1 it must cause (one; none for a resend, and for one that came
after a newer one and so changes nothing). For every patient: the state it all adds up to.
"""

from __future__ import annotations

import json
import zlib
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from aiokafka.partitioner import murmur2

from tests.faults.reading import Record

CODES = {
    "heart_rate_bpm": "hr",
    "respiratory_rate_per_min": "rr",
    "spo2_percent": "spo2",
    "systolic_mmhg": "sbp",
    "temperature_celsius": "temp",
    "consciousness": "acvpu",
    "supplemental_oxygen": "o2",
}
MINUTE_S = 60.0
# How long a device's value counts, and the grace before it is overdue: as models/signals.py and latest.py document it.
WINDOWS_S = {"hr": 15, "rr": 15, "spo2": 15, "sbp": 60, "temp": 60, "acvpu": 720, "o2": 720}
OVERDUE_S = {code: minutes * MINUTE_S * 13 / 12 for code, minutes in WINDOWS_S.items()}
SHORTEST_S = min(OVERDUE_S.values())
SILENT_S = SHORTEST_S + 2 * MINUTE_S
KEPT_DEATHS = 8
INPUTS = ("vitals.v1", "labs.v1", "admissions.v1", "outcomes.v1")


def seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).timestamp()


@dataclass
class Patient:
    """What the log says of one patient."""

    latest: dict[str, tuple[float, float, Any]] = field(default_factory=dict)  # code: observed, received, value
    sets: set[str] = field(default_factory=set)  # ids of what must be in the hourly bins
    awaited: set[str] = field(default_factory=set)  # revised before they came
    moved_at: float = 0.0
    age: float | None = None
    deaths: list[tuple[str, str | None, bool]] = field(default_factory=list)  # id, what it revises, died
    heard: list[tuple[float, float, tuple[str, ...]]] = field(default_factory=list)  # vitals: received, observed, codes
    newest: float = 0.0  # of them
    last_set: str | None = None

    @property
    def gone(self) -> bool:
        named = {revised for _, revised, _ in self.deaths}
        return any(died for event_id, _, died in self.deaths if event_id not in named)


class Expected:
    """Takes the log in; what it adds up to can then be read off."""

    def __init__(self, lanes: int) -> None:
        self.lanes = lanes
        self.crcs: dict[str, int] = {}  # of every event in the log, by id
        self.topics: dict[str, str] = {}
        self.scores: dict[str, int] = {}  # by id of the event: how many records of scores.v1
        self.patients: dict[str, Patient] = defaultdict(Patient)
        self.bad: Counter[tuple[str, int, int]] = Counter()  # topic, partition, offset
        self.strays: Counter[str] = Counter()
        self.forwarded: Counter[str] = Counter()
        self.corrections: dict[str, str] = {}  # of the set just before: id of the correction, by that of the set
        self.gaps: list[tuple[str, float, float]] = []  # patient, from, to: not measured for longer than a value counts
        self._codes: dict[tuple[str, ...], tuple[str, ...]] = {}  # each once in memory
        self.now = 0.0  # the newest time in the log

    def add(self, record: Record) -> None:
        """The next record of its partition."""
        try:
            event = json.loads(record.value or b"")
            event_id, patient, received = event["event_id"], event["patient_id"], seconds(event["received_at"])
        except (ValueError, KeyError, TypeError):
            self.bad[record[:3]] += 1
            return
        self.crcs[event_id] = zlib.crc32(record.value or b"")
        self.topics[event_id] = record.topic
        self.now = max(self.now, received)
        if (murmur2(patient.encode()) & 0x7FFFFFFF) % self.lanes != record.partition:
            self.strays[event_id] += 1
            return
        if "forwarded-from" in record.headers:
            self.forwarded[event_id] += 1
        if event_id in self.scores:  # a resend
            return
        observed = seconds(event["observed_at"])
        known = self.patients[patient]
        match record.topic:
            case "vitals.v1":
                values = {code: event[name] for name, code in CODES.items() if name in event}
                counts = self._measure(known, event_id, observed, received, values, event.get("supersedes"))
                if known.newest and received - known.newest > SILENT_S:
                    self.gaps.append((patient, known.newest, received))
                known.newest = max(known.newest, received)
                codes = tuple(values)
                known.heard.append((received, observed, self._codes.setdefault(codes, codes)))
            case "labs.v1":
                counts = self._measure(known, event_id, observed, received, {"wbc": event["value"]}, None)
            case "admissions.v1":
                counts = observed > known.moved_at
                if counts:
                    known.moved_at, known.age = observed, event["age_years"]
            case _:
                before = known.gone
                died = event.get("status") != "cancelled"
                known.deaths = [*known.deaths, (event_id, event.get("supersedes"), died)][-KEPT_DEATHS:]
                counts = known.gone != before
        self.scores[event_id] = int(counts)

    def _measure(
        self,
        known: Patient,
        event_id: str,
        observed: float,
        received: float,
        values: dict[str, Any],
        supersedes: str | None,
    ) -> bool:
        """Whether a set changes what scores look at."""
        if event_id in known.awaited:
            return False
        revises = supersedes is not None and supersedes in known.sets
        if supersedes is not None:
            if supersedes == known.last_set:
                self.corrections[supersedes] = event_id
            known.sets.discard(supersedes)
            if not revises:
                known.awaited.add(supersedes)
        known.sets.add(event_id)
        if "hr" in values:
            known.last_set = event_id
        newer = False
        for code, value in values.items():
            if code not in known.latest or (observed, received) > known.latest[code][:2]:
                known.latest[code] = (observed, received, value)
                newer = True
        return newer or revises

    def overdue(self, patient: str, at: float) -> bool:
        """Whether any kind of measurement that the patient ever had was overdue at a time, by what had come then."""
        newest: dict[str, float] = {}
        for received, observed, codes in self.patients[patient].heard:
            if received <= at:
                newest |= {code: max(observed, newest.get(code, 0.0)) for code in codes}
        return any(at - when >= OVERDUE_S[code] for code, when in newest.items())

    def silences(self) -> list[tuple[str, float, float]]:
        """Patients who live and were not measured for so long that a tick must have found it, to the log's end too."""
        ends = [
            (patient, known.newest, self.now)
            for patient, known in self.patients.items()
            if known.newest and self.now - known.newest > SILENT_S
        ]
        return [gap for gap in (*self.gaps, *ends) if gap[0][0] != "D"]  # the dead are not awaited
