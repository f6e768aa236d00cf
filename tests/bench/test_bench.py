"""The pure parts of the bench; what needs brokers and peers runs by `make bench` only."""

from __future__ import annotations

from collections import Counter
from typing import Any

import orjson
import pytest

from tests.bench.checking import differences, expected_means, expected_news2, last_answers
from tests.bench.contestants import ALL
from tests.bench.events import RELAY_BYTES, events
from tests.bench.gateway import gateway_table
from tests.bench.report import latency_table, rounded, table
from tests.bench.timeline import Seen, came_per_s, cpu_seconds, figures, full_swing, quantile, spread, thinned
from tests.bench.webhooks import webhooks_table
from wardstream.schemas.decode import decode


def test_events_are_the_same_each_time_and_valid() -> None:
    for job in ("relay", "vitals"):
        assert list(events(job, 50, 7)) == list(events(job, 50, 7))
        assert list(events(job, 50, 7))[20:] == list(events(job, 30, 7, first=20))
    assert {len(raw) for _, raw in events("relay", 5_000, 1_000)} == {RELAY_BYTES}
    assert len({orjson.loads(raw)["event_id"] for _, raw in events("relay", 500, 10)}) == 500
    for key, raw in events("vitals", 500, 10):
        assert getattr(decode("vitals.v1", raw), "patient_id", None) == key


def test_events_bring_up_several_scores() -> None:
    assert len(set(expected_news2(events("vitals", 2_000, 50)).values())) > 4


def test_figures_between_two_moments() -> None:
    seen = [Seen(0.0, 0, 1.0), Seen(5.0, 100, 2.0), Seen(6.0, 600, 2.5), Seen(7.0, 1_100, 3.0)]
    found = figures(seen, 1, 1_100)
    assert (found.per_s, found.seconds) == (500.0, 2.0)
    assert found.cpu_us == pytest.approx(1_000)
    assert figures(seen, 600, 1_100).per_s == 500.0
    with pytest.raises(ValueError, match="2000 outputs"):
        figures(seen, 1, 2_000)


def test_work_in_flight_favours_nobody() -> None:
    """Both do 1,000/s for 1,000 µs each; one shows every message, the other four batches of 1,000 a little apart."""
    one_by_one = [Seen(n / 1_000, n, n / 1_000) for n in range(0, 40_001, 100)]
    lanes = [Seen(3.7 + n / 1_000 + lane / 10, n + lane * 1_000 + 1_000, 3.7 + n / 1_000 + lane / 10)
             for n in range(0, 40_000, 4_000) for lane in range(4)]  # fmt: skip
    for seen in (one_by_one, lanes):
        found = full_swing(seen, 40_000)
        assert found.per_s == pytest.approx(1_000, rel=0.12)
        assert found.cpu_us == pytest.approx(1_000, rel=0.12)
    assert figures(lanes, 1, 40_000).per_s > 1_050  # what a count from the first output would flatter it by
    with pytest.raises(ValueError, match="too few steps"):
        full_swing(lanes[:4], 4_000)


def test_cpu_time_of_a_process_with_a_strange_name() -> None:
    fields = ["S", *map(str, range(1, 11)), "150", "50", "0"]
    assert cpu_seconds(f"17 (a) b) {' '.join(fields)}", 100) == 2.0


def test_a_kept_timeline_is_short_and_has_both_ends() -> None:
    seen = [Seen(float(n), n, 0.0) for n in range(1_000)]
    assert (len(thinned(seen)), thinned(seen)[0], thinned(seen)[-1]) == (80, seen[0], seen[-1])
    assert thinned(seen[:10]) == seen[:10]


def test_spread_and_quantile() -> None:
    found = spread([3.0, 1.0, 2.0])
    assert (found.median, found.low, found.high, found.runs) == (2.0, 1.0, 3.0, 3)
    assert [quantile([1.0, 2.0, 3.0, 4.0], q) for q in (0.0, 0.5, 0.99, 1.0)] == [1.0, 3.0, 4.0, 4.0]


