"""What a receiver replies, and what of it is an answer."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from wardstream.agents.metrics import WEBHOOK_ANSWERS, Meters
from wardstream.infra.audit import AuditError
from wardstream.infra.delivery import replies
from wardstream.infra.delivery.replies import Answers, answer
from wardstream.infra.gateways.delivery import Row
from wardstream.schemas.acknowledgements import Acknowledgement
from wardstream.schemas.alerts import Alert
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.subscriptions import Subscription

NOW = datetime(2026, 3, 14, 8, 31, tzinfo=UTC)
ALERT = decoder_of(Alert)(
    (Path(__file__).resolve().parents[3] / "schemas" / "examples" / "alerts.v1.json").read_bytes()
)
PAGER = Subscription(name="pager", at=NOW, made_at=NOW, who="m.garcia", may_answer=True)
YES = b'{"action": "acknowledge", "seen": 1, "by": "n-17"}'


@pytest.mark.parametrize("body", [b"", b"ok", b"{}", b"[1]", b'"action"', b"\xff", b"[" * 100_000, b'{"status": "ok"}'])
def test_most_receivers_answer_nothing(body: bytes) -> None:
    assert answer(body, ALERT, "pager", NOW) is None


def test_an_answer() -> None:
    found = answer(YES, ALERT, "pager", NOW)
    assert found is not None
    assert (found.alert_id, found.patient_id, found.facility) == (ALERT.alert_id, ALERT.patient_id, ALERT.facility)
    assert (found.action, found.seen, found.actor, found.observed_at) == ("acknowledge", 1, "n-17 via pager", NOW)
    assert found == answer(YES, ALERT, "pager", NOW)
    other = answer(YES, ALERT, "board", NOW)
    assert other is not None
    assert other.event_id != found.event_id
    without = answer(b'{"action": "rate", "useful": false}', ALERT, "pager", NOW)
    assert without is not None
    assert (without.actor, without.seen, without.useful) == ("webhook:pager", ALERT.number, False)


@pytest.mark.parametrize(
    "reply",
    [
        {"action": "delete"},
        {"action": None},
        {"action": "acknowledge", "seen": "1"},
        {"action": "acknowledge", "seen": 0},
        {"action": "acknowledge", "by": "a\nb"},
        {"action": "snooze"},
        {"action": "snooze", "snooze_until": "2026-03-20T08:00:00Z"},
        {"action": "rate"},
        {"action": "hand_over"},
        {"action": "acknowledge", "comment": "Smith" * 1000},
    ],
)
def test_what_cannot_be_used_is_not_quoted(reply: dict[str, Any]) -> None:
    with pytest.raises(BadEvent) as refused:
        answer(json.dumps(reply).encode(), ALERT, "pager", NOW)
    assert "Smith" not in str(refused.value)
    assert refused.value.__context__ is None


class Kafka:
    """Takes rows at once; what comes first, audit or answer, is in `seen`."""

    def __init__(self, refusals: int = 0) -> None:
        self.seen: list[Any] = []
        self._refusals = refusals

    async def offer(self, rows: list[Row]) -> asyncio.Future[None]:
        self.seen += rows
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        done.set_result(None)
        return done

    async def write(self, client: Any, app_id: str, **fields: Any) -> None:
        if self._refusals:
            self._refusals -= 1
            raise AuditError("away")
        self.seen.append(fields)


def answers(kafka: Kafka, meters: Meters) -> Answers:
    return Answers(kafka, {}, "app", meters, kafka.write)  # type: ignore[arg-type]


async def test_the_audit_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replies, "_AGAIN_S", 0.0)
    kafka, meters = Kafka(refusals=2), Meters()
    assert await answers(kafka, meters).take(YES, ALERT, PAGER) == "acknowledge"
    audited, row = kafka.seen
    assert (audited["who"], audited["what"], audited["about"]) == (PAGER.who, "alert_acknowledged", str(ALERT.alert_id))
    assert audited["why"] == "reply of webhook pager: n-17 via pager"
    assert audited["patient_id"] == ALERT.patient_id
    assert (row.topic, row.key) == ("acknowledgements.v1", ALERT.patient_id)
    assert decoder_of(Acknowledgement)(row.value).seen == 1
    assert meters.values[WEBHOOK_ANSWERS, ("published",)] == 1


async def test_who_may_not_answer_is_not_heard() -> None:
    kafka, meters = Kafka(), Meters()
    silent = Subscription(name="pager", at=NOW, made_at=NOW, who="m.garcia")
    assert await answers(kafka, meters).take(YES, ALERT, silent) is None
    assert await answers(kafka, meters).take(b'{"action": "snooze"}', ALERT, PAGER) is None
    assert kafka.seen == []
    assert {labels: value for (_, labels), value in meters.values.items()} == {("not_allowed",): 1, ("bad",): 1}
