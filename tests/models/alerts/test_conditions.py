"""When the default policy begins, worsens and ends alerts: scores and the age of data."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest

from tests.models.measuring import HOUR, MINUTE, T0, apply, event_id, said
from wardstream.models.alerts.conditions import of_score, of_staleness
from wardstream.models.alerts.life import Change, Now, close, judge
from wardstream.models.alerts.policy_file import DEFAULT
from wardstream.models.patient import Death, Patient, PatientCodec
from wardstream.schemas.alerts import Evidence
from wardstream.schemas.scores import Score

NOBODY_CARRIES = frozenset({"consciousness"})


def score(
    value: float | None, three: bool = False, missing: tuple[str, ...] = (), excluded: str | None = None
) -> Score:
    parts = {"heart_rate_bpm": 3.0 if three else 1.0}
    complete = not missing and excluded is None
    return Score(
        name="news2", version="1", value=value, complete=complete, parts=parts, missing=missing, not_applicable=excluded
    )


def shows(score: Score | None = None) -> Callable[[], Evidence]:
    return lambda: Evidence(caused_by=UUID(int=0), score=score)


class Case:
    """One patient, judged again and again a minute apart."""

    def __init__(self, *history: object) -> None:
        self.patient, _, _ = apply(history)  # type: ignore[arg-type]
        self.number = 0
        self.changes: list[Change] = []

    def judge(
        self,
        news2: Score,
        at: float | None = None,
        key: str = "P1",
        recount: Callable[[float], Score | None] | None = None,
    ) -> list[tuple[str, str, str]]:
        """Condition, transition and priority of what changed; the patient passes through its row each time."""
        self.number += 1
        self.patient = PatientCodec().decode(PatientCodec().encode(self.patient))
        now = T0 + self.number * MINUTE if at is None else at
        at, patient, cause = now, self.patient, event_id(self.number)
        rules = [DEFAULT.rule(name, None) for name in ("news2", "stale")]
        verdicts = (
            lambda rule: of_score(patient, rule, news2, NOBODY_CARRIES, shows(news2), recount),
            lambda rule: of_staleness(patient, rule, patient.signals, patient.current(at), at, shows()),
        )
        self.changes = []
        for rule, verdict_of in zip(rules, verdicts, strict=True):
            assert rule is not None
            verdict = verdict_of(rule)
            if verdict is not None:
                self.changes += judge(patient, verdict, rule, Now(at, key, cause))
        return [(change.condition, change.transition, change.alert.priority) for change in self.changes]

    @property
    def alert_id(self) -> UUID:
        return self.changes[-1].alert.alert_id


RAISED, HIGH = [("news2", "raised", "medium")], [("news2", "raised", "high")]
WORSENED = [("news2", "worsened", "high")]
STALE = [("news2", "went_stale", "medium")]
RESOLVED = [("news2", "resolved", "medium")]


@pytest.mark.parametrize(
    ("scores", "transitions"),
    [
        pytest.param([score(4)], [[]], id="four is no alert"),
        pytest.param([score(5)], [RAISED], id="five is"),
        pytest.param([score(3, three=True)], [RAISED], id="a single three is"),
        pytest.param([score(7)], [HIGH], id="seven is high at once"),
        pytest.param([score(5), score(6), score(5)], [RAISED, [], []], id="one alert for one condition"),
        pytest.param([score(5), score(7), score(9)], [RAISED, WORSENED, []], id="worsened once"),
        pytest.param([score(7), score(5)], [HIGH, []], id="better, but not well"),
        pytest.param([score(5), score(4), score(5), score(4)], [RAISED, [], [], []], id="no flutter at the threshold"),
        pytest.param([score(5), score(3)], [RAISED, RESOLVED], id="resolved at three"),
        pytest.param([score(5), score(3, three=True)], [RAISED, []], id="not with a single three"),
        pytest.param([score(5), score(3), score(5)], [RAISED, RESOLVED, RAISED], id="and again"),
        pytest.param([score(5, missing=("spo2_percent",))], [RAISED], id="a partial score raises"),
        pytest.param([score(5), score(8, missing=("spo2_percent",))], [RAISED, WORSENED], id="and worsens"),
        pytest.param([score(5), score(0, missing=("spo2_percent",))], [RAISED, STALE], id="but resolves nothing"),
        pytest.param([score(5), score(0, missing=("age_years",))], [RAISED, STALE], id="nor does an unknown age"),
        pytest.param([score(5), score(2, missing=("pregnant",))], [RAISED, RESOLVED], id="pregnancy gives no points"),
        pytest.param(
            [score(5), score(2, missing=("consciousness", "spo2_percent"))], [RAISED, STALE], id="all that is missing"
        ),
        pytest.param(
            [score(6, missing=("spo2_percent",)), score(2, missing=("spo2_percent",))],
            [RAISED, []],
            id="what was missing from the beginning makes nothing stale",
        ),
        pytest.param([score(None, excluded="under 16 years")], [[]], id="not for this patient"),
    ],
)
def test_news2(scores: list[Score], transitions: list[list[tuple[str, str, str]]]) -> None:
    case = Case()
    assert [case.judge(one) for one in scores] == transitions


def test_an_alert_is_retracted_when_news2_turns_out_not_to_apply() -> None:
    case = Case()
    case.judge(score(8))
    assert case.judge(score(None, excluded="pregnant")) == [("news2", "retracted", "high")]
    assert "pregnant" in case.changes[0].reason
    assert case.patient.alerts == {}


def test_a_correction_retracts_what_would_not_have_come() -> None:
    case = Case()
    case.judge(score(5))
    asked: list[float] = []
    assert case.judge(score(4), recount=lambda at: (asked.append(at), score(4))[1]) == [
        ("news2", "retracted", "medium")
    ]  # type: ignore[func-returns-value]
    assert asked == [T0 + MINUTE], "as of when it was raised"


def test_a_correction_of_something_else_retracts_nothing() -> None:
    case = Case()
    case.judge(score(5))
    assert case.judge(score(4), recount=lambda at: score(5)) == []
    assert case.judge(score(2), recount=lambda at: score(5)) == RESOLVED


def test_a_correction_that_still_calls_for_the_alert_changes_nothing() -> None:
    case = Case()
    case.judge(score(7))
    assert case.judge(score(8), recount=lambda at: score(0)) == []


def test_where_no_recount_is_possible_the_alert_stays() -> None:
    case = Case()
    case.judge(score(5))
    assert case.judge(score(4), recount=lambda at: None) == []


def test_what_made_it_worse_is_corrected() -> None:
    """The high alert was wrong from the step that made it so; what is left calls for a medium one."""
    case = Case()
    case.judge(score(5))
    case.judge(score(8))
    first = case.alert_id
    steps: list[float] = []
    changed = case.judge(score(5), recount=lambda at: (steps.append(at), score(5))[1])  # type: ignore[func-returns-value]
    assert changed == [("news2", "retracted", "high"), *RAISED]
    assert steps == [T0 + 2 * MINUTE]
    assert case.alert_id != first


def test_ids_follow_from_the_cause_the_condition_and_the_patient() -> None:
    def raised(key: str) -> UUID:
        case = Case()
        case.judge(score(5), key=key)
        return case.alert_id

    assert raised("P1") == raised("P1")
    assert raised("P1") != raised("P2"), "one tick may raise an alert for each of many patients"
    case = Case()
    case.judge(score(5))
    first = case.alert_id
    case.judge(score(7))
    assert case.alert_id == first
    case.judge(score(0))
    assert case.alert_id == first
    case.judge(score(5))
    assert case.alert_id != first


def test_each_transition_has_a_number_of_its_own() -> None:
    case, numbers = Case(), []
    for one in (score(5), score(7), score(1)):
        case.judge(one)
        numbers.append(case.changes[0].alert.number)
    assert numbers == [1, 2, 3]


WELL = score(0)


@pytest.mark.parametrize(
    ("signal", "device", "minutes"),
    [("hr", True, 16.25), ("sbp", True, 65), ("hr", False, 13 * 60), ("gcse", False, 13 * 60), ("fio2", True, 13 * 60)],
)
def test_stale_when_the_next_is_overdue(signal: str, device: bool, minutes: float) -> None:
    case = Case(said("x", 0, device=device, **{signal: 4.0}))
    assert case.judge(WELL, T0 + minutes * MINUTE - 1) == []
    assert case.judge(WELL, T0 + minutes * MINUTE) == [("stale", "raised", "low")]
    assert case.judge(WELL, T0 + minutes * MINUTE + HOUR) == [], "one alert"
    assert case.patient.alerts["stale"].signals


def test_stale_names_what_is_missing() -> None:
    case = Case(said("x", 0, device=True, hr=70.0, spo2=97.0), said("y", 0, gcs=15.0, o2flow=2.0))
    case.judge(WELL, T0 + HOUR)
    assert case.changes[0].reason == "no current spo2_percent, heart_rate_bpm"
    case = Case(said("y", 0, gcs=15.0, o2flow=2.0))
    case.judge(WELL, T0 + 14 * HOUR)
    assert case.changes[0].reason == "no current consciousness, supplemental_oxygen"


def test_stale_ends_when_nothing_is_overdue() -> None:
    case = Case(said("x", 0, device=True, hr=70.0, rr=14.0))
    assert case.judge(WELL, T0 + HOUR) == [("stale", "raised", "low")]
    case.patient.signals |= apply([said("y", 60, device=True, hr=70.0)])[0].signals
    assert case.judge(WELL, T0 + HOUR) == [], "the other is still missing"
    case.patient.signals |= apply([said("z", 61, device=True, rr=14.0)])[0].signals
    assert case.judge(WELL, T0 + HOUR + MINUTE) == [("stale", "resolved", "low")]


def test_stale_is_retracted_when_what_it_waited_for_is_cancelled() -> None:
    case = Case(said("x", 0, device=True, hr=70.0))
    case.judge(WELL, T0 + HOUR)
    case.patient.signals = {}
    assert case.judge(WELL, T0 + HOUR) == [("stale", "retracted", "low")]


def test_what_was_never_measured_is_not_stale() -> None:
    case = Case(said("x", 0, hr=70.0, wbc=9.0, kg=80.0))
    assert case.judge(WELL, T0 + 10 * HOUR) == []


def test_stale_leaves_the_other_alert_alone() -> None:
    case = Case(said("x", 0, device=True, hr=140.0))
    case.judge(score(3, three=True))
    told = case.judge(score(0, missing=("heart_rate_bpm",)), T0 + HOUR)
    assert told == [("news2", "went_stale", "medium"), ("stale", "raised", "low")]
    assert case.patient.alerts.keys() == {"news2", "stale"}


def test_a_death_may_be_taken_back_and_given_another_time() -> None:
    patient = Patient()
    first, fixed = Death(event_id(1), None, T0, T0), Death(event_id(2), event_id(1), T0 + 1, T0 - HOUR)
    undone = Death(event_id(3), event_id(1), T0 + 2, None)
    for reports, died_at in (
        ([first], T0),
        ([first, fixed], T0 - HOUR),
        ([fixed, first], T0 - HOUR),
        ([first, fixed, undone], None),
        ([undone, first], None),
        ([first, undone, Death(event_id(4), None, T0 + 3, T0 + HOUR)], T0 + HOUR),
    ):
        patient.deaths = ()
        for report in reports:
            patient.report_death(report)
        assert PatientCodec().decode(PatientCodec().encode(patient)).died_at == died_at


def test_close_ends_everything() -> None:
    case = Case(said("x", 0, device=True, hr=140.0))
    case.judge(score(7), T0 + HOUR)
    changes = close(case.patient, "why")
    assert [(change.condition, change.transition, change.reason) for change in changes] == [
        ("news2", "closed", "why"),
        ("stale", "closed", "why"),
    ]
    assert case.patient.alerts == {}
