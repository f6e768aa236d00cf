"""What operators' decisions make of how things stand; and what a worker makes of them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec.structs import replace

from tests.models.risk.rows import examples
from wardstream.agents.metrics import SNAPSHOTS_REFUSED, Meters
from wardstream.infra.approvals import Approvals, Trust
from wardstream.infra.failure import Failure
from wardstream.infra.model_controls import (
    KEPT,
    Tables,
    approve,
    freeze,
    roll_back,
    silence,
    standing,
    tables_of,
    unsilence,
)
from wardstream.models.risk.champion import Settings
from wardstream.models.risk.keys import key_id
from wardstream.models.risk.learner import Learner
from wardstream.models.risk.snapshots import Signed, signed
from wardstream.models.risk.target import CHALLENGER, CHAMPION, Target
from wardstream.schemas.decode import encode
from wardstream.schemas.model_controls import Approval, ModelControl
from wardstream.schemas.risk_models import RiskModel

NOW = datetime(2026, 3, 1, tzinfo=UTC)
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
FOREIGN = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
TRUSTED = {key_id(KEY.public_key()): KEY.public_key()}
TARGET = Target()
TRUST = Trust(TARGET, lambda: TRUSTED)


def snapshot(number: int, key: Ed25519PrivateKey = KEY, target: Target = TARGET) -> RiskModel:
    """Of a learner that has seen so many examples."""
    learner = Learner(target, Settings())
    for one in examples(number):
        learner.learn(one)
    made = signed(learner, {}, key)
    return RiskModel(
        name="learner",
        version=f"1.{number}",
        at=NOW,
        key_id=made.key_id,
        signature=made.signature,
        payload=made.payload,
    )


def approval_of(model: RiskModel, kind: str = CHAMPION, **fields: Any) -> Approval:
    digest = Signed(key_id=model.key_id, signature=model.signature, payload=model.payload).digest
    about: dict[str, Any] = {"snapshot": f"approved.{digest[:16]}", "version": model.version, "digest": digest}
    return Approval(**about | {"kind": kind, "at": NOW, "who": "op"} | fields)


def after(tables: Tables, decision: Any) -> Tables:
    """The tables with a decision written."""
    models = dict(tables.models)
    if decision.snapshot is not None:
        models[decision.snapshot.name] = decision.snapshot
    return Tables({**tables.controls, decision.control.name: decision.control}, models)


def approved(tables: Tables, model: RiskModel, kind: str = CHAMPION, **fields: Any) -> Tables:
    return after(tables, approve(tables, approval_of(model, kind, **fields), model, "model_promoted"))


FIRST, SECOND, THIRD = (snapshot(number) for number in (20, 30, 40))
NOTHING = Tables({}, {})


def test_what_answered_before_can_be_gone_back_to() -> None:
    tables = NOTHING
    for model in (FIRST, SECOND, THIRD):
        tables = approved(tables, model)
    for version in ("1.30", "1.20"):
        tables = after(tables, roll_back(tables, None))
        serving = standing(tables, "risk").serving
        assert serving is not None
        assert serving.version == version
    tables = after(tables, roll_back(tables, None))
    assert standing(tables, "risk").serving is None
    with pytest.raises(Failure, match="nothing answers"):
        roll_back(tables, None)
    decision = roll_back(tables, "1.40")
    assert decision.about == "risk 1.40 logistic"
    assert decision.control.serving == approval_of(THIRD)
    with pytest.raises(Failure, match="never been approved"):
        roll_back(tables, "1.99")


def test_what_was_gone_back_from_does_not_come_back_by_itself() -> None:
    """2 was bad: after 3, too, one step back is to 1, and so for a worker that must refuse 3."""
    tables = approved(approved(NOTHING, FIRST), SECOND)
    tables = after(tables, roll_back(tables, None))
    tables = approved(tables, THIRD)
    desk = Desk()
    desk.write(Tables(tables.controls, {**tables.models, approval_of(THIRD).snapshot: tampered(THIRD)}))
    assert desk.version == "1.20"
    again = after(tables, roll_back(tables, None))
    serving = standing(again, "risk").serving
    assert serving is not None
    assert serving.version == "1.20"
    named = roll_back(again, "1.30").control
    assert named.serving is not None
    assert (named.serving.version, named.serving.withdrawn) == ("1.30", False)


def test_what_is_approved_twice_stands_once_and_the_oldest_are_let_go() -> None:
    tables = approved(approved(approved(NOTHING, FIRST), SECOND), FIRST, alert_from=0.3)
    control = standing(tables, "risk")
    assert [(one.version, one.alert_from) for one in control.approved] == [("1.30", None), ("1.20", 0.3)]
    for number in range(KEPT + 5):
        tables = approved(tables, FIRST, version=f"9.{number}", snapshot=f"approved.{number}")
    assert len(standing(tables, "risk").approved) == KEPT


def test_freezing_and_silence_leave_the_rest_alone() -> None:
    tables = after(approved(NOTHING, FIRST), freeze(NOTHING, True))
    assert standing(tables, "risk").frozen
    tables = approved(after(NOTHING, freeze(NOTHING, True)), FIRST)
    control = standing(tables, "risk")
    assert (control.frozen, control.serving is not None) == (True, True)
    tables = after(tables, silence(tables, "risk", ("4B", "5A")))
    control = standing(tables, "risk")
    assert (control.frozen, control.silent, control.silent_units) == (True, False, ("4B", "5A"))
    assert [control.is_silent(unit) for unit in ("4B", "6C", None)] == [True, False, False]
    tables = after(tables, unsilence(tables, "risk", ("4B",)))
    assert standing(tables, "risk").silent_units == ("5A",)
    tables = after(tables, silence(tables, "risk", ()))
    assert standing(tables, "risk").is_silent(None)
    with pytest.raises(Failure, match="silent everywhere"):
        unsilence(tables, "risk", ("5A",))
    assert unsilence(tables, "risk", ()).control.silent_units == ()
    assert unsilence(tables, "risk", ()).what == "model_unsilenced"
    assert silence(NOTHING, "sepsis", ("4B",)).about == "sepsis in 4B"


def test_rows_that_are_none_are_left_out() -> None:
    control = ModelControl(name="risk", at=NOW, who="op", why="w", frozen=True)
    rows = {b"risk": encode(control), b"sepsis": encode(control), b"x": b"{}"}
    found = tables_of(rows, {b"learner": encode(FIRST), b"approved.1": encode(FIRST), b"y": b"?"})
    assert found == Tables({"risk": control}, {"learner": FIRST})


class Desk:
    """A worker's approvals, over rows that the test writes."""

    def __init__(self, trust: Trust | None = TRUST) -> None:
        self.meters = Meters()
        self.approvals = Approvals({}, "test", self.meters, trust)
        self.tables = NOTHING

    def write(self, tables: Tables) -> None:
        self.tables = tables
        rows = self.approvals._follower.rows
        for topic, found in zip(rows, tables, strict=False):
            rows[topic] = {name.encode(): encode(one) for name, one in found.items()}
        self.approvals.obey()

    @property
    def version(self) -> str | None:
        answers = self.approvals()
        return None if answers is None else answers.version

    def refused(self) -> list[str]:
        """Why, by the metric; each is to be audited as well."""
        found = [labels[0] for (metric, labels), _ in self.meters.values.items() if metric is SNAPSHOTS_REFUSED]
        assert len(self.approvals._to_audit) == self.meters.total(SNAPSHOTS_REFUSED)
        return found


