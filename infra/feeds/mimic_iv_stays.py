"""Where a MIMIC-IV patient is: admissions, transfers, discharges, and the outcomes that lie in them.

The MEDS file has no encounter numbers and tells a stay twice, by hospital admission and by transfers between units,
whose times differ by minutes. A stay opens with whichever comes first (emergency department included) and closes with
whichever end comes first; encounters are numbered in that order. A visit to the emergency department that leads to no
admission has no end in the file: it is closed 48 h after its beginning, with provenance `derived`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, time, timedelta
from typing import Any, Final

from wardstream.infra.feeds.records import Tally, event_id
from wardstream.schemas.admissions import Admission, Disposition, Kind, PatientClass
from wardstream.schemas.outcomes import Kind as OutcomeKind
from wardstream.schemas.outcomes import Outcome

ED: Final = "Emergency Department"
VISIT_ENDS_AFTER: Final = timedelta(hours=48)
YEAR_DAYS: Final = 365.25
DISPOSITIONS: Final[dict[str, Disposition]] = {
    "HOME": "home",
    "HOME HEALTH CARE": "home",
    "DIED": "died",
    "HOSPICE": "hospice",
    "AGAINST ADVICE": "against_advice",
    "SKILLED NURSING FACILITY": "transfer",
    "REHAB": "transfer",
    "CHRONIC/LONG TERM ACUTE CARE": "transfer",
    "PSYCH FACILITY": "transfer",
    "ACUTE HOSPITAL": "transfer",
}
# Within one time a transfer comes before the end of the stay, whatever the order in the file.
_ORDER: Final = {"ED_REGISTRATION": 0, "HOSPITAL_ADMISSION": 1, "TRANSFER_TO": 2, "HOSPITAL_DISCHARGE": 3}


class Movements:
    """Follows one patient through the rows.

    Parameters
    ----------
    source : str
        Name of the source.
    subject : str
        Number of the patient.
    shared : dict
        Fields that all events of the patient have.
    """

    def __init__(self, source: str, subject: str, shared: dict[str, Any]) -> None:
        self._source, self._subject, self._shared = source, subject, shared
        self._sex: str | None = None
        self._born: datetime | None = None
        self._stays, self._open = 0, False
        self._unit: str | None = None
        self._visit_began_at: datetime | None = None  # while the stay is a visit to the emergency department only
        self._outcomes: list[Outcome] = []

    @property
    def encounter_id(self) -> str | None:
        """The open stay, or None between stays."""
        return f"{self._subject}-{self._stays}" if self._open else None

    def about(self, codes: Iterable[str]) -> None:
        """Take what has no time: sex."""
        for code in codes:
            if code in ("GENDER//F", "GENDER//M"):
                self._sex = "female" if code[-1] == "F" else "male"

    def overdue(self, at: datetime | None) -> list[Admission]:
        """Return the end of a visit that must have ended before a time (None: after the last row), at most one."""
        began_at = self._visit_began_at
        if began_at is None or (at is not None and began_at + VISIT_ENDS_AFTER >= at):
            return []
        ended = self._admission("discharge", began_at + VISIT_ENDS_AFTER, "visit end", provenance="derived")
        self._open, self._visit_began_at = False, None
        return [ended]

    def at(self, at: datetime, rows: list[tuple[int, str, float | None]], tally: Tally) -> Iterator[Admission]:
        """Yield the movements of one time, and keep its outcomes for `outcomes`."""
        moves = []
        for number, code, _ in rows:
            table, _, detail = code.partition("//")
            if table in _ORDER:
                moves.append((_ORDER[table] + (2 if detail.startswith("discharge") else 0), number, table, detail))
            elif table == "MEDS_BIRTH":
                self._born = at
            elif table == "MEDS_DEATH":
                # A date alone is known when the day is over.
                died_at = at + timedelta(days=1) if at.time() == time(0) else at
                self._outcome("death", died_at, number)
            elif table == "ICU_ADMISSION":
                self._outcome("icu_transfer", at, number)
        for _, number, table, detail in sorted(moves):
            yield from self._move(at, number, table, detail, tally)

    def outcomes(self) -> list[Outcome]:
        """Return the outcomes since the last call."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    def _move(self, at: datetime, number: int, table: str, detail: str, tally: Tally) -> Iterator[Admission]:
        first, _, second = detail.partition("//")
        unit = second if table == "TRANSFER_TO" and second not in ("", "UNK") else None
        ends = table == "HOSPITAL_DISCHARGE" or (table == "TRANSFER_TO" and first == "discharge")
        if ends:
            if self._open:
                disposition = DISPOSITIONS.get(first) if table == "HOSPITAL_DISCHARGE" else None
                yield self._admission("discharge", at, number, disposition=disposition)
                self._open, self._visit_began_at = False, None
            else:
                tally.dropped[f"{table} (the stay has ended)"] += 1
        elif not self._open:
            self._stays, self._open = self._stays + 1, True
            in_ed = table == "ED_REGISTRATION" or first == "ED"
            self._visit_began_at = at if in_ed else None
            self._unit = ED if in_ed else unit
            yield self._admission(
                "admit",
                at,
                number,
                unit=self._unit,
                patient_class="emergency" if in_ed else _class_of(table, first),
                sex=self._sex,
                age_years=round((at - self._born).days / YEAR_DAYS, 2) if self._born else None,
            )
        elif table == "HOSPITAL_ADMISSION":
            self._visit_began_at = None
            yield self._admission("update", at, number, patient_class=_class_of(table, first))
        elif unit is not None and unit != self._unit:
            self._unit = unit
            if unit != ED:
                self._visit_began_at = None
            yield self._admission("transfer", at, number, unit=unit)
        else:
            tally.dropped[f"{table} (already there)"] += 1

    def _admission(self, kind: Kind, at: datetime, number: int | str, **fields: Any) -> Admission:
        return Admission(
            event_id=event_id(self._source, self._subject, number, kind),
            encounter_id=f"{self._subject}-{self._stays}",
            observed_at=at,
            received_at=at,
            kind=kind,
            **self._shared,
            **fields,
        )

    def _outcome(self, kind: OutcomeKind, at: datetime, number: int) -> None:
        self._outcomes.append(
            Outcome(
                event_id=event_id(self._source, self._subject, number, kind),
                encounter_id=self.encounter_id,
                observed_at=at,
                available_at=at,
                received_at=at,
                kind=kind,
                **self._shared,
            )
        )


def _class_of(table: str, first: str) -> PatientClass | None:
    if table != "HOSPITAL_ADMISSION":
        return None
    return "observation" if "OBSERVATION" in first else "inpatient"
