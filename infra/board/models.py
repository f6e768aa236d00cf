"""Which models answer, how good they were, and what people did about them."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any, Final

from wardstream.agents.metrics import LEARNED, RISK_MEASURES
from wardstream.infra.board.flows import labels_of
from wardstream.infra.board.state import Ward
from wardstream.infra.failure import Failure
from wardstream.infra.model_store import Store
from wardstream.infra.triton.models import models_in
from wardstream.infra.view.pipeline import Value
from wardstream.schemas.audit import AuditRecord
from wardstream.schemas.model_controls import ModelControl
from wardstream.schemas.notices import Notice
from wardstream.schemas.risk_models import RiskModel

RISK: Final = "risk"
MOST_LOGGED: Final = 200
MOST_SNAPSHOTS: Final = 256
_NAMES: Final = {"slope": "calibration_slope"}


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
        return self._one(name, "deep", told, {})

    def _risk(self, values: list[Value]) -> dict[str, Any]:
        control = self._ward.controls.get(RISK)
        serving = None if control is None else control.serving
        told: dict[str, dict[str, Any]] = {}
        for one in () if control is None else reversed(control.approved):
            state = "champion" if one == serving else "refused" if one.withdrawn else "retired"
            told.setdefault(one.version, {"version": one.version, "state": state, "since": one.at})
        for version, at in reversed(list(self._snapshots.values())):
            told.setdefault(version, {"version": version, "state": "challenger", "since": at})
        measures: dict[str, float | None] = {}
        kind = "logistic" if serving is None else serving.kind
        for value in values:
            labels = labels_of(value.labels)
            if value.name == RISK_MEASURES.name and (labels.get("model"), labels.get("over")) == (kind, "lately"):
                name = labels.get("measure", "")
                measures[_NAMES.get(name, name)] = value.now
            elif value.name == LEARNED.name:
                measures["examples"] = value.now
        return self._one(RISK, "online", list(told.values()), measures)

    def _one(
        self, name: str, kind: str, versions: list[dict[str, Any]], measures: dict[str, float | None]
    ) -> dict[str, Any]:
        control = self._ward.controls.get(name)
        return {
            "name": name,
            "kind": kind,
            "versions": versions,
            "silent_in": _silent(control),
            "frozen": control is not None and control.frozen,
            "metrics": measures,
            "calibration": [],
            "drift": [
                {"at": one.at, "what": f"{one.transition}: {one.reason}"}
                for one in reversed(self._drift)
                if one.feed == name
            ],
        }


def _silent(control: ModelControl | None) -> str | list[str]:
    if control is None:
        return []
    return "all" if control.silent else list(control.silent_units)
