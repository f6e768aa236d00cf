"""What the imaging group keeps of a patient: which findings an event led to, and which events are to be tried again."""

from typing import Final
from uuid import UUID

import msgspec

from wardstream.schemas.imaging import Imaging

KEPT_EVENTS: Final = 32
KEPT_PENDING: Final = 16
KEPT_SILENT_S: Final = 30 * 86_400.0  # a correction later than that finds nothing to correct
TRIES: Final = 12  # after 1, 2, 4 … minutes, then each hour: more than six hours in all
_FIRST_S: Final = 60.0
_LONGEST_S: Final = 3_600.0


class Pending(msgspec.Struct, frozen=True):
    """An event that could not be judged for want of its image or of the model, and when to try again (s since 1970)."""

    event: Imaging
    tries: int
    at: float


class ImagingPatient(msgspec.Struct, omit_defaults=True):
    """One patient. `published` holds the ids of the findings by event; `withdrawn` are events that no longer hold."""

    heard: float = 0.0
    published: dict[UUID, tuple[UUID, ...]] = {}
    withdrawn: tuple[UUID, ...] = ()
    pending: tuple[Pending, ...] = ()

    def publish(self, event_id: UUID, findings: tuple[UUID, ...]) -> None:
        """Remember what an event led to."""
        self.published.pop(event_id, None)
        self.published[event_id] = findings
        while len(self.published) > KEPT_EVENTS:
            del self.published[next(iter(self.published))]

    def withdraw(self, event_id: UUID) -> tuple[UUID, ...]:
        """An event no longer holds, should it have come or not; returns the findings that fall with it."""
        self.withdrawn = (*(known for known in self.withdrawn if known != event_id), event_id)[-KEPT_EVENTS:]
        self.settle(event_id)
        return self.published.pop(event_id, ())

    def settle(self, event_id: UUID) -> None:
        """Nothing is to be tried again for the event."""
        self.pending = tuple(one for one in self.pending if one.event.event_id != event_id)

    def retry(self, event: Imaging, now: float) -> None:
        """Try again later, unless it has been tried often enough."""
        tries = next((one.tries for one in self.pending if one.event.event_id == event.event_id), 0)
        self.settle(event.event_id)
        if tries < TRIES:
            at = now + min(_FIRST_S * 2**tries, _LONGEST_S)
            self.pending = (*self.pending, Pending(event, tries + 1, at))[-KEPT_PENDING:]

    def due(self, now: float) -> list[Pending]:
        """What is to be tried again by now."""
        return [one for one in self.pending if one.at <= now]


class ImagingCodec:
    """How lanes keep it: as JSON, like the patients of the other group."""

    def __init__(self) -> None:
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(ImagingPatient).decode

    def new(self, key: str) -> ImagingPatient:
        return ImagingPatient()

    def decode(self, row: bytes) -> ImagingPatient:
        return self._decode(row)

    def encode(self, entity: ImagingPatient) -> bytes:
        return self._encode(entity)

    def due(self, entity: ImagingPatient) -> float:
        """The next try, or when the patient may be forgotten."""
        forget = entity.heard + KEPT_SILENT_S
        return min((one.at for one in entity.pending), default=forget)