def test_wrong_answers_are_found() -> None:
    expected = expected_means(events("relay", 100, 10))
    right = [
        (patient.encode(), orjson.dumps({"count": count, "mean": mean})) for patient, (count, mean) in expected.items()
    ]
    assert differences(last_answers("relay", right), expected) == 0
    wrong = [*right[2:], (right[1][0], orjson.dumps({"count": 11, "mean": 60.0}))]  # one missing, one counted twice
    assert differences(last_answers("relay", wrong), expected) == 2


def test_the_table_shows_what_went_wrong() -> None:
    ours = ALL[0]
    good: dict[str, Any] = {"job": ours.job, "contestant": ours.name, "events": 9, "outputs": 9, "wrong_patients": 0}
    whole = {"per_s": 61_234.0, "cpu_us": 15.23, "seconds": 1.0}
    theirs = good | {"contestant": ALL[1].name}
    first, second = {"repeat": 0}, {"repeat": 1}
    text = table(
        [
            first | good | {"whole": whole},
            first | theirs | {"whole": whole | {"per_s": 30_617.0}},
            second | good | {"whole": whole | {"per_s": 58_000.0}},
            second | theirs | {"whole": whole | {"per_s": 14_500.0}},
        ]
    )
    assert "59,600 (58,000–61,200) |  | 15.2" in text
    assert "22,600 (14,500–30,600) | 3.0× (2.0–4.0) | 15.2" in text  # each with its neighbour
    assert "**" not in text
    assert "10 outputs of 9 events" in table([first | good | {"whole": whole, "outputs": 10}])
    assert "failed: it ended" in table([first | {"job": ours.job, "contestant": ours.name, "failed": "it ended\nlog"}])


def test_what_comes_out_is_counted_while_more_is_due() -> None:
    due = [float(at) for at in range(0, 10_001, 10)]  # 100 a second
    assert came_per_s(due, [at + 300 for at in due]) == pytest.approx(100, rel=0.01)  # late, but it keeps up
    assert came_per_s(due, [2 * at for at in due]) == pytest.approx(50, rel=0.01)  # half of it comes after the end
    assert came_per_s([], []) == came_per_s([0.0, 100.0], [5.0, 105.0]) == 0.0


def test_a_saturated_rate_says_so() -> None:
    one = {"rate": 1_000, "out_per_s": 580.0, "worker_cpu_share": 0.5}
    times = dict.fromkeys(("p50_ms", "p95_ms", "p99_ms", "max_ms"), 12.0)
    assert "saturated: 580/s" in latency_table([one | times])
    assert "saturated" not in latency_table([one | times | {"out_per_s": 990.0}])


def test_the_table_of_the_gateway_shows_what_is_missing() -> None:
    most, times = {"per_s": 1090.0, "share": 0.98}, {"p50_ms": 12.0, "p95_ms": 50.0, "p99_ms": 102.0}
    found = {
        "original": most,
        "enhanced": most,
        "paced": {"per_s": 400.0, "share": 0.5} | times,
        "backlog": {"messages": 10_000, "drained_s": 5.0},
        "on_topic": (58_000, 58_000),
        "alerts": {"sent": 1000, "seen": 1000} | times,
    }
    text = gateway_table(found)
    assert "| asked for 400/s: to AA | 400 | 12.0 | 102.0 | 50% |" in text
    assert "**" not in text
    assert "57,999 ids on the topic" in gateway_table(found | {"on_topic": (57_999, 58_000)})
    assert "999 alerts, not 1000" in gateway_table(found | {"alerts": {"sent": 1000, "seen": 999} | times})


def test_webhooks_that_were_forged_or_repeated_are_marked() -> None:
    times = {"p50_ms": 24.1, "p95_ms": 60.0, "p99_ms": 88.8, "most_ms": 90.0}
    found: dict[str, Any] = {"sent": 300, "forged": 0, "again": 0, "load": 0.3} | times
    assert webhooks_table(found).endswith("| 300 | 24 | 60 | 89 | 90 | 0.3 |")
    assert "**1 with a wrong" in webhooks_table(found | {"forged": 1})
    assert "2 posted again**" in webhooks_table(found | {"again": 2})


def test_contestants_are_named_once() -> None:
    assert set(Counter((who.job, who.name) for who in ALL).values()) == {1}
    assert [rounded(value) for value in (61_234.0, 649.4, 12.3, 123_456.0)] == ["61,200", "649", "12", "123,000"]
