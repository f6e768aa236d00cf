"""Which models answer, how good they were, and what people did about them."""

from __future__ import annotations

from collections import defaultdict, deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from wardstream.agents.metrics import LEARNED, RISK_CALIBRATION, RISK_COURSE, RISK_MEASURES
from wardstream.infra.board.flows import labels_of
from wardstream.infra.board.state import Ward
from wardstream.infra.failure import Failure
from wardstream.infra.model_store import Store, candidate_hash
from wardstream.infra.triton.models import models_in
from wardstream.infra.view.pipeline import Value
from wardstream.models.risk.target import CHAMPION
from wardstream.models.training.record import RECORD, read
from wardstream.schemas.audit import AuditRecord
from wardstream.schemas.model_controls import ModelControl
from wardstream.schemas.notices import Notice
from wardstream.schemas.risk_models import RiskModel

RISK: Final = "risk"
MOST_LOGGED: Final = 200
MOST_SNAPSHOTS: Final = 256
_NAMES: Final = {"slope": "calibration_slope"}
_TOLD: Final = frozenset(("auroc", "auprc", "brier", "ece", "slope"))
_BIN: Final = frozenset(("predictions", "expected", "positives"))


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    """A group of predictions in a model's record."""

    rows: int
    said: float
    happened: float


class _Compared(msgspec.Struct, frozen=True, kw_only=True):
    reliability: list[_Row] = []


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """What is needed of the record of any model."""

    chosen: str
    compared: dict[str, _Compared]


@dataclass
class _Measured:
    """How good a model is, and on whom that was measured; `course`: each 500 predictions, the oldest first."""

    metrics: dict[str, float | None] = field(default_factory=dict)
    on: str | None = None
    calibration: list[tuple[float, float, int]] = field(default_factory=list)  # said, happened, how many
    calibrated_on: str | None = None
    course: list[dict[str, float]] = field(default_factory=list)


class Models:
    """What is known of models.

    Parameters
    ----------
    repository : Path
        Of the deep models, as this process has it.
    """

    def __init__(self, ward: Ward, repository: Path) -> None:
        self._ward, self._repository = ward, repository
        self._snapshots: dict[str, tuple[str, Any]] = {}  # version and time, by name
        self._records: dict[tuple[str, int | None], _Measured] = {}
        self._drift = deque[Notice](maxlen=MOST_LOGGED)
        self._log = deque[AuditRecord](maxlen=MOST_LOGGED)

    def snapshot(self, row: RiskModel) -> None:
        """Take a snapshot of the risk model in, but for its payload."""
        self._snapshots.pop(row.name, None)
        self._snapshots[row.name] = row.version, row.at
        if len(self._snapshots) > MOST_SNAPSHOTS:
            del self._snapshots[next(iter(self._snapshots))]

    def notice(self, notice: Notice) -> None:
        """Take a notice in."""
        if notice.condition == "drift":
            self._drift.append(notice)

    def deed(self, record: AuditRecord) -> None:
        """Take a record of the audit in."""
        if record.what.startswith("model_"):
            self._log.append(record)

    def answer(self, values: list[Value], operator: bool) -> dict[str, Any]:
        """The answer of `GET /v1/board/models`; who is no operator is told the versions only."""
        found = [self._deep(name, versions) for name, versions in models_in(self._repository).items()]
        risk = self._risk(values)
        if risk["versions"]:
            found.append(risk)
        if not operator:
            return {"models": [{name: one[name] for name in ("name", "kind", "versions")} for one in found], "log": []}
        log = [
            {"at": one.at, "who": one.who, "what": one.what, "model": one.model, "why": one.why}
            for one in reversed(self._log)
        ]
        return {"models": found, "log": log}

    def _deep(self, name: str, versions: list[int]) -> dict[str, Any]:
        try:
            serving = Store(self._repository, name).serving()
        except (Failure, OSError):
            serving = None
        told = [
            {"version": str(one), "state": "serving" if one == serving else "retired", "since": None}
            for one in reversed(versions)
        ]
        measured = self._records.get((name, serving))
        if measured is None:
            measured = _Measured() if serving is None else _of_record(self._repository / name, serving)
            if measured.calibration:
                self._records[name, serving] = measured  # a version's folder is never changed
        return self._one(name, "deep", told, measured)

    def _risk(self, values: list[Value]) -> dict[str, Any]:
        control = self._ward.controls.get(RISK)
        serving = None if control is None else control.serving
        told: dict[str, dict[str, Any]] = {}
        for one in () if control is None else reversed(control.approved):
            state = "champion" if one == serving else "refused" if one.withdrawn else "retired"
            told.setdefault(one.version, {"version": one.version, "state": state, "since": one.at})
        for version, at in reversed(list(self._snapshots.values())):
            told.setdefault(version, {"version": version, "state": "challenger", "since": at})
        return self._one(
            RISK, "online", list(told.values()), _lately(values, CHAMPION if serving is None else serving.kind)
        )

    def _one(self, name: str, kind: str, versions: list[dict[str, Any]], measured: _Measured) -> dict[str, Any]:
        control = self._ward.controls.get(name)
        return {
            "name": name,
            "kind": kind,
            "versions": versions,
            "silent_in": _silent(control),
            "frozen": control is not None and control.frozen,
            "metrics": measured.metrics,
            "measured_on": measured.on,
            "calibration": measured.calibration,
            "calibrated_on": measured.calibrated_on,
            "course": measured.course,
            "drift": [
                {"at": one.at, "what": f"{one.transition}: {one.reason}"}
                for one in reversed(self._drift)
                if one.feed == name
            ],
        }


