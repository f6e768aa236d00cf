"""The independent checker: reads the topics `read_committed` and holds them against what publishers were told.

It imports nothing of wardstream and shares no code with it: it knows the topics, the JSON of the events and outputs,
and the documented rows of the changelog. A program; the verdict is printed as one JSON object, and the exit code is 1
when anything is wrong:

    python -m tests.faults.checker '{"bootstrap": "…", "app_id": "…", "lanes": 4, "ledger": "ledger.ndjson"}'

`ledger` is what `tests.faults.load` writes. Further: `snapshots` (files: what deleted topics held), `tail` (what
`tests.faults.tail` writes) and `faults` (struck, until, away) for how long lanes stood still.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.faults.expected import INPUTS, SHORTEST_S, Expected, seconds
from tests.faults.reading import Record, kept, records
from tests.faults.stalls import Fault, longest, outcomes

ENDS = ("resolved", "retracted", "expired", "closed")
EXAMPLES = 3
TICKS = "ticks.v1"


class Checker:
    """Takes in what was said and what is there, in any order of topics; then `verdict`."""

    def __init__(self, lanes: int) -> None:
        self.expected = Expected(lanes)
        self.published: dict[str, dict[str, Any]] = {}  # first line of the ledger for an event
        self.acked: dict[str, float] = {}
        self.bad_acked = 0
        self.ticks: set[str] = set()
        self.ticks_acked: set[str] = set()
        self.causes: Counter[str] = Counter()
        self.outputs: Counter[str] = Counter()
        self.dead: Counter[tuple[str, int, int]] = Counter()
        self.alerts: list[dict[str, Any]] = []
        self.rows: dict[bytes, bytes] = {}

    def told(self, entry: dict[str, Any]) -> None:
        """A line of the ledger."""
        if entry.get("bad"):
            self.bad_acked += entry["acked"] is not None
        elif entry["topic"] == TICKS:
            if entry["acked"] is not None:
                self.ticks_acked.add(entry["id"])
        elif entry["topic"] in INPUTS:
            self.published.setdefault(entry["id"], entry)
            if entry["acked"] is not None and entry["id"] not in self.acked:
                self.acked[entry["id"]] = entry["acked"]

    def scored(self, record: Record) -> None:
        score = json.loads(record.value or b"")
        self.causes[score["caused_by"]] += 1
        self.outputs[score["event_id"]] += 1

    def alerted(self, record: Record) -> None:
        alert = json.loads(record.value or b"")
        self.outputs[alert["event_id"]] += 1
        names = ("alert_id", "number", "condition", "transition", "patient_id", "observed_at")
        self.alerts.append({name: alert[name] for name in names} | {"cause": alert["caused_by"]})

    def buried(self, record: Record) -> None:
        said = {name: text.decode() for name, text in record.headers.items()}
        self.dead[said["topic"], int(said["partition"]), int(said["offset"])] += 1

    def ticked(self, record: Record) -> None:
        self.ticks.add(json.loads(record.value or b"")["event_id"])

    def changed(self, record: Record) -> None:
        """A row of the changelog."""
        assert record.key is not None
        if record.value is None:
            self.rows.pop(record.key, None)
        else:
            self.rows[record.key] = record.value

    def verdict(self) -> dict[str, Any]:
        """What is wrong, as counts (all zero when nothing is) with a few examples; and what there was."""
        expected = self.expected
        due = {event_id for event_id, times in expected.scores.items() if times}
        known = expected.crcs.keys()
        found: dict[str, list[Any]] = {
            "lost_by_broker": [*(i for i in self.acked if i not in known), *(self.ticks_acked - self.ticks)],
            "altered": [i for i, entry in self.published.items() if i in known and entry["crc"] != expected.crcs[i]],
            "never_published": [i for i in known if i not in self.published],
            "lost": [i for i in due if not self.causes[i]],
            "doubled": [i for i, times in expected.scores.items() if self.causes[i] > times],
            "unexplained": [i for i in self.causes if i not in expected.scores and i not in self.ticks],
            "outputs_twice": [i for i, times in self.outputs.items() if times > 1],
            "strays_lost": [i for i, times in expected.strays.items() if expected.forwarded[i] < times],
            "strays_doubled": [i for i, times in expected.forwarded.items() if expected.strays[i] < times],
            "dead_letters_missing": [*(expected.bad - self.dead).elements()],
            "dead_letters_extra": [*(self.dead - expected.bad).elements()],
            "bad_lost_by_broker": [None] * max(0, self.bad_acked - expected.bad.total()),
            "wrong_state": [patient for patient in expected.patients if not self._right(patient)],
            **self._wrong_alerts(),
        }
        counts = {name: len(ones) for name, ones in found.items()}
        return {
            "sent": len(self.published),
            "acknowledged": len(self.acked),
            "applied": sum(1 for i in due if self.causes[i]),
            "emitted": self.outputs.total(),
            "patients": len(expected.patients),
            "dead_letters": self.dead.total(),
            "strays": expected.strays.total(),
            "stale": sum(
                1 for alert in self.alerts if (alert["condition"], alert["transition"]) == ("stale", "raised")
            ),
            "retracted": sum(1 for alert in self.alerts if alert["transition"] == "retracted"),
            "wrong": sum(counts.values()),
            **counts,
            "examples": {name: [str(one) for one in ones[:EXAMPLES]] for name, ones in found.items() if ones},
        }

    def _right(self, patient: str) -> bool:
        """Whether the rows of a patient say what the log adds up to."""
        expected, key = self.expected.patients[patient], patient.encode()
        row = json.loads(self.rows.get(b"p\0" + key, b"{}"))
        signals = {code: (at, value) for code, (value, at, *_) in row.get("signals", {}).items()}
        wanted = {code: (at, value) for code, (at, _, value) in expected.latest.items()}
        deaths = [death[0] for death in row.get("deaths", [])]
        prefix = b"c\0" + key + b"\0bin/"
        sets: list[str] = []
        for bins in self._children.get(key, ()):
            sets += [json.loads(line)[2] for line in self.rows[prefix + bins].splitlines()]
        return (
            signals.keys() == wanted.keys()
            and all(
                abs(signals[code][0] - at) < 1e-5 and signals[code][1] == value for code, (at, value) in wanted.items()
            )
            and deaths == [event_id for event_id, _, _ in expected.deaths]
            and row.get("stay", {}).get("age_years") == expected.age
            and len(sets) == len(expected.sets)
            and set(sets) == expected.sets
        )

    @property
    def _children(self) -> dict[bytes, list[bytes]]:
        """Names of the rows of hourly bins, by patient."""
        if not hasattr(self, "_bins"):
            self._bins: dict[bytes, list[bytes]] = defaultdict(list)
            for kind, patient, *name in (key.split(b"\0") for key in self.rows):
                if kind == b"c" and name[0].startswith(b"bin/"):
                    self._bins[patient].append(name[0][4:])
        return self._bins

    def _wrong_alerts(self) -> dict[str, list[Any]]:
        lives: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for alert in self.alerts:
            lives[alert["alert_id"]].append(alert)
        corrected = self.expected.corrections
        corrections = set(corrected.values())
        retracted = {a["cause"] for a in self.alerts if (a["condition"], a["transition"]) == ("news2", "retracted")}
        raised = [a for a in self.alerts if a["transition"] == "raised"]
        steps = {alert_id: [a["transition"] for a in life] for alert_id, life in lives.items()}
        stale: dict[str, list[tuple[float, float]]] = defaultdict(list)  # from, to, by patient
        for life in lives.values():
            if life[0]["condition"] == "stale":
                end = seconds(life[-1]["observed_at"]) if life[-1]["transition"] in ENDS else float("inf")
                stale[life[0]["patient_id"]].append((seconds(life[0]["observed_at"]), end))
        return {
            "raised_twice": [i for i, life in steps.items() if life.count("raised") != 1],
            "steps_missing": [
                i for i, life in lives.items() if [a["number"] for a in life] != list(range(1, len(life) + 1))
            ],
            "ended_twice": [i for i, life in steps.items() if any(step in ENDS for step in life[:-1])],
            "retracted_wrongly": [
                a["alert_id"] for a in self.alerts if a["transition"] == "retracted" and a["cause"] not in corrections
            ],
            "retracted_never": [
                a["alert_id"]
                for a in raised
                if a["condition"] == "news2" and a["cause"] in corrected and corrected[a["cause"]] not in retracted
            ],
            "stale_wrongly": [
                (a["patient_id"], a["observed_at"], a["cause"])
                for a in raised
                if a["condition"] == "stale" and not self.expected.overdue(a["patient_id"], seconds(a["observed_at"]))
            ],
            "stale_never": [
                gap
                for gap in self.expected.silences()
                if not any(begin <= gap[2] and end >= gap[1] + SHORTEST_S for begin, end in stale[gap[0]])
            ],
        }


def stood_still(acked: dict[str, float], tail: Iterable[str], faults: list[dict[str, Any]]) -> dict[str, Any]:
    """How long, for each fault and at all."""
    outputs = [(float(at), int(lane), cause) for at, lane, cause in (line.split() for line in tail)]
    struck = [Fault(fault["struck"], fault["until"], fault["away"] and tuple(fault["away"])) for fault in faults]
    return {
        "longest_stall_s": longest(acked, outputs, struck),
        "faults": [outcome._asdict() for outcome in outcomes(acked, outputs, struck)],
    }


def check(case: dict[str, Any]) -> dict[str, Any]:
    """Read all there is, and judge it."""
    checker = Checker(int(case["lanes"]))
    with Path(case["ledger"]).open(encoding="utf-8") as ledger:
        for line in ledger:
            checker.told(json.loads(line))
    for file in case.get("snapshots", ()):
        for record in kept(Path(file)):
            checker.expected.add(record)
    asyncio.run(read(checker, case["bootstrap"], f"{case['app_id']}-lanes-{case['lanes']}"))
    verdict = checker.verdict()
    if "tail" in case:
        with Path(case["tail"]).open(encoding="ascii") as tail:
            verdict |= stood_still(checker.acked, tail, case.get("faults", []))
    return verdict


async def read(checker: Checker, bootstrap: str, changelog: str) -> None:
    """Let the checker have every record."""
    handled = {f"{topic}.dead": checker.buried for topic in INPUTS} | dict.fromkeys(INPUTS, checker.expected.add)
    handled |= {"scores.v1": checker.scored, "alerts.v1": checker.alerted, TICKS: checker.ticked}
    handled[changelog] = checker.changed
    for topic, take in handled.items():
        async for record in records(bootstrap, topic):
            take(record)


if __name__ == "__main__":
    result = check(json.loads(sys.argv[1]))
    print(json.dumps(result))
    sys.exit(1 if result["wrong"] else 0)
