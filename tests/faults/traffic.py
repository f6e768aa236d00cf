"""What patients' publishers send: events of four topics, each of which must lead to exactly one record on scores.v1.

Imports nothing of wardstream. Patients come in four kinds, by the first letter of their id:

P  measured at random, well or unwell
S  the same, but not measured during an outage: only of them may data go stale
C  well, but now and then a reading is high, and their next event corrects it: the alert it raised is to be retracted
D  said to have died, which is then cancelled, again and again: an outcome whenever it is due

A result is a new white cell count, a movement a new age (which decides whether scores apply): both change what scores
look at, so that both show on scores.v1. Times grow by a microsecond at least, so that the order is never in doubt.
"""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

TOPICS = ("vitals.v1", "labs.v1", "admissions.v1", "outcomes.v1")
TICKS = "ticks.v1"
_SHARES = (0.85, 0.05, 0.05, 0.05)
_TICK_NAMES = uuid.UUID("9d4ac7f3-60de-4a35-9f2c-6a5b0d1c2e77")

Made = tuple[str, dict[str, Any]]  # topic, event


@dataclass
class Traffic:
    """The events of so many patients, from one seed."""

    seed: int
    patients: int
    last: float = 0.0  # newest time that was given out
    ages: dict[str, int] = field(default_factory=dict)
    deaths: dict[str, str | None] = field(default_factory=dict)  # id of the death that holds
    readings: dict[str, dict[str, Any]] = field(default_factory=dict)  # high readings that are to be corrected

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)
        kinds = [("D", 0.2), ("S", 0.05), ("C", 0.05)]
        counts = {kind: max(1, int(self.patients * share)) for kind, share in kinds}
        counts["P"] = self.patients - sum(counts.values())
        self.ids = [f"{kind}{number:05d}" for kind, count in counts.items() for number in range(count)]
        self.mortal = [patient for patient in self.ids if patient[0] == "D"]

    def event(self, at: float, paused: frozenset[str] = frozenset(), *, silent: bool = False) -> Made | None:
        """The next event, at a time in seconds since 1970; None if it would be of a paused topic."""
        topic = self.rng.choices(TOPICS, _SHARES)[0]
        patient = self.rng.choice(self.mortal if topic == "outcomes.v1" else self.ids)
        if topic in paused or (silent and patient[0] == "S"):
            return None
        return self.of(topic, patient, at)

    def of(self, topic: str, patient: str, at: float) -> Made:
        """An event of one topic for one patient."""
        event = self._envelope(patient, at)
        match topic:
            case "vitals.v1":
                self._measure(event)
            case "labs.v1":
                event |= {"loinc": "6690-2", "value": round(self.rng.uniform(3, 20), 1), "unit": "10*3/uL"}
            case "admissions.v1":
                self.ages[patient] = self.ages.get(patient, 0) + 1
                event |= {"kind": "update", "bed": f"{self.rng.randint(1, 30)}"}
                event["age_years"] = float(20 + self.ages[patient] % 60)
            case _:
                self._die(event)
        return topic, event

    def complete(self, patient: str, at: float) -> Made:
        """The first event of a patient: well, and all of NEWS2's signals."""
        return "vitals.v1", self._envelope(patient, at) | self._signals(sick=False, complete=True)

    def _envelope(self, patient: str, at: float) -> dict[str, Any]:
        self.last = max(at, self.last + 2e-6)
        now = datetime.fromtimestamp(self.last, UTC).isoformat()
        return {
            "event_id": str(uuid.UUID(int=self.rng.getrandbits(128), version=4)),
            "source": "load",
            "patient_id": patient,
            "observed_at": now,
            "received_at": now,
        }

    def _measure(self, event: dict[str, Any]) -> None:
        patient = event["patient_id"]
        high = self.readings.pop(patient, None)
        if high is not None:
            event |= self._signals(sick=False, complete=True)
            event |= {"observed_at": high["observed_at"], "supersedes": high["event_id"], "status": "corrected"}
        elif patient[0] == "C":
            sick = self.rng.random() < 0.3
            event |= self._signals(sick=sick, complete=True)
            if sick:
                self.readings[patient] = event
        else:
            event |= self._signals(sick=self.rng.random() < 0.1, complete=self.rng.random() < 0.5)

    def _signals(self, *, sick: bool, complete: bool) -> dict[str, Any]:
        rng = self.rng
        signals: dict[str, Any] = {
            "provenance": "device",
            "heart_rate_bpm": float(rng.randint(115, 150) if sick else rng.randint(55, 88)),
            "respiratory_rate_per_min": float(rng.randint(25, 34) if sick else rng.randint(12, 20)),
            "spo2_percent": float(rng.randint(86, 91) if sick else rng.randint(96, 100)),
        }
        if complete:
            signals |= {
                "systolic_mmhg": float(rng.randint(112, 140)),
                "temperature_celsius": round(rng.uniform(36.2, 37.9), 1),
                "consciousness": "A",
                "supplemental_oxygen": False,
            }
        return signals

    def _die(self, event: dict[str, Any]) -> None:
        patient = event["patient_id"]
        event["kind"] = "death"
        if (death := self.deaths.get(patient)) is not None:
            event |= {"supersedes": death, "status": "cancelled"}
        self.deaths[patient] = event["event_id"] if death is None else None


def tick(at: float, lane: int) -> dict[str, Any]:
    """The tick of a minute (seconds since 1970) for one partition; the same again has the same id."""
    now = datetime.fromtimestamp(at, UTC).isoformat()
    tick_id = str(uuid.uuid5(_TICK_NAMES, f"{int(at)}/{lane}"))
    return {"event_id": tick_id, "source": "simulator", "observed_at": now, "received_at": now}
