"""Who a message is about: PID and MRG to pseudonyms, age and sex.

Which identifier names the patient is the site's to say (`Feed.identifier_types`). Where identifiers are there and none
of them fits, the feed's settings are wrong, and the message is a reject. Where there is none at all, the message names
nobody: no setting could mend that, and no lane could hold it; it is ignored, and counted as (`patient`, `PID-3`).
"""

from collections.abc import Mapping
from datetime import date, datetime
from typing import Final, NamedTuple

from wardstream.schemas.admissions import Sex
from wardstream.schemas.hl7v2.mapped import Person
from wardstream.schemas.hl7v2.reading import Segment
from wardstream.schemas.hl7v2.times import day
from wardstream.schemas.hl7v2.work import Work

_SEXES: Final[Mapping[str, Sex]] = {
    **dict.fromkeys(("F", "FEMALE"), "female"),
    **dict.fromkeys(("M", "MALE"), "male"),
    **dict.fromkeys(("O", "OTHER", "A", "N", "X"), "other"),  # A: ambiguous, N: not applicable
    **dict.fromkeys(("U", "UNKNOWN"), "unknown"),
}
"""Table 0001, and the words that are sent instead."""
_OLDEST: Final = 130


class Identifier(NamedTuple):
    """A number, and who gave it."""

    authority: str
    number: str


def identifier(work: Work, segment: Segment, field: int) -> tuple[Identifier | None, bool]:
    """Return the identifier in a CX field that names the patient, and whether the field holds any at all."""
    named, found = identifiers(work, segment, field)
    return (named[0] if named else None), found


def identifiers(
    work: Work, segment: Segment, field: int, default: str | None = None
) -> tuple[tuple[Identifier, ...], bool]:
    """Return the identifiers of the kind in a CX field that names the patient, and whether the field holds any.

    Parameters
    ----------
    default : str or None
        Who gave a number that does not say who; None: whom the feed declares.
    """
    feed = work.feed
    best, named = len(feed.identifier_types), dict[Identifier, None]()
    found = False
    for repetition in range(1, segment.repetitions(field) + 1):
        number = segment.text(field, 1, repetition=repetition)
        if not number:
            continue
        found = True
        kind = segment.text(field, 5, repetition=repetition)
        if kind in feed.identifier_types:
            rank = feed.identifier_types.index(kind)
        elif not kind:
            rank = len(feed.identifier_types)
        else:
            continue
        if rank < best:
            best, named = rank, {}
        if rank == best:
            named[Identifier(authority(work, segment, field, repetition, default), number)] = None
    ranks = {name: rank for rank, name in enumerate(feed.authorities)}
    return tuple(sorted(named, key=lambda one: ranks.get(one.authority, len(ranks)))), found


def authority(work: Work, segment: Segment, field: int, repetition: int = 1, default: str | None = None) -> str:
    """Return who gave the number in a CX field (component 4, an HD: its name, or else its universal id)."""
    name = segment.text(field, 4, 1, repetition) or segment.text(field, 4, 2, repetition)
    return work.feed.aliases.get(name, name) or default or work.feed.authority


def person(work: Work, pid: Segment | None, topic: str, *others: Segment | None) -> Person | None:
    """Return who PID names, and count or reject the message where it is nobody.

    Parameters
    ----------
    topic : str
        Whose dead letters a message belongs to in which no identifier fits.
    others : segments
        What is needed to map it again.
    """
    named, found = (None, False) if pid is None else identifier(work, pid, 3)
    if pid is None or named is None:
        if found:
            work.reject(topic, "bad_format", ("PID-3",), pid, *others)
        else:
            work.ignore("patient", "PID-3")
        return None
    places = {"family": (5, 1), "given": (5, 2), "birth_date": (7, 1), "sex": (8, 1)}
    someone = Person(
        patient_id=work.pseudonyms.patient(*named),
        authority=named.authority,
        number=named.number,
        family=pid.text(5, 1) or None,
        given=pid.text(5, 2) or None,
        birth_date=day(pid.text(7)),
        sex=_SEXES.get(pid.text(8).upper()),
        removed=tuple(part for part, place in places.items() if pid.is_null(*place)),
    )
    work.know(someone)
    return someone


def age_years(born: date | None, at: datetime) -> float | None:
    """Return the age at a time: completed years, and the part of the year since; None: not known, or impossible.

    Counted by the calendar, so that nobody is 15.998 on a birthday: scores have limits at 16 and at 1 year.
    """
    if born is None:
        return None
    then = at.date()
    years = then.year - born.year - ((then.month, then.day) < (born.month, born.day))
    try:
        birthday = born.replace(year=born.year + years)
    except ValueError:  # 29 February
        birthday = date(born.year + years, 3, 1) if 0 < born.year + years < 10_000 else born
    age = years + min(max((then - birthday).days, 0) / 365.25, 0.999)
    return round(age, 3) if 0 <= age <= _OLDEST else None
