"""From what has been computed about a patient to the transitions of alerts: judged by the policy, and published.

What is judged says `models.alerts.conditions`, what follows from it `models.alerts.life`. Silent alerts go to a topic
of their own. All transitions of an alert are in the partition of the patient who raised it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wardstream.agents import alert_value
from wardstream.agents import metrics as m
from wardstream.agents.patients import PatientBatch, Rules, envelope
from wardstream.agents.streams.batch import Received
from wardstream.agents.transitions import moment, told
from wardstream.models.alerts import answers, conditions, life
from wardstream.models.alerts.conditions import Recount, corrects
from wardstream.models.alerts.life import Change, Now, Verdict
from wardstream.models.alerts.policy import Rule
from wardstream.models.alerts.states import due, pinned
from wardstream.models.latest import Signals
from wardstream.models.patient import Patient
from wardstream.models.signals import BY_CODE
from wardstream.schemas.acknowledgements import Acknowledgement
from wardstream.schemas.alerts import Alert, Answer, Evidence, Place, Seen
from wardstream.schemas.directives import Directive
from wardstream.schemas.findings import Finding
from wardstream.schemas.predictions import Prediction
from wardstream.schemas.scores import Reading, Result, Score
from wardstream.schemas.silent_alerts import SilentAlert

_TOLD = "alerts.v1", Alert, m.ALERTS
_SILENT = "silent-alerts.v1", SilentAlert, m.SILENT_ALERTS
LEFT = "the patient has left"
DIED = "the patient has died"
COMFORT = "comfort care has been ordered"


class Judged:
    """One patient, judged at one time (s since 1970) because of one event; each step publishes what follows."""

    def __init__(
        self, batch: PatientBatch, key: str, patient: Patient, cause: Received[Any], at: float, rules: Rules
    ) -> None:
        self._batch = batch
        self._patient = patient
        self._cause = cause
        self._rules = rules
        self._policy = rules.policy()
        self._unit = patient.stay.unit
        self._now = Now(at, key, cause.event.event_id, patient.comfort_until(at))
        if patient.gone and (patient.alerts or patient.pending):
            died = patient.died_at is not None or patient.stay.disposition == "died"
            self.close(DIED if died else LEFT)

    def scores(self, scores: Sequence[Score], current: Signals, recount: Recount | None) -> None:
        """What scores say; `recount` is that of NEWS2, the first of them, where something has been corrected."""
        if self._patient.gone:
            return
        for rule in self._policy.rules("score", self._unit):
            score = next((score for score in scores if score.name == rule.of), None)
            if score is None:  # not computed this time
                continue

            def shows(score: Score = score) -> Evidence:
                return self._evidence(current, score=score)

            again = recount if score is scores[0] else None
            own = self._own(rule)
            self._judge(conditions.of_score(self._patient, own, score, self._rules.never_carried, shows, again), own)

    def results(self, results: Sequence[Result]) -> None:
        """What news of laboratory results says."""
        if not results or self._patient.gone:
            return
        for rule in self._policy.rules("lab", self._unit):
            for result in results:

                def shows(result: Result = result) -> Evidence:
                    return self._evidence(None, result=result)

                self._judge(conditions.of_result(self._patient, rule, result, self._cause.event, shows), rule)

    def staleness(self, current: Signals) -> None:
        """What the age of the signals says."""
        patient = self._patient
        if patient.gone:
            return
        for rule in self._policy.rules("staleness", self._unit):
            if patient.stay.phase == "preadmitted":  # nobody measures at home
                patient.pending.pop(rule.name, None)
                if rule.name in patient.alerts:
                    self.publish([life.end(patient, rule.name, "closed", "the patient is not there")])
                continue

            def shows() -> Evidence:
                return self._evidence(patient.signals)

            at = self._now.at
            self._judge(conditions.of_staleness(patient, rule, patient.signals, current, at, shows), rule)

    def prediction(self, prediction: Prediction, words: str, threshold: float | None) -> None:
        """What a model's answer says; `threshold` is that from which its version alerts."""
        if self._patient.gone:
            return
        silent = self._rules.is_silent(prediction.model, self._unit)
        for rule in self._policy.rules("prediction", self._unit):
            if rule.of != prediction.model:
                continue
            own = self._own(rule)
            if prediction.quality != "ok" or prediction.calibrated_probability is None:
                self._miss(own)
                continue
            if own.lowest(threshold) is None:
                self._patient.pending.pop(rule.name, None)
                if rule.name in self._patient.alerts:
                    why = "the model raises no alerts any more"
                    self.publish([life.end(self._patient, rule.name, "closed", why)])
                continue
            verdict = conditions.of_probability(
                self._patient,
                own,
                words,
                prediction.calibrated_probability,
                lambda: self._evidence(self._patient.signals, prediction=prediction),
                corrected=corrects(self._cause.event),
                model_threshold=threshold,
                silent=silent,
            )
            self._judge(verdict, own)

    def finding(self, finding: Finding) -> None:
        """What was seen in a film says; a film of before the newest one that was judged says nothing."""
        if self._patient.gone:
            return
        taken_back = finding.status == "cancelled"
        if finding.quality != "ok" and not taken_back:
            return
        probability = 0.0 if taken_back else finding.calibrated_probability
        if probability is None:
            return
        silent = self._rules.is_silent(finding.model, self._unit)
        for rule in self._policy.rules("finding", self._unit):
            if rule.of != finding.finding or self._is_older(rule, finding):
                continue
            verdict = conditions.of_probability(
                self._patient,
                rule,
                f"{finding.finding.replace('_', ' ')} in the film",
                probability,
                lambda: self._evidence(None, finding=finding),
                corrected=corrects(finding),
                silent=silent,
            )
            self._judge(verdict, rule)

    def time(self) -> None:
        """What time alone brings."""
        if due(self._patient) <= self._now.at:
            self.publish(life.pass_time(self._patient, self._rule_of, self._now))

    def answer(self, given: Acknowledgement) -> answers.Outcome:
        """What a person says; returns what became of it."""
        outcome, changes = answers.answer(self._patient, given, self._rule_of, self._now)
        self.publish(changes)
        return outcome

    def orders(self) -> None:
        """What a clinician's order of comfort care means for what is open, and its end for what waits."""
        until = self._now.suppressed_until
        if until is not None:
            order = self._cause.event
            by = order.ordered_by if isinstance(order, Directive) else None
            self.publish(life.suppress(self._patient, until, COMFORT, by))
        else:
            life.release(self._patient, self._now.at)

    def move(self) -> None:
        """Where the patient is now may be another place than that of which alerts were told."""
        if not self._patient.gone:
            self.publish(life.move(self._patient, self._patient.stay.unit, self._patient.stay.bed))

    def close(self, why: str) -> None:
        """Nobody is to be told of this patient any more."""
        self.publish(life.close(self._patient, why))

    def publish(self, changes: Sequence[Change]) -> None:
        """Write transitions, with what they were decided from."""
        for change in changes:
            self._publish(change)
        alert_value.follow(self._batch, self._now.key, self._patient, changes, self._rules)

    def _rule_of(self, condition: str) -> Rule | None:
        return self._policy.rule(condition, self._unit)

    def _judge(self, verdict: Verdict | None, rule: Rule) -> None:
        if verdict is not None:
            self.publish(life.judge(self._patient, verdict, rule, self._now))

    def _miss(self, rule: Rule) -> None:
        """The model gives no answer of its own: an open alert is stale, and goes on."""
        if rule.name in self._patient.alerts:
            alert = self._patient.alerts[rule.name]
            verdict = Verdict(
                rule.name,
                "prediction",
                None,
                False,
                "the model gives no answer now",
                lambda: self._evidence(None),
                stale=True,
                silent=alert.silent,
            )
            self._judge(verdict, rule)

    def _is_older(self, rule: Rule, finding: Finding) -> bool:
        """Whether the open alert stands on a newer film; what revises its own film is not older."""
        alert = self._patient.alerts.get(rule.name)
        seen = None if alert is None else pinned(alert).finding
        if seen is None or finding.supersedes == seen.event_id:
            return False
        return finding.status == "cancelled" or finding.observed_at < seen.observed_at

    def _own(self, rule: Rule) -> Rule:
        """The rule, with the patient's own thresholds where a clinician's order holds."""
        return rule.for_patient(self._patient.thresholds(rule.name, self._now.at)) if self._patient.orders else rule

    def _evidence(
        self,
        signals: Signals | None,
        score: Score | None = None,
        result: Result | None = None,
        prediction: Prediction | None = None,
        finding: Finding | None = None,
    ) -> Evidence:
        event = self._cause.event
        return Evidence(
            caused_by=event.event_id,
            cause=self._place(),
            at=moment(self._now.at),
            score=score,
            result=result,
            finding=None if finding is None else _seen(finding),
            prediction=None if prediction is None else _answer(prediction),
            values={
                BY_CODE[code].field: Reading(value=latest.value, observed_at=moment(latest.at))
                for code, latest in (signals or {}).items()
            },
        )

    def _place(self) -> Place | None:
        topic = self._cause.topic or self._batch.topic
        return Place(topic=topic, partition=self._batch.outputs.lane, offset=self._cause.offset) if topic else None

    def _publish(self, change: Change) -> None:
        alert, patient = change.alert, self._patient
        topic, kind, metric = _SILENT if alert.silent else _TOLD
        transition = kind(
            **told(change, self._rule_of(change.condition), self._cause.event.event_id, self._policy.digest),
            evidence=change.evidence or pinned(alert),
            code_status=patient.stay.code_status,
            unit=patient.stay.unit,
            bed=patient.stay.bed,
            left=alert.unit if change.transition == "moved" and alert.unit != patient.stay.unit else None,
            **envelope(self._now.key, patient, self._cause.event, self._now.at),
        )
        self._batch.count(metric, (change.condition.split(".", 1)[0], change.transition))
        lane = None if alert.raised_by is None else self._batch.lane_of(alert.raised_by)
        self._batch.emit(topic, str(alert.alert_id), transition, self._cause, lane)
        held = patient.alerts.get(change.condition)
        if held is not None and held.alert_id == alert.alert_id:
            held.unit, held.bed = patient.stay.unit, patient.stay.bed


def _answer(prediction: Prediction) -> Answer:
    assert prediction.calibrated_probability is not None, "an abstention decides nothing"
    return Answer(
        event_id=prediction.event_id,
        model=prediction.model,
        version=prediction.version,
        calibrated_probability=prediction.calibrated_probability,
        horizon_h=prediction.horizon_h,
        contributions=prediction.contributions,
    )


def _seen(finding: Finding) -> Seen:
    return Seen(
        event_id=finding.event_id,
        model=finding.model,
        finding=finding.finding,
        calibrated_probability=finding.calibrated_probability or 0.0,
        observed_at=finding.observed_at,
    )