def test_the_approved_one_answers() -> None:
    desk = Desk()
    assert desk.version is None
    desk.write(approved(NOTHING, FIRST, alert_from=0.2))
    answers = desk.approvals()
    assert answers is not None
    assert (answers.version, answers.kind, answers.alert_from) == ("1.20", CHAMPION, 0.2)
    assert answers.learner.examples == 20
    desk.write(approved(desk.tables, SECOND, CHALLENGER))
    answers = desk.approvals()
    assert answers is not None
    assert (answers.version, answers.kind, answers.alert_from) == ("1.30-tree", CHALLENGER, None)
    desk.write(after(desk.tables, roll_back(desk.tables, None)))
    assert desk.version == "1.20"
    desk.write(after(desk.tables, roll_back(desk.tables, None)))
    assert desk.version is None
    assert desk.refused() == []


def tampered(model: RiskModel) -> RiskModel:
    payload = bytearray(model.payload)
    payload[200] ^= 1
    return replace(model, payload=bytes(payload))


@pytest.mark.parametrize(
    ("model", "fields", "reason"),
    [
        (tampered(SECOND), {}, "bad_signature"),
        (snapshot(30, FOREIGN), {}, "foreign_key"),
        (snapshot(30, target=Target(horizon_h=6)), {}, "other_target"),
        (SECOND, {"digest": "0" * 64}, "other_snapshot"),
        (SECOND, {"kind": "oracle"}, "other_model"),
    ],
)
def test_what_must_not_answer_is_refused_once_and_the_last_good_one_goes_on(
    model: RiskModel, fields: dict[str, Any], reason: str
) -> None:
    desk = Desk()
    desk.write(approved(NOTHING, FIRST))
    bad = approved(desk.tables, model, **fields)
    desk.write(bad)
    desk.write(bad)
    assert (desk.version, desk.refused()) == ("1.20", [reason])
    restarted = Desk()
    restarted.write(bad)
    assert (restarted.version, restarted.refused()) == ("1.20", [reason]), "the one approved before"
    restarted.write(approved(bad, THIRD))
    assert restarted.version == "1.40"


def test_a_snapshot_that_is_gone_or_changed_later_does_not_answer_after_a_restart() -> None:
    tables = approved(approved(NOTHING, FIRST), SECOND)
    name = approval_of(SECOND).snapshot
    for models in (
        {key: one for key, one in tables.models.items() if key != name},
        tables.models | {name: replace(tampered(SECOND), name=name)},
        tables.models | {name: replace(THIRD, name=name)},  # whole, but not what was approved
    ):
        desk = Desk()
        desk.write(Tables(tables.controls, models))
        assert desk.version == "1.20"
        assert len(desk.refused()) == 1
        desk.write(tables)
        assert desk.version == "1.30", "and it is taken when it is there"


def test_without_a_target_only_silence_is_followed() -> None:
    desk = Desk(None)
    desk.write(after(approved(NOTHING, FIRST), silence(approved(NOTHING, FIRST), "sepsis", ("4B",))))
    assert desk.version is None
    assert desk.approvals.is_silent("sepsis", "4B")
    assert not desk.approvals.is_silent("risk", "4B")
    assert desk.refused() == []
