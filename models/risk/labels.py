"""Delayed labels: what really came of a patient in the horizon after an hour, by all that is known when it is told.

The label of an hour that ended at time t, with horizon H, is looked up once, at t + H + grace (`Target.told_at`), from
everything that has been reported by then. So the order in which reports came does not matter, and neither does one
that came twice. What is reported later than that comes too late: the example is out (`is_late`).

Reports revise each other as in `models.revisions`: a correction or cancellation takes the place of what it names. A
report that something did *not* happen (`occurred=False`) contradicts reports of the same kind within the time that it
speaks of: of two that contradict each other the one received last holds.

==================================================================================  ================================
what holds at t + H + grace, the first that applies                                 label
==================================================================================  ================================
the patient was not there at t: a cancelled admission, a discharge that came late   censored
an outcome of the same stay, or the patient's death, at or before t                 excluded
an outcome after t, up to t + H, and no departure to elsewhere before it            positive
a departure to elsewhere after t, up to t + H                                       censored
death within H, where death is no outcome of the target                             negative: no other can come now
discharge home within H, or none                                                    negative
==================================================================================  ================================

Elsewhere is where nobody reports from: another hospital, a hospice, against advice, or not stated. What happens after
such a departure counts for nothing, not even a death that became known by chance, for survivors would not have become
known. At home an outcome within H counts: who goes home is presumed to be heard of if something happens. A discharge
with the disposition `died` is a death where no outcome says so.

An alert may have changed what happened: the patient is saved by it, and the label is negative. The alerts that were
open are recorded with each example, but how much they feed back into labels cannot be told from such data. It can be
estimated only where alerts are kept silent at random.
"""

from collections.abc import Iterable
from typing import Final, Literal, NamedTuple
from uuid import UUID

import msgspec

from wardstream.models.revisions import standing
from wardstream.models.risk.target import Target
from wardstream.models.stay import Stay, StayLog, course
from wardstream.schemas.outcomes import Kind, Outcome

KEPT_REPORTS: Final = 64

Label = Literal["positive", "negative", "censored", "excluded"]
Why = Literal["outcome", "stayed", "left_home", "competing_death", "left_elsewhere", "not_there", "after_outcome"]


class Report(msgspec.Struct, array_like=True, frozen=True):
    """An outcome as it was reported. Times in seconds since 1970.

    `kind` None: a cancellation. `since`: from when on an absence speaks; None: since ever.
    """

    event_id: UUID
    supersedes: UUID | None
    received_at: float
    kind: Kind | None
    occurred: bool
    at: float
    since: float | None = None


class Verdict(NamedTuple):
    """A label and why. `kind` and `at` (s since 1970) are of the outcome that decided; None: none did."""

    label: Label
    why: Why
    kind: Kind | None = None
    at: float | None = None


def report_of(event: Outcome) -> Report:
    """An outcome as it is kept."""
    since = None if event.window_from is None else event.window_from.timestamp()
    kind = None if event.status == "cancelled" else event.kind
    received, at = event.received_at.timestamp(), event.observed_at.timestamp()
    return Report(event.event_id, event.supersedes, received, kind, event.occurred, at, since)


def together(reports: Iterable[Report]) -> tuple[Report, ...]:
    """Reports, each once, in an order that does not depend on how they came; of too many the newest."""
    known = {one.event_id: one for one in reports}
    return tuple(sorted(known.values(), key=lambda one: (one.received_at, one.event_id)))[-KEPT_REPORTS:]


def is_late(report: Report, now: float, target: Target) -> bool:
    """Whether hours that an outcome is about have been told already, at a time (s since 1970)."""
    return report.kind in target.kinds and now >= target.told_at(report.at - target.horizon_s)


def label(at: float, reports: Iterable[Report], log: StayLog, target: Target) -> Verdict:
    """The label of the hour that ended at a time (s since 1970), by reports and the events of the stay."""
    until = at + target.horizon_s
    then, departure = Stay(), None
    for one in course(log):
        if one.moment <= at:
            then = one.stay
        elif departure is None and one.moment <= until and one.stay.phase == "left":
            departure = one.stay
    if then.phase != "present":
        return Verdict("censored", "not_there")
    held = holding(reports)
    found = [one for one in held if one.kind in target.kinds]
    deaths = [one for one in held if one.kind == "death"]
    began = float("-inf") if then.admitted_at is None else then.admitted_at
    if any(began <= one.at <= at for one in (*found, *deaths)):
        return Verdict("excluded", "after_outcome")
    left_at = float("inf") if departure is None or departure.left_at is None else departure.left_at
    disposition = None if departure is None else departure.disposition
    if departure is not None and disposition == "died" and not deaths:
        deaths = [Report(_NOBODY, None, left_at, "death", True, left_at)]
        found += deaths if "death" in target.kinds else []
    elsewhere = left_at if disposition not in ("home", "died") else float("inf")
    came = min((one for one in found if at < one.at <= min(until, elsewhere)), key=_order, default=None)
    if came is not None:
        return Verdict("positive", "outcome", came.kind, came.at)
    if elsewhere <= until:
        return Verdict("censored", "left_elsewhere")
    if any(at < one.at <= until for one in deaths):
        return Verdict("negative", "competing_death")
    return Verdict("negative", "stayed" if departure is None else "left_home")


_NOBODY: Final = UUID(int=0)


def _order(report: Report) -> tuple[float, str]:
    return report.at, str(report.kind)


def holding(reports: Iterable[Report]) -> list[Report]:
    """The reports of something that happened that are neither revised nor contradicted."""
    said = [one for one in standing(reports) if one.kind is not None]
    absences = [one for one in said if not one.occurred]
    return [one for one in said if one.occurred and not any(_contradicts(other, one) for other in absences)]


def _contradicts(absence: Report, report: Report) -> bool:
    if absence.kind != report.kind:
        return False
    later = (absence.received_at, absence.event_id) > (report.received_at, report.event_id)
    return later and (absence.since is None or absence.since <= report.at) and report.at <= absence.at
