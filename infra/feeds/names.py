"""Names for simulated patients, sealed as a gateway seals those that a hospital tells: for boards to show them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

from wardstream.infra.feeds.pace import FeedPublisher
from wardstream.infra.identities import IdentitySeals, key_of
from wardstream.schemas.admissions import Admission
from wardstream.schemas.decode import encode
from wardstream.schemas.envelope import Event
from wardstream.schemas.hl7v2 import Person
from wardstream.schemas.identities import TOPIC

AUTHORITY: Final = "SIMULATED"
_YEAR: Final = timedelta(days=365.25)
_FAMILY: Final = (
    *("Abbott", "Bakshi", "Castellan", "Dovey", "Eriksen", "Farrow", "Galvan", "Hollis", "Ibarra", "Jessop", "Kovač"),
    *("Lindqvist", "Marlowe", "Nakagawa", "Oduya", "Pascoe", "Quill", "Rahimi", "Sorrel", "Tanaka", "Underhill"),
    *("Varga", "Wexler", "Xiang", "Yilmaz", "Zielinska"),
)
_GIVEN: Final = {
    "female": (
        "Ada",
        "Beatriz",
        "Chloe",
        "Dilys",
        "Esme",
        "Fatima",
        "Greta",
        "Hana",
        "Ines",
        "Jun",
        "Kirsten",
        "Leila",
    ),
    "male": ("Arno", "Bilal", "Casper", "Diego", "Emrys", "Felix", "Goran", "Hugo", "Idris", "Jonas", "Kofi", "Luca"),
}


class NamingPublisher(FeedPublisher):
    """A publisher of simulated events that tells who somebody is before their admission.

    Parameters
    ----------
    seals : IdentitySeals
        Of the key with which the names are read again.
    **options
        As of `Publisher`.
    """

    def __init__(self, seals: IdentitySeals, **options: Any) -> None:
        super().__init__(**options)
        self._seals = seals

    async def send(self, event: Event) -> str:
        """Publish an event, after the name of whoever it admits; raises as `Publisher.send`."""
        person = invented(event) if isinstance(event, Admission) else None
        identity = None if person is None else self._seals.changed(person, event.source, datetime.now(UTC))
        if person is not None and identity is not None:
            await self.send_raw(TOPIC.name, key_of(person), encode(identity))
        return await super().send(event)


def invented(admission: Admission) -> Person | None:
    """Who somebody might be whose age and sex an admission states; the same patient_id has the same name."""
    if admission.kind != "admit" or admission.age_years is None or admission.sex not in _GIVEN:
        return None
    random = Random(admission.patient_id)
    born = admission.observed_at - admission.age_years * _YEAR - random.random() * _YEAR
    return Person(
        patient_id=admission.patient_id,
        authority=AUTHORITY,
        number=f"{random.randrange(10**7):07d}",
        family=random.choice(_FAMILY),
        given=random.choice(_GIVEN[admission.sex]),
        birth_date=born.date(),
        sex=admission.sex,
    )
