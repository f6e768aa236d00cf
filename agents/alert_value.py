"""What alerts cost and what they are worth, counted on metrics.v1 with the batch in which it happens or falls due.

What is yet to be counted of a patient's alerts is one row of the patient's own (`models.alerts.value`): it is read when
a transition is published and when a verdict is due (`models.alerts.verdicts`), which ticks bring about. An event
without alerts costs nothing.

An alert a patient-day and a unit-shift are quotients of two counters of the same lanes, so that a worker that starts
anew takes from both. A shift is eight hours of the stream's clock: whenever a hospital's own begin, the mean is the
same. A lane knows only its own patients, so hours in which a unit had none count as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from wardstream.agents import metrics as m
from wardstream.agents.occupancy import log_of
from wardstream.agents.patients import PatientBatch, Rules, keep_reports, reports_of
from wardstream.models.alerts import verdicts
from wardstream.models.alerts.life import Change
from wardstream.models.alerts.value import Ledger, Watched
from wardstream.models.patient import Patient
from wardstream.models.risk.labels import report_of
from wardstream.models.signals import HOUR
from wardstream.schemas.outcomes import Outcome

ROW: Final = "value"
LONGEST_H: Final = 48.0  # that the clock goes on at once: of what it jumped over nothing is known

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Ledger).decode


def follow(batch: PatientBatch, key: str, patient: Patient, changes: Sequence[Change], rules: Rules) -> None:
    """Count what transitions make true of their alerts."""
    if not changes:
        return
    ledger, stay = _read(batch, key), patient.stay
    in_stay = stay.phase == "present" and stay.admitted_at is not None
    for change in changes:
        news = ledger.follow(change, rules.judging.horizon_s, in_stay)
        if news is None:
            continue
        labels = _labels(news.alert)
        for what in news.what:
            batch.count(m.ALERT_EPISODES, (*labels, what))
            if what == "in_stay" and not news.alert.silent:
                batch.count(m.UNIT_ALERTS, (rules.units(stay.unit),))
        if news.after_s is not None:
            batch.observe(m.ALERT_ANSWERED, news.after_s, labels[:2])
    _keep(batch, key, patient, ledger, rules)


def report(batch: PatientBatch, event: Outcome, rules: Rules) -> None:
    """Keep an outcome, and have it judged when its grace is over. Of strangers only labels need it."""
    key, one, target = event.patient_id, report_of(event), rules.judging
    if key not in batch.state and rules.risk is None:
        return
    patient, received = batch.state[key], event.received_at.timestamp()
    patient.hear(event.observed_at, event.received_at)
    before = reports_of(batch, key)
    keep_reports(batch, key, [one])
    if verdicts.overtakes(before, reports_of(batch, key), received, target):
        batch.count(m.VERDICTS_OVERTAKEN, (event.status,))
    if one.occurred and one.kind in target.kinds:
        _expect(batch, key, patient, one.at, rules)


def expect_death(batch: PatientBatch, key: str, patient: Patient, rules: Rules) -> None:
    """A discharge that says that the patient died is an outcome where no other event says so."""
    stay = patient.stay
    if stay.disposition == "died" and stay.left_at is not None and "death" in rules.judging.kinds:
        _expect(batch, key, patient, stay.left_at, rules)


def judge(batch: PatientBatch, key: str, patient: Patient, now: float, rules: Rules) -> None:
    """Count the verdicts that are due (now: s since 1970)."""
    if patient.judged is None or patient.judged[0] > now:
        return
    ledger = _read(batch, key)
    found = verdicts.judge(ledger, now, reports_of(batch, key), log_of(batch, key), rules.judging)
    for alert, verdict in found.alerts:
        batch.count(m.ALERT_VERDICTS, (*_labels(alert), verdict))
    for came in found.outcomes:
        batch.count(m.OUTCOMES_JUDGED, (came.kind,))
        for (condition, priority, silent), lead_s in came.lead_s.items():
            labels = condition, priority, _said(silent)
            batch.count(m.OUTCOMES_CAUGHT, (*labels, came.kind))
            batch.observe(m.ALERT_LEAD, lead_s, labels)
    _keep(batch, key, patient, ledger, rules)


def present(batch: PatientBatch, patient: Patient, ended: float, rules: Rules) -> None:
    """Count the hours of the stay up to one that has ended (s since 1970). Of a stay that began before it was heard of
    only the last one was here."""
    admitted, counted = patient.stay.admitted_at, patient.predicted
    goes_on = admitted is not None and counted >= admitted
    batch.count(m.PATIENT_HOURS, (rules.units(patient.stay.unit),), round((ended - counted) / HOUR) if goes_on else 1)


def pass_time(batch: PatientBatch, hours: float) -> None:
    """Count hours of the clock: each lane its share."""
    if hours <= LONGEST_H:
        batch.count(m.CLOCK_HOURS, (), hours / batch.outputs.lanes)


def join(batch: PatientBatch, key: str, patient: Patient, theirs: bytes, rules: Rules) -> None:
    """Take in what is yet to be counted of another id of the same patient."""
    ledger = _read(batch, key)
    ledger.join(_decode(theirs))
    _keep(batch, key, patient, ledger, rules)


def _expect(batch: PatientBatch, key: str, patient: Patient, at: float, rules: Rules) -> None:
    if at + rules.judging.grace_h * HOUR > max(patient.heard, patient.scored):
        ledger = _read(batch, key)
        ledger.expect(at)
        _keep(batch, key, patient, ledger, rules)


def _read(batch: PatientBatch, key: str) -> Ledger:
    row = batch.state.child(key, ROW)
    return Ledger() if row is None else _decode(row)


def _keep(batch: PatientBatch, key: str, patient: Patient, ledger: Ledger, rules: Rules) -> None:
    if ledger != Ledger() or batch.state.child(key, ROW) is not None:
        batch.state.put_child(key, ROW, _encode(ledger))
    patient.judged = ledger.due(rules.judging.grace_h * HOUR)


def _labels(alert: Watched) -> tuple[str, str, str]:
    return alert.condition, alert.priority, _said(alert.silent)


def _said(silent: bool) -> str:
    return "yes" if silent else "no"
