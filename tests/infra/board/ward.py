"""A board whose wall clock stands where the tests' events are."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

from tests.alerts import alert
from tests.events import START, at, event_id
from wardstream.infra.api.ring import Row
from wardstream.infra.board.board import Board
from wardstream.infra.board.shelf import Audience
from wardstream.schemas.alerts import Alert
from wardstream.schemas.decode import check, encode
from wardstream.schemas.model_controls import ModelControl
from wardstream.schemas.occupancy import Occupancy
from wardstream.schemas.predictions import Contribution, Prediction

EVERYBODY = Audience(None, operator=False)
OPERATORS = Audience(None, operator=True)


class Wall:
    """A clock that is set."""

    def __init__(self) -> None:
        self.at = START.timestamp()

    def __call__(self) -> float:
        return self.at

    def go(self, minutes: float) -> None:
        self.at = (START + timedelta(minutes=minutes)).timestamp()


def board() -> tuple[Board, Wall]:
    """A board that has read all there is: nothing."""
    wall = Wall()
    made = Board(wall)
    made.begin()
    return made, wall


def row(patient: str = "P1", unit: str = "4B", minutes: float = 0, **fields: Any) -> Occupancy:
    """Somebody is in a bed."""
    stated: dict[str, Any] = {"state": "present", "bed": "1", "since": at(minutes), "age_years": 70.0} | fields
    made = Occupancy(
        event_id=event_id(f"{patient} {unit} {minutes} {sorted(fields)}"),
        source="test",
        patient_id=patient,
        observed_at=at(minutes),
        received_at=at(minutes),
        unit=unit,
        **stated,
    )
    check(made)
    return made


def prediction(minutes: float, probability: float | None = 0.2, patient: str = "P1", **fields: Any) -> Prediction:
    """An answer of the sepsis model; None: it abstains."""
    abstains: dict[str, Any] = {"quality": "abstained", "reason": "too little"} if probability is None else {}
    stated = {"model": "sepsis", "version": "1", "target": "sepsis_onset", "horizon_h": 6.0} | abstains | fields
    made = Prediction(
        event_id=event_id(f"{patient} {minutes} {sorted(fields)}"),
        source="test",
        patient_id=patient,
        observed_at=at(minutes),
        received_at=at(minutes),
        caused_by=event_id("cause"),
        probability=probability,
        calibrated_probability=probability,
        contributions=(Contribution(feature="respiratory_rate_per_min", value=28.0, contribution=0.7, age_s=720.0),),
        **stated,
    )
    check(made)
    return made


def silenced(*units: str, model: str = "sepsis") -> ModelControl:
    """A model is silent in some units."""
    return ModelControl(name=model, at=START, who="op", why="test", silent_units=units)


def transition(name: str, number: int = 1, silent: bool = False, **fields: Any) -> Row:
    """A transition of an alert, as the hub has it."""
    stated: dict[str, Any] = {"patient_id": "P1", "observed_at": at(number), "received_at": at(number)} | fields
    made: Alert = alert(name, number, raised_at=at(0), **stated)
    return Row(made, encode(made), 0, number, (number + 1,), silent)


def tiles(of: Board, to: Audience = EVERYBODY) -> dict[str, dict[str, Any]]:
    """The tiles that somebody sees, by patient."""
    return {one["patient_id"]: one for one in map(json.loads, of.tiles.whole(to))}


def alert_ids(of: Board, to: Audience = EVERYBODY) -> list[UUID]:
    """The alerts that somebody is told of."""
    return [UUID(json.loads(one)["alert_id"]) for one in of.alerts.whole(to)]
