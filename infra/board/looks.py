"""Who looked at whom: on the audit before anything is shown, and told to those who may ask.

The audit is one chain, which takes some transactions a second: what is to be noted while one is under way goes together
into the next.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from aiokafka.errors import KafkaError

from wardstream.agents.metrics import AUDIT_FAILURES, AUDITED, Meters
from wardstream.infra.audit import AuditError, Deed, write_deeds
from wardstream.infra.board.patient import Patient
from wardstream.infra.failure import Failure
from wardstream.infra.gateways.auth import Principal
from wardstream.infra.gateways.http import Refused
from wardstream.infra.identities import IdentityError, IdentitySeals, find_identities, together
from wardstream.schemas.audit import AuditRecord, What
from wardstream.schemas.identities import Identity

log = logging.getLogger(__name__)

AGAIN_S: Final = 600.0
"""After which a look of the same person at the same patient is noted again."""
MOST_TOLD: Final = 100  # looks of one patient
_MOST_WAITING: Final = 1024
_MOST_NOTED: Final = 50_000
_MOST_PATIENTS: Final = 10_000  # whose looks are kept
_WHY: Final = "ward board"
_DEADLINE_S: Final = 30.0
_SHOWN: Final = frozenset({"patient_shown", "identity_shown"})

_Key = tuple[str, str, What]
"""Who, at whom, what."""


class Looks:
    """Notes looks.

    Parameters
    ----------
    client, app_id
        Of the audit.
    turn : Lock
        Held by whoever in this process writes to the audit.
    meters : Meters
        Counts what is noted.
    """

    def __init__(self, client: Mapping[str, Any], app_id: str, turn: asyncio.Lock, meters: Meters) -> None:
        self._client, self._app_id, self._turn, self._meters = client, app_id, turn, meters
        self._waiting: dict[_Key, Deed] = {}
        self._noted = OrderedDict[_Key, float]()  # when, on the monotonic clock
        self._told = OrderedDict[str, deque[AuditRecord]]()

    def deed(self, record: AuditRecord) -> None:
        """Take a record of the audit in, as it is read."""
        if record.what in _SHOWN and record.patient_id is not None:
            kept = self._told.setdefault(record.patient_id, deque(maxlen=MOST_TOLD))
            kept.append(record)
            self._told.move_to_end(record.patient_id)
            if len(self._told) > _MOST_PATIENTS:
                self._told.popitem(last=False)

    def of(self, patient_id: str) -> list[dict[str, Any]]:
        """The newest looks at a patient, the newest first."""
        return [
            {"at": one.at, "who": one.who, "what": one.what, "why": one.why}
            for one in reversed(self._told.get(patient_id, ()))
        ]

    async def note(self, who: Principal, what: What, patients: Sequence[str]) -> None:
        """Put looks on the audit, unless they have been there for less than ten minutes; then they may be shown.

        Raises
        ------
        Refused
            Kafka does not take them (503), or too many wait (429).
        """
        at = datetime.now(UTC)
        mine = {(who.name, one, what): Deed(at, who.name, what, _WHY, one) for one in patients}
        mine = self._new(mine)
        if len(self._waiting | mine) > _MOST_WAITING:
            raise Refused(429, "too much at a time; ask again", Retry_After="5")
        self._waiting |= mine
        try:
            async with asyncio.timeout(_DEADLINE_S):
                while mine := self._new(mine):  # whoever had the turn before may have written them, too
                    async with self._turn:
                        deeds = self._new(self._waiting | mine) if self._new(mine) else {}
                        if deeds:
                            await write_deeds(self._client, self._app_id, list(deeds.values()))
                            self._remember(deeds)
        except (AuditError, TimeoutError) as error:
            self._meters.count(AUDIT_FAILURES)
            log.warning("a look is not noted, and nothing is shown: %s", type(error).__name__)
            raise Refused(503, "the audit does not take it now: nothing is shown", Retry_After="5") from None
        finally:
            for key in mine:
                self._waiting.pop(key, None)

    def _new(self, deeds: Mapping[_Key, Deed]) -> dict[_Key, Deed]:
        """Those that were not noted in the last ten minutes."""
        before = time.monotonic() - AGAIN_S
        return {key: deed for key, deed in deeds.items() if self._noted.get(key, float("-inf")) <= before}

    def _remember(self, deeds: Iterable[_Key]) -> None:
        for key in deeds:
            self._meters.count(AUDITED, (key[2],))
            self._noted[key] = time.monotonic()
            self._noted.move_to_end(key)
            self._waiting.pop(key, None)
        while len(self._noted) > _MOST_NOTED:
            self._noted.popitem(last=False)


class Names:
    """Opens identities. What was read of who is present is at hand; else the topic is read.

    Parameters
    ----------
    keys : sequence of bytes
        As `IdentitySeals`; none: no names.
    """

    def __init__(self, client: Mapping[str, Any], keys: Sequence[bytes]) -> None:
        self._client = client
        self._seals = IdentitySeals(keys) if keys else None
        self._turn = asyncio.Lock()  # the topic may be large: one reads it at a time

    @property
    def known(self) -> bool:
        """Whether there is a key."""
        return self._seals is not None

    async def of(self, patient: Patient) -> dict[str, Any] | None:
        """A patient's name and a second mark; None: nobody has told it, or it was sealed with another key.

        Raises
        ------
        Refused
            Kafka does not answer (503).
        """
        found = sorted(patient.identities.values(), key=lambda one: one.changed_at, reverse=True)
        return self._opened(found or await self._read(patient))

    async def _read(self, patient: Patient) -> list[Identity]:
        try:
            async with asyncio.timeout(_DEADLINE_S), self._turn:
                found = await find_identities(self._client, patient.patient_id)
        except IdentityError:
            return []
        except (Failure, KafkaError, OSError, TimeoutError):
            raise Refused(503, "names cannot be read now", Retry_After="5") from None
        patient.identities.setdefault("", found[0])
        return found

    def _opened(self, found: Sequence[Identity]) -> dict[str, Any] | None:
        if self._seals is None or not found:
            return None
        try:
            person = together([self._seals.open(one) for one in found])
        except IdentityError:
            return None
        name = ", ".join(part for part in (person.family, person.given) if part)
        if not name:
            return None
        born = person.birth_date
        second = ("number", person.number) if born is None else ("born", born.isoformat())
        return {"name": name, "second": dict(zip(("kind", "value"), second, strict=True))}
