"""Whether a contestant did the job: one output an event, and the right last one for each patient. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from tests.bench.contestants import Job
from tests.bench.jobs.scoring import DictRows, decode, score
from wardstream.models.bins import Bins
from wardstream.models.patient import Patient


def expected_means(events: Iterable[tuple[str, bytes]]) -> dict[str, tuple[int, float]]:
    """Count and mean by patient, recounted."""
    counts: Counter[str] = Counter()
    totals: Counter[str] = Counter()
    for patient, raw in events:
        counts[patient] += 1
        totals[patient] += orjson.loads(raw)["heart_rate_bpm"]
    return {patient: (counts[patient], totals[patient] / counts[patient]) for patient in counts}


def expected_news2(events: Iterable[tuple[str, bytes]]) -> dict[str, float | None]:
    """The last NEWS2 by patient, by a plain loop over the models."""
    ward: dict[str, tuple[Patient, Bins]] = {}
    last: dict[str, bytes] = {}
    for key, raw in events:
        if key not in ward:
            ward[key] = Patient(), Bins(DictRows())
        last[key] = score(*ward[key], decode(raw))
    return {key: _news2(orjson.loads(value)) for key, value in last.items()}


def last_answers(job: Job, outputs: Sequence[tuple[bytes, bytes]]) -> dict[str, Any]:
    """The last answer for each patient: (count, mean), or NEWS2's value."""
    last = {key.decode(): value for key, value in outputs}
    read = _mean if job == "relay" else _news2
    return {patient: read(orjson.loads(value)) for patient, value in last.items()}


def _mean(answer: dict[str, Any]) -> tuple[int, float]:
    return answer["count"], answer["mean"]


def _news2(answer: dict[str, Any]) -> float | None:
    value: float | None = answer["scores"][0]["value"]
    return value


def differences(answers: dict[str, Any], expected: dict[str, Any]) -> int:
    """Patients whose last answer is another than expected, or missing."""
    return sum(not _same(answers.get(patient), value) for patient, value in expected.items())


def _same(mine: Any, other: Any) -> bool:
    if isinstance(other, tuple) and isinstance(mine, tuple):
        return bool(mine[0] == other[0] and abs(mine[1] - other[1]) < 1e-6)
    return bool(mine == other)
