"""Simulated patients' names: sealed, told before the admission, the same for the same patient."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from wardstream.infra.feeds.names import NamingPublisher, invented
from wardstream.infra.identities import IdentitySeals
from wardstream.schemas.admissions import Admission
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.identities import TOPIC, Identity

AT = datetime(2026, 3, 1, 9, tzinfo=UTC)


def admission(patient_id: str = "sim-1", **facts: Any) -> Admission:
    facts = {"kind": "admit", "age_years": 40.0, "sex": "female"} | facts
    return Admission(event_id=uuid4(), source="t", patient_id=patient_id, observed_at=AT, received_at=AT, **facts)


class Remembering(NamingPublisher):
    """What would have been published."""

    def __init__(self, seals: IdentitySeals) -> None:
        super().__init__(seals)
        self.seen: list[tuple[str, str, bytes]] = []

    async def _add(self, topic: str, patient_id: str, value: bytes) -> None:
        self.seen.append((topic, patient_id, value))


async def test_a_name_goes_before_the_admission_once_and_opens_with_the_key() -> None:
    seals = IdentitySeals([b"k" * 32])
    publisher = Remembering(seals)
    for event in (admission(), admission(kind="discharge"), admission()):
        await publisher.send(event)
    assert [topic for topic, *_ in publisher.seen] == [TOPIC.name, *["admissions.v1"] * 3]
    _, key, value = publisher.seen[0]
    person = seals.open(decoder_of(Identity)(value))
    assert key == person.patient_id == "sim-1"
    assert person == invented(admission())
    assert person.family is not None
    assert person.family.encode() not in b"".join(value for *_, value in publisher.seen)


def test_a_person_is_as_old_as_the_admission_says() -> None:
    for age in (0.0, 3.0, 40.0, 99.0):
        person = invented(admission(age_years=age))
        assert person is not None
        assert person.birth_date is not None
        assert age <= (AT.date() - person.birth_date).days / 365.25 <= age + 1.01
    assert invented(admission(age_years=None)) is None
    assert invented(admission(sex="unknown")) is None
