"""A policy as a site writes it: what is read from it, and how each mistake is named."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from hashlib import sha256
from zoneinfo import ZoneInfo

import pytest

from wardstream.models.alerts.operators import OPERATOR_KINDS
from wardstream.models.alerts.policy import Policy, Rule
from wardstream.models.alerts.policy_file import DEFAULT, SCORES, PolicyError, parse_policy
from wardstream.models.scores import ALL
from wardstream.models.scores.kdigo import NAME as KDIGO
from wardstream.models.scores.sofa import NAME as SOFA
from wardstream.schemas.directives import Thresholds

HEAD = """\
format = 1
[tiers]
high = [{ to = ["nurse"] }, { to = ["charge_nurse", "nurse"], after_min = 5 }]
medium = [{ to = ["nurse"] }]
"""
NEWS2 = """\
[conditions.news2]
kind = "score"
of = "news2"
medium = 5
high = 7
end = 3
"""
SEPSIS = """\
[conditions.sepsis]
kind = "prediction"
of = "sepsis"
medium = "model"
high = 0.6
"""
POTASSIUM = """\
[conditions.critical]
kind = "lab"
priority = "medium"
flags = ["critical_low"]
"""


def mistakes(text: str) -> list[str]:
    with pytest.raises(PolicyError) as caught:
        parse_policy(text)
    assert str(caught.value) == "\n".join(caught.value.mistakes)
    return caught.value.mistakes


def rule_of(text: str, condition: str = "news2", unit: str | None = None) -> Rule:
    rule = parse_policy(text).rule(condition, unit)
    assert rule is not None
    return rule


def quiet(rule: Rule, at: datetime) -> datetime | None:
    """When the quiet hours end for what is of medium priority."""
    until = rule.quiet_until(at.timestamp(), "medium")
    return None if until is None else datetime.fromtimestamp(until, UTC)


def test_the_default_policy() -> None:
    assert DEFAULT.digest == sha256(DEFAULT.text.encode()).hexdigest()
    patients = tuple(name for name, rule in DEFAULT.conditions.items() if rule.kind not in OPERATOR_KINDS)
    assert patients == ("news2", "sepsis", "risk", "critical_result", "pneumonia", "stale")
    assert tuple(name for name in DEFAULT.conditions if name not in patients) == (
        "feed_silent",
        "feed_unusable",
        "model_degraded",
        "model_drift",
        "data_stale",
        "beds_short",
    )
    assert [name for name, rule in DEFAULT.conditions.items() if rule.silent] == ["pneumonia"]
    news2 = DEFAULT.rule("news2", "4B")
    assert news2 is not None
    assert [news2.priority_of(value) for value in (4, 5, 6.9, 7, 20)] == [None, "medium", "medium", "high", "high"]
    assert (news2.single, news2.end, news2.lowest()) == ("medium", 3, 5)
    assert (news2.hold_s, news2.silence_s, news2.reassess_s) == (0, 1800, 4 * 3600)
    assert (news2.max_snooze_s, news2.expire_s) == (7200, 48 * 3600)
    assert news2.told("high", 0) == ("nurse",)
    assert news2.told("high", 2) == ("nurse", "charge_nurse", "physician")
    assert [tier.after_s for tier in news2.tiers("high")] == [0, 300, 900]
    assert (news2.repeat_s("high"), news2.repeat_s("medium")) == (1800, None)
    suggestion = news2.suggestion("high")
    assert suggestion is not None
    assert "Royal College of Physicians" in suggestion.source
    assert news2.suggestion("low") is None
    sepsis = DEFAULT.rule("sepsis", None)
    assert sepsis is not None
    assert sepsis.priority_of(0.2, model_threshold=0.1) == "medium"
    assert sepsis.priority_of(0.05, model_threshold=0.1) is None
    assert sepsis.priority_of(0.99) is None, "a model without a threshold raises nothing"
    assert DEFAULT.rule("critical_result.potassium", None) == DEFAULT.rule("critical_result", None)
    assert DEFAULT.rule("unheard_of", None) is None
    assert [rule.name for rule in DEFAULT.rules("prediction", "4B")] == ["sepsis", "risk"]


def test_what_a_condition_leaves_out_is_that_of_times() -> None:
    text = "[times]\nhold_min = 2\nexpire_h = 24\n[conditions.critical]\nhold_min = 0\n"
    policy = parse_policy(HEAD + POTASSIUM + NEWS2 + text.replace("[conditions.critical]\nhold_min = 0\n", ""))
    news2 = policy.rule("news2", None)
    assert news2 is not None
    assert (news2.hold_s, news2.expire_s, news2.silence_s) == (120, 24 * 3600, 1800)
    own = rule_of(HEAD + NEWS2 + "hold_min = 0\nsilence_min = 5\n[times]\nhold_min = 2\n")
    assert (own.hold_s, own.silence_s) == (0, 300)


def test_a_unit_differs_in_what_it_names_and_in_nothing_else() -> None:
    policy = parse_policy(
        HEAD + NEWS2 + '[units."4B".conditions.news2]\nmedium = 6\nsilent = true\nhold_min = 10\n'
        '[units.ICU.conditions.news2]\nhigh = 9\nsuggest.high = "Call."\nsource = "Us"\n'
    )
    everywhere, ward, icu = (policy.rule("news2", unit) for unit in (None, "4B", "ICU"))
    assert everywhere is not None
    assert ward is not None
    assert icu is not None
    assert policy.rule("news2", "5A") == everywhere
    assert (ward.medium, ward.high, ward.end, ward.silent, ward.hold_s) == (6, 7, 3, True, 600)
    assert (icu.medium, icu.high, icu.silent, icu.hold_s) == (5, 9, False, 0)
    assert [rule.medium for rule in policy.rules("score", "4B")] == [6]
    assert policy.conditions["news2"].medium == 5


def test_any_number_of_units_names_no_number_of_rules() -> None:
    policy = parse_policy(HEAD + NEWS2)
    for number in range(20_001):
        assert policy.rule("news2", f"U{number}") is not None
    assert len(policy._rules) <= 10_001


OVER_MIDNIGHT = '[[quiet]]\nfrom = "22:00"\nto = "06:30"\npriorities = ["low", "medium"]\n'
VIENNA = HEAD.replace("format = 1", 'format = 1\ntimezone = "Europe/Vienna"')


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2026-01-10 21:59:59", None),
        ("2026-01-10 22:00", "2026-01-11 06:30"),
        ("2026-01-10 23:59:59.9", "2026-01-11 06:30"),
        ("2026-01-11 00:00", "2026-01-11 06:30"),
        ("2026-01-11 06:29:59.9", "2026-01-11 06:30"),
        ("2026-01-11 06:30", None),
        ("2026-12-31 23:00", "2027-01-01 06:30"),
    ],
)
def test_quiet_hours_over_midnight(at: str, until: str | None) -> None:
    rule = rule_of(HEAD + NEWS2 + OVER_MIDNIGHT)
    expected = None if until is None else datetime.fromisoformat(until).replace(tzinfo=UTC)
    assert quiet(rule, datetime.fromisoformat(at).replace(tzinfo=UTC)) == expected


@pytest.mark.parametrize(
    ("at", "until"),
    [
        ("2026-03-28T21:30Z", "2026-03-29T04:30Z"),  # the night is an hour shorter: 06:30 is 04:30 UTC by then
        ("2026-03-27T21:30Z", "2026-03-28T05:30Z"),
        ("2026-10-24T20:30Z", "2026-10-25T05:30Z"),  # and an hour longer
        ("2026-10-25T00:30Z", "2026-10-25T05:30Z"),  # 02:30 for the first time
        ("2026-10-25T01:30Z", "2026-10-25T05:30Z"),  # and for the second
        ("2026-10-25T05:30Z", None),
        ("2026-07-01T19:59Z", None),
        ("2026-07-01T20:00Z", "2026-07-02T04:30Z"),
    ],
)
def test_quiet_hours_follow_daylight_saving(at: str, until: str | None) -> None:
    rule = rule_of(VIENNA + NEWS2 + OVER_MIDNIGHT)
    assert rule.zone == ZoneInfo("Europe/Vienna")
    assert quiet(rule, datetime.fromisoformat(at)) == (None if until is None else datetime.fromisoformat(until))


def test_quiet_hours_that_end_within_the_hour_that_comes_twice() -> None:
    rule = rule_of(VIENNA + NEWS2 + OVER_MIDNIGHT.replace("06:30", "02:30"))
    for at, until in (("00:15", "00:30"), ("01:15", "01:30")):
        ends = quiet(rule, datetime.fromisoformat(f"2026-10-25T{at}Z"))
        assert ends == datetime.fromisoformat(f"2026-10-25T{until}Z"), "never in the past: what waits would not wait"


def test_quiet_hours_by_day_with_seconds_by_unit_and_priority() -> None:
    policy = parse_policy(
        HEAD + NEWS2 + '[[quiet]]\nfrom = "13:00"\nto = "14:00:30"\npriorities = ["low"]\nunits = ["4B"]\n'
        '[[quiet]]\nfrom = "13:30"\nto = "15:00"\npriorities = ["low", "medium"]\n'
    )
    ward, other = policy.rule("news2", "4B"), policy.rule("news2", None)
    assert ward is not None
    assert other is not None

    def until(rule: Rule, at: str, priority: str) -> str | None:
        ends = rule.quiet_until(datetime.fromisoformat(f"2026-01-10T{at}Z").timestamp(), priority)  # type: ignore[arg-type]
        return None if ends is None else f"{datetime.fromtimestamp(ends, UTC):%H:%M:%S}"

    assert until(ward, "13:10", "low") == "14:00:30"
    assert until(ward, "13:45", "low") == "15:00:00", "the longer of both"
    assert until(ward, "13:10", "medium") is None
    assert until(other, "13:10", "low") is None
    assert until(ward, "14:00:15", "medium") == "15:00:00"
    assert until(ward, "13:45", "high") is None
    only = rule_of(HEAD + NEWS2 + '[[quiet]]\nfrom = "13:00"\nto = "14:00:30"\npriorities = ["medium"]\n')
    assert until(only, "14:00:15", "medium") == "14:00:30"


def test_a_patients_own_thresholds() -> None:
    rule = rule_of(HEAD + NEWS2)
    assert rule.for_patient(None) is rule
    later = rule.for_patient(Thresholds(medium=6))
    assert (later.medium, later.high, later.end) == (6, 7, 4)
    beyond = rule.for_patient(Thresholds(medium=9))
    assert [beyond.priority_of(value) for value in (7, 8.9, 9)] == [None, None, "high"]
    assert beyond.end == 7
    earlier = rule.for_patient(Thresholds(high=4))
    assert [earlier.priority_of(value) for value in (3.9, 4, 5)] == [None, "high", "high"]
    assert earlier.end == 2
    assert rule.for_patient(Thresholds(low=1)).end == 0, "at 0 points every score is over"
    assert rule == rule_of(HEAD + NEWS2), "the policy's own rule stays"


def test_a_patients_own_thresholds_of_a_probability() -> None:
    rule = rule_of(HEAD + SEPSIS, "sepsis")
    assert rule.by_model == "medium"
    own = rule.for_patient(Thresholds(medium=0.4))
    assert own.by_model is None
    assert [own.priority_of(value, 0.1) for value in (0.2, 0.4, 0.6)] == [None, "medium", "high"]
    by_model = rule.for_patient(Thresholds(high=0.3))
    assert [by_model.priority_of(value, 0.1) for value in (0.05, 0.2, 0.3)] == [None, "medium", "high"]
    assert by_model.lowest(0.1) == 0.1


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("format = ", "not TOML: "),
        (HEAD.replace("format = 1", "") + NEWS2, "format: must be 1"),
        (HEAD.replace("1", "2", 1) + NEWS2, "format: must be 1"),
        (HEAD.replace("1", "true", 1) + NEWS2, "format: must be 1"),
        (HEAD, "conditions: there is none"),
        (HEAD + "[conditions]\nnews2 = 3\n", "conditions.news2: must be a table"),
        (HEAD + NEWS2 + "[other]\n", "other: there is no such entry"),
        ('timezone = "Mars/Olympus"\n' + HEAD + NEWS2, "timezone: there is no such time zone"),
        ("timezone = 3\n" + HEAD + NEWS2, "timezone: there is no such time zone"),
        (HEAD + NEWS2 + "[times]\nhold = 3\n", "times.hold: there is no such entry"),
        (HEAD + NEWS2 + "[times]\nhold_min = -1\n", "times.hold_min: Expected"),
        (HEAD + NEWS2 + "[times]\nreassess_min = 0\n", "times.reassess_min: Expected"),
        (HEAD + NEWS2 + "[times]\nexpire_h = nan\n", "times.expire_h: Expected"),
        (HEAD + NEWS2 + "hold_min = 20000\n", "conditions.news2.hold_min: Expected"),
        (HEAD + NEWS2 + "hold_min = true\n", "conditions.news2.hold_min: Expected"),
        (HEAD + NEWS2 + "thershold = 3\n", "conditions.news2.thershold: there is no such entry"),
        (HEAD + NEWS2.replace("7", "nan"), "conditions.news2.high: Expected"),
        (HEAD + NEWS2.replace("7", '"seven"'), "conditions.news2.high: Invalid enum value 'seven'"),
        (HEAD + NEWS2.replace("7", "5"), "conditions.news2: low, medium and high must rise"),
        (HEAD + NEWS2.replace("end = 3", "end = 5"), "conditions.news2.end: must be there, and below"),
        (HEAD + NEWS2.replace("end = 3", ""), "conditions.news2.end: must be there, and below"),
        (HEAD + NEWS2.replace("medium = 5\nhigh = 7\n", ""), "conditions.news2: has no threshold"),
        (HEAD + NEWS2.replace('of = "news2"\n', ""), "conditions.news2.of: is missing"),
        (HEAD + NEWS2.replace('kind = "score"\n', ""), "conditions.news2.kind: is missing"),
        (HEAD + NEWS2.replace('"score"', '"scores"'), "conditions.news2.kind: Invalid enum value 'scores'"),
        (HEAD + NEWS2 + 'priority = "high"\n', "conditions.news2.priority: score has thresholds and no priority"),
        (HEAD + NEWS2 + "end_share = 0.5\n", "conditions.news2.end_share: is for probabilities"),
        (HEAD + NEWS2 + 'flags = ["delta_up"]\n', "conditions.news2.flags: is for laboratory results"),
        (HEAD + NEWS2.replace("7", '"model"'), 'conditions.news2: only one threshold of a prediction may be "model"'),
        (HEAD + NEWS2 + 'suggest.high = "Run."\n', "conditions.news2.source: is missing"),
        (HEAD + NEWS2 + 'suggest.urgent = "Run."\nsource = "Us"\n', "conditions.news2.suggest: Invalid enum value"),
        (HEAD + NEWS2 + f'suggest.high = "{"x" * 1001}"\nsource = "Us"\n', "conditions.news2.suggest"),
        (HEAD + NEWS2.replace("news2]", '"a.b"]'), "conditions.a.b: a name has"),
        (HEAD + NEWS2.replace("news2]", '"*"]'), "conditions.*: a name has"),
        (HEAD + NEWS2.replace("news2]", f"{'n' * 25}]"), f"conditions.{'n' * 25}: a name has"),
        (HEAD + SEPSIS.replace("0.6", "1.5"), "conditions.sepsis: thresholds of a probability"),
        (
            HEAD + SEPSIS.replace("0.6", '"model"'),
            'conditions.sepsis: only one threshold of a prediction may be "model"',
        ),
        (HEAD + SEPSIS + "end_share = 0\n", "conditions.sepsis.end_share: Expected"),
        (HEAD + SEPSIS + "end = 0.1\n", "conditions.sepsis.end: is for scores"),
        (HEAD + SEPSIS + 'single = "low"\n', "conditions.sepsis.single: is for scores"),
        (HEAD + POTASSIUM.replace('priority = "medium"\n', ""), "conditions.critical.priority: is missing"),
        (HEAD + POTASSIUM + "high = 7\n", "conditions.critical.high: lab has a priority and no thresholds"),
        (HEAD + POTASSIUM.replace('["critical_low"]', "[]"), "conditions.critical.flags: Expected"),
        (HEAD + POTASSIUM.replace("critical_low", "low"), "conditions.critical.flags[0]: Invalid enum value"),
        (HEAD + POTASSIUM.replace('flags = ["critical_low"]', ""), "conditions.critical.flags: is for laboratory"),
        (HEAD.replace("medium", "middling") + NEWS2, "tiers.middling: is no priority"),
        (HEAD.replace("medium", "low") + NEWS2, "tiers.medium: is missing: nobody would be told"),
        (HEAD.replace('medium = [{ to = ["nurse"] }]', "medium = []") + NEWS2, "tiers.medium: the first tier"),
        (HEAD.replace('["nurse"] }]', '["nurse"], after_min = 2 }]') + NEWS2, "tiers.medium: the first tier"),
        (HEAD.replace("after_min = 5", "after_min = 0") + NEWS2, "tiers.high: after_min must rise"),
        (HEAD.replace("after_min = 5", "after = 5") + NEWS2, "tiers.high[1]: Object contains unknown field `after`"),
        (HEAD.replace('"charge_nurse", "nurse"', "") + NEWS2, "tiers.high[1].to: Expected"),
        (HEAD.replace('"charge_nurse"', '""') + NEWS2, "tiers.high[1].to[0]: Expected"),
        (
            HEAD.replace('["nurse"] }]', f"{[f'r{n}' for n in range(17)]} }}]") + NEWS2,
            "tiers.medium: names more than 16",
        ),
        (HEAD + NEWS2 + "[repeat_min]\nhigh = 0\n", "repeat_min.high: Expected"),
        (HEAD + NEWS2 + "[repeat_min]\nurgent = 3\n", "repeat_min.urgent: is no priority"),
        (HEAD + NEWS2 + OVER_MIDNIGHT.replace("22:00", "25:00"), "quiet[0].from: must be a time of day"),
        (HEAD + NEWS2 + OVER_MIDNIGHT.replace("06:30", "06:30Z"), "quiet[0].to: must be a time of day"),
        (HEAD + NEWS2 + OVER_MIDNIGHT.replace("06:30", "22:00"), "quiet[0]: from and to are the same"),
        (HEAD + NEWS2 + OVER_MIDNIGHT.replace('"low", "medium"', '"high"'), "quiet[0].priorities[0]: Invalid enum"),
        (HEAD + NEWS2 + OVER_MIDNIGHT.replace('"low", "medium"', ""), "quiet[0].priorities: Expected"),
        (HEAD + NEWS2.replace('of = "news2"', 'of = "nwes2"'), "conditions.news2.of: is no score; there are news2,"),
        (HEAD + NEWS2 + "[units]\nward = 3\n", 'units."ward": must be a table'),
        (HEAD + NEWS2 + '[units."4B"]\nquiet = 3\n', 'units."4B".quiet: there is no such entry'),
        (
            HEAD + NEWS2 + '[units."4B".conditions.sepsis]\nhigh = 1\n',
            'units."4B".conditions.sepsis: the hospital has no',
        ),
        (HEAD + NEWS2 + '[units."4B".conditions.news2]\nof = "sofa"\n', 'units."4B".conditions.news2.of: is the hosp'),
        (HEAD + NEWS2 + '[units."4B".conditions.news2]\nhigh = 4\n', 'units."4B".conditions.news2: low, medium and h'),
        (HEAD + NEWS2 + '[units."4B".conditions.news2]\nhihg = 4\n', 'units."4B".conditions.news2.hihg: there is no'),
        (HEAD + NEWS2 + "#" * 200_000, "has more than 200,000 characters"),
    ],
)
def test_a_mistake_is_named_by_its_path(text: str, mistake: str) -> None:
    found = mistakes(text)
    assert len(found) == (2 if "middling" in mistake else 1), found  # nobody is told of medium, either
    assert any(one.startswith(mistake) for one in found), found


def test_all_mistakes_are_named_at_once() -> None:
    text = (
        HEAD.replace("format = 1", 'format = 7\ntimezone = "Nowhere"\nother = 1')
        + NEWS2.replace("5", "9").replace("end = 3", "ends = 3\nhold_min = -1")
        + SEPSIS.replace("0.6", "6")
        + '[units."4B".conditions.nothing]\nhigh = 1\n'
        + OVER_MIDNIGHT.replace("22:00", "x")
    )
    assert [one.split(":")[0] for one in mistakes(text)] == [
        "conditions.news2.ends",
        "conditions.news2.hold_min",
        "conditions.sepsis",
        "format",
        "other",
        "quiet[0].from",
        "timezone",
        'units."4B".conditions.nothing',
    ]


def test_what_is_wrong_in_the_hospital_is_not_named_again_for_each_unit() -> None:
    text = HEAD + NEWS2.replace('"score"', '"scores"') + '[units."4B".conditions.news2]\nhigh = 9\n'
    assert len(mistakes(text)) == 1


def test_the_default_is_what_the_file_says() -> None:
    written = tomllib.loads(DEFAULT.text)
    assert set(written["conditions"]) == set(DEFAULT.conditions)
    assert isinstance(parse_policy(DEFAULT.text), Policy)


def test_each_score_that_is_computed_may_be_asked_for() -> None:
    assert {*SCORES} == {name for name, _ in ALL} | {KDIGO, SOFA}
