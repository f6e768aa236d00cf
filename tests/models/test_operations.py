"""Operators' conditions: each threshold, each measure, and what a policy may say of them."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from wardstream.models.alerts.policy import Rule
from wardstream.models.alerts.policy_file import DEFAULT, PolicyError, parse_policy
from wardstream.models.operations import (
    CURRENT_S,
    FORGOTTEN_S,
    HOUR_S,
    KEPT_S,
    MINUTE_S,
    SPAN_S,
    Ahead,
    Counts,
    Row,
    RowCodec,
    Trouble,
    judged,
)
from wardstream.schemas.alerts import Priority

NOW = 1_000_000 * SPAN_S  # at the beginning of a span
ID = UUID(int=5)


def rule(name: str, **changed: object) -> Rule:
    return replace(DEFAULT.conditions[name], **changed)  # type: ignore[arg-type]


def silent(minutes: float) -> Row:
    return Row(troubles={"n": Trouble("silent", NOW - minutes * MINUTE_S)})


def degraded(bad: float, of: float = 1000) -> Row:
    row = Row()
    row.count(NOW, Counts(ok=of - bad, degraded=bad))
    return row


def stale(number: int, census: int = 100) -> Row:
    return Row(stale=number, census=census, census_at=NOW)


def full(probability: float) -> Row:
    return Row(ahead=(Ahead(4, probability, probability * 10),), ahead_at=NOW)


@pytest.mark.parametrize(
    ("name", "row", "priority", "over"),
    [
        ("feed_silent", silent(0), "medium", False),
        ("feed_silent", silent(239.99), "medium", False),
        ("feed_silent", silent(240), "high", False),
        ("feed_silent", Row(), None, True),
        ("feed_unusable", silent(0), None, True),  # it is the other condition
        ("model_degraded", degraded(800), "high", False),
        ("model_degraded", degraded(799), "medium", False),
        ("model_degraded", degraded(200), "medium", False),
        ("model_degraded", degraded(199), None, False),
        ("model_degraded", degraded(51), None, False),
        ("model_degraded", degraded(50), None, True),
        ("model_degraded", degraded(20, of=20), "high", False),
        ("model_degraded", degraded(19, of=19), None, False),
        ("data_stale", stale(60), "high", False),
        ("data_stale", stale(59), "medium", False),
        ("data_stale", stale(30), "medium", False),
        ("data_stale", stale(29), None, False),
        ("data_stale", stale(16), None, False),
        ("data_stale", stale(15), None, True),
        ("data_stale", stale(4, census=4), "high", False),
        ("data_stale", stale(3, census=3), None, False),
        ("data_stale", stale(0, census=3), None, True),
        ("beds_short", full(0.8), "medium", False),
        ("beds_short", full(0.799), "low", False),
        ("beds_short", full(0.5), "low", False),
        ("beds_short", full(0.499), None, False),
        ("beds_short", full(0.301), None, False),
        ("beds_short", full(0.3), None, True),
    ],
)
def test_each_threshold_of_the_default_policy(name: str, row: Row, priority: Priority | None, over: bool) -> None:
    verdict = judged(rule(name), "x", row, NOW, ID)
    assert (verdict.condition, verdict.kind) == (name, DEFAULT.conditions[name].kind)
    assert (verdict.priority, verdict.over) == (priority, over)


def test_what_is_not_known_is_stale_and_what_is_over_is_not() -> None:
    assert judged(rule("model_degraded"), "x", Row(), NOW, ID).stale
    assert judged(rule("data_stale"), "x", Row(stale=9), NOW, ID).stale
    assert judged(rule("data_stale"), "x", stale(3, census=3), NOW, ID).stale
    assert judged(rule("beds_short"), "x", Row(ahead=(Ahead(1),), ahead_at=NOW), NOW, ID).stale
    for name, row in (("feed_silent", Row()), ("data_stale", Row()), ("beds_short", full(0.1))):
        assert not judged(rule(name), "x", row, NOW, ID).stale


def test_news_is_current_for_three_hours() -> None:
    for name, row in (("data_stale", stale(60)), ("beds_short", full(0.9))):
        assert judged(rule(name), "x", row, NOW + CURRENT_S, ID).priority is not None
        assert judged(rule(name), "x", row, NOW + CURRENT_S + 1, ID).priority is None


def test_the_longest_silence_counts_and_never_less_than_none() -> None:
    row = Row(troubles={"a": Trouble("silent", NOW - 600), "b": Trouble("silent", NOW - 1200)})
    shown = judged(rule("feed_silent"), "lab", row, NOW, ID).evidence()
    assert {name: one.value for name, one in shown.values.items()} == {"silent_min": 20.0}
    assert shown.caused_by == ID
    early = judged(rule("feed_silent"), "lab", silent(-5), NOW, ID)
    assert (early.priority, early.reason) == ("medium", "no message from lab for 0 minutes")


def test_answers_count_within_the_window_alone() -> None:
    row = Row()
    for spans, counts in ((0, Counts(ok=1)), (11, Counts(ok=10)), (12, Counts(ok=100)), (-1, Counts(ok=1000))):
        row.count(NOW - spans * SPAN_S, counts)
    assert row.counted(NOW, 1).ok == 11
    assert row.counted(NOW, 2).ok == 111
    assert row.counted(NOW + SPAN_S, 1).ok == 1001
    row.count(NOW, Counts(1, 2, 3, 4))
    assert row.counted(NOW, 1 / 12) == Counts(2, 2, 3, 4)


def test_answers_are_kept_for_a_day() -> None:
    row = Row()
    row.count(NOW - KEPT_S, Counts(ok=1))
    row.count(NOW - KEPT_S - 1, Counts(ok=10))
    row.count(NOW + SPAN_S, Counts(ok=100))  # of a clock that was ahead
    row.forget_answers(NOW)
    assert sum(counts.ok for counts in row.answers.values()) == 1


def test_the_greater_share_of_answers_and_requests_decides() -> None:
    row = Row()
    row.count(NOW, Counts(ok=90, degraded=10, answered=60, failed=40))
    verdict = judged(rule("model_degraded"), "sepsis", row, NOW, ID)
    assert verdict.priority == "medium"
    numbers = {name: one.value for name, one in verdict.evidence().values.items()}
    assert numbers == {"degraded_share": 0.1, "answers": 100, "failed_share": 0.4, "requests": 100}
    assert verdict.reason == "sepsis: 10% of the answers are degraded, 40% of the requests failed in 1 h"


def test_more_stale_patients_than_there_were_an_hour_ago_are_all_of_them() -> None:
    shown = judged(rule("data_stale"), "4B", stale(12, census=10), NOW, ID).evidence()
    assert shown.values["stale_share"].value == 1.0


def test_shortfall_and_how_far_ahead_it_is_looked() -> None:
    row = Row(ahead=(Ahead(1, 0.2, 0.5), Ahead(8, 0.4, 2.0), Ahead(12, 0.6, 1.0), Ahead(24, 1.0, 9.0)), ahead_at=NOW)
    beds = rule("beds_short", of="shortfall", low=1.0, medium=2.0, end=0.5)
    verdict = judged(beds, "4B", row, NOW, ID)
    assert (verdict.priority, verdict.reason) == ("medium", "4B: in 8 h 2.0 patients too many")
    beds = rule("beds_short", of="shortfall", low=1.0, medium=2.0, end=0.5, within_h=1)
    assert judged(beds, "4B", row, NOW, ID).over
    assert judged(rule("beds_short", within_h=24), "4B", row, NOW, ID).priority == "medium"
    assert judged(rule("beds_short", within_h=8), "4B", row, NOW, ID).priority is None


def test_a_subject_is_forgotten_when_nothing_is_open_and_nothing_came_for_two_days() -> None:
    assert not Row(heard=NOW).is_forgotten(NOW + FORGOTTEN_S)
    assert Row(heard=NOW).is_forgotten(NOW + FORGOTTEN_S + 1)
    for row in (silent(0), Row(stale=1)):
        assert not row.is_forgotten(NOW + FORGOTTEN_S + 1)


def test_it_is_kept_as_it_is() -> None:
    row = degraded(3)
    row.troubles, row.ahead, row.census = {"n": Trouble("silent", 5.0)}, (Ahead(1, 0.5), Ahead(2)), 4
    codec = RowCodec()
    assert codec.decode(codec.encode(row)) == row
    assert codec.due(row) < 0 < codec.due(Row(clock=HOUR_S))


BEGIN = """
format = 1
[tiers]
high = [{ to = ["nurse"] }]
medium = [{ to = ["nurse"] }]
[conditions.c]
"""


@pytest.mark.parametrize(
    ("entries", "mistake"),
    [
        ('kind = "feed"\nof = "silent"\nmedium = 0', "conditions.c.tiers.medium: is missing: nobody would be told"),
        ('kind = "feed"\nof = "noisy"\nlow = 0', "conditions.c.of: must be silent or rejects"),
        ('kind = "feed"\nlow = 0', "conditions.c.of: must be silent or rejects"),
        ('kind = "model"\nof = "full"\nlow = 0.5\nend = 0.1', "conditions.c.of: must be answers or drift"),
        ('kind = "feed"\nof = "silent"\nlow = -1', "conditions.c: thresholds are minutes from 0 on, or patients above"),
        ('kind = "forecast"\nof = "shortfall"\nlow = 0\nend = -1', "conditions.c: thresholds are minutes from 0 on"),
        ('kind = "feed"\nof = "silent"\nlow = 1\nend = 0', "conditions.c.end: is for scores and what is measured"),
        ('kind = "model"\nof = "answers"\nlow = 0.5', "conditions.c.end: must be there, and below every threshold"),
        ('kind = "data"\nof = "patients"\nlow = 0.5\nend = 0.5', "conditions.c.end: must be there, and below every"),
        ('kind = "forecast"\nof = "full"\nlow = 0.5\nend = -0.1', "conditions.c.end: must be 0 or more"),
        ('kind = "data"\nof = "patients"\nlow = 30\nend = 0.1', "conditions.c: thresholds of a share or probability"),
        ('kind = "data"\nof = "patients"\nlow = 0.3\nend = 0\nleast = 0', "conditions.c.least: Expected `int` >= 1"),
        ('kind = "feed"\nof = "silent"\nlow = 0\nleast = 3', "conditions.c.least: is for shares"),
        ('kind = "model"\nof = "answers"\nlow = 0.3\nend = 0\nwithin_h = 25', "conditions.c.within_h: is for models"),
        (
            'kind = "forecast"\nof = "full"\nlow = 0.3\nend = 0\nwithin_h = 49',
            "conditions.c.within_h: Expected `float` <= 48",
        ),
        (
            'kind = "forecast"\nof = "full"\nlow = 0.3\nend = 0\nwithin_h = 0',
            "conditions.c.within_h: Expected `float` > 0",
        ),
        ('kind = "data"\nof = "patients"\nlow = 0.3\nend = 0\nwithin_h = 1', "conditions.c.within_h: is for models"),
        ('kind = "feed"\nof = "silent"\nlow = 0\nsilent = true', "conditions.c.silent: operators' conditions are told"),
        ('kind = "feed"\nof = "silent"\nlow = 0\ntiers.low = []', "conditions.c.tiers.low: the first tier is told"),
        ('kind = "feed"\nof = "silent"\nlow = 0\ntiers.soon = []', "conditions.c.tiers.soon: is no priority"),
    ],
)
def test_mistakes_are_named(entries: str, mistake: str) -> None:
    with pytest.raises(PolicyError) as refused:
        parse_policy(BEGIN + entries)
    assert any(one.startswith(mistake) for one in refused.value.mistakes), refused.value.mistakes


def test_limits_that_are_allowed() -> None:
    own = 'tiers.low = [{ to = ["them"] }]\n'
    for entries in (
        'kind = "model"\nof = "answers"\nlow = 1\nend = 0\nwithin_h = 24\nleast = 1\n',
        'kind = "forecast"\nof = "shortfall"\nlow = 0.1\nend = 0\nwithin_h = 48\n',
        'kind = "model"\nof = "drift"\nlow = 0\n',
    ):
        policy = parse_policy(BEGIN + entries + own)
        assert policy.conditions["c"].told("low", 0) == ("them",)


def test_own_tiers_stand_for_their_priorities_and_the_wards_for_the_others() -> None:
    policy = parse_policy(BEGIN + 'kind = "staleness"\npriority = "medium"\ntiers.high = [{ to = ["icu"] }]')
    assert policy.conditions["c"].told("high", 0) == ("icu",)
    assert policy.conditions["c"].told("medium", 0) == ("nurse",)


def test_quiet_hours_are_the_wards() -> None:
    quiet = '\n[[quiet]]\nfrom = "00:00"\nto = "23:59"\npriorities = ["low", "medium"]\n'
    policy = parse_policy(DEFAULT.text + quiet)
    feed, news2 = policy.rule("feed_silent", "lab"), policy.rule("news2", "4B")
    assert feed is not None
    assert news2 is not None
    assert feed.quiet_until(NOW, "medium") is None
    assert news2.quiet_until(NOW, "medium") is not None