def _lately(values: list[Value], kind: str) -> _Measured:
    """What the learner says of one of its models: measures, calibration, and how both went."""
    found, bins, course = (
        _Measured(),
        defaultdict[float, dict[str, float]](dict),
        defaultdict[int, dict[str, float]](dict),
    )
    for value in values:
        labels = labels_of(value.labels)
        if value.name == LEARNED.name:
            found.metrics["examples"] = value.now
        if labels.get("model") != kind:
            continue
        if value.name == RISK_MEASURES.name and labels.get("over") == "lately":
            name = labels.get("measure", "")
            found.metrics[_NAMES.get(name, name)] = value.now
        elif value.name == RISK_CALIBRATION.name:
            bins[float(labels["up_to"])][labels["count"]] = value.now
        elif value.name == RISK_COURSE.name:
            course[int(labels["block"])][labels["measure"]] = value.now
    found.calibration += [
        (one["expected"] / one["predictions"], one["positives"] / one["predictions"], int(one["predictions"]))
        for _, one in sorted(bins.items())
        if one.keys() >= _BIN and one["predictions"] > 0
    ]
    found.course += [one for _, one in sorted(course.items(), reverse=True)]
    if found.calibration:
        found.on = found.calibrated_on = f"the last {sum(n for _, _, n in found.calibration):,} predictions here"
    return found


def _of_record(folder: Path, version: int) -> _Measured:
    """What a version's record says, and the look at the locked patients that let it serve: of its answers here nobody
    knows yet what came."""
    found = _Measured()
    try:
        record = read(folder / str(version) / RECORD, _Record)
        looks = Store(folder.parent, folder.name).looks()
    except (Failure, OSError, ValueError):
        return found
    reliability = record.compared.get(record.chosen, _Compared()).reliability
    found.calibration += [(one.said, one.happened, one.rows) for one in reliability if one.rows > 0]
    if found.calibration:
        found.calibrated_on = "its record: those of the training data that it had not learnt from; not measured here"
    for look in looks:
        if look.outcome == "accepted" and look.candidate == candidate_hash(folder / str(version)):
            told = {**_numbers(look.measured.get("candidate")), **_numbers(look.measured.get("calibration"))}
            found.metrics = {_NAMES.get(name, name): one for name, one in told.items() if name in _TOLD}
            found.on = "its gate: the locked part of the training data; not measured here"
    return found


def _numbers(told: Any) -> dict[str, float | None]:
    return {name: one for name, one in told.items() if isinstance(one, int | float)} if isinstance(told, dict) else {}


def _silent(control: ModelControl | None) -> str | list[str]:
    if control is None:
        return []
    return "all" if control.silent else list(control.silent_units)
