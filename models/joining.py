"""Two ids turn out to be one patient: what was known of the one is taken in by the other.

Everything is joined by the identity of its event, so that it does not matter in which parts it comes, or whether an
event of the one has reached the other on a way of its own. Measurements go to their hours, and a correction that came
under one id finds its original that came under the other; the newest value of each signal is looked up anew. Of two
open alerts on one condition the higher priority lives.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from uuid import UUID

from wardstream.models.alerts.life import Change, end
from wardstream.models.alerts.states import KEPT_ENDED, RANK, UNANSWERED, OpenAlert
from wardstream.models.bins import KEPT_HOURS, Bins, MeasurementSet
from wardstream.models.labs.history import LabBins, Past
from wardstream.models.latest import find, take
from wardstream.models.patient import KEPT_AWAITED, KEPT_DEATHS, KEPT_FILMS, KEPT_NOTES, KEPT_ORDERS, Patient
from wardstream.models.revisions import held
from wardstream.models.signals import HOUR

MERGED = "the patient has been merged with another id, whose alert on the same condition goes on"
_NOBODY = UUID(int=0)


def join_sets(patient: Patient, bins: LabBins, theirs: Iterable[MeasurementSet]) -> None:
    """Put measurement sets into the patient's bins; their results have rows of their own, see `join_results`."""
    mine: dict[UUID, MeasurementSet] = {}
    for one in bins.sets():
        _index(mine, one)
    revised: set[str] = set()
    for one in theirs:
        family = {known.event_id: known for event_id in _ids(one) if (known := mine.get(event_id)) is not None}
        if not family:
            Bins.add(bins, one)
            take(patient.signals, one)
            _index(mine, one)
        elif one not in family.values():
            holds = held([*family.values(), one])
            bins.take_out(_ids(holds), near=one.at)  # with results of theirs that were joined before
            bins.add(holds)
            _index(mine, holds)
            revised.update(code for known in (one, *family.values()) for code in known.values)
    if revised:
        find(patient.signals, bins, revised)


def join_results(patient: Patient, bins: LabBins, theirs: Mapping[str, Sequence[Past]]) -> None:
    """Put results, by analyte, into the patient's, but for those that a correction has taken away."""
    if not theirs:
        return
    gone = {event_id for one in bins.sets() for event_id in one.revised} | patient.awaited.keys()
    for code, results in theirs.items():
        both = [*results, *bins.results(code)]
        bins.join_past(code, both, gone.union(*(one.revised for one in both)))


def join_patients(patient: Patient, other: Patient, other_id: str, bins: Bins) -> list[Change]:
    """Take in the rest of the other's state, the stay apart; returns the ends of alerts that there were two of.

    The sets of both may not all be in the bins yet: those that come later bring their values with them.
    """
    patient.heard = max(patient.heard, other.heard)
    patient.scored = max(patient.scored, other.scored)
    patient.predicted = max(patient.predicted, other.predicted)
    patient.facility = patient.facility or other.facility
    for name, (logit, at) in other.answers.items():
        if name not in patient.answers or patient.answers[name][1] < at:
            patient.answers[name] = (logit, at)
    for code, latest in other.signals.items():
        take(patient.signals, MeasurementSet(latest.at, latest.received, _NOBODY, latest.device, {code: latest.value}))
    hours = bins.hours()
    since = (hours[0] - KEPT_HOURS) * HOUR if hours else float("inf")
    # A value that the bins should hold, and do not, has been corrected.
    find(patient.signals, bins, [code for code, latest in patient.signals.items() if latest.at >= since])
    deaths = {death.event_id: death for death in (*other.deaths, *patient.deaths)}.values()
    patient.deaths = tuple(sorted(deaths, key=lambda death: (death.received_at, death.event_id)))[-KEPT_DEATHS:]
    films = {film.event_id: film for film in (*other.films, *patient.films)}.values()
    patient.films = tuple(sorted(films, key=lambda film: (film.received_at, film.event_id)))[-KEPT_FILMS:]
    notes = {note.event_id: note for note in (*other.notes, *patient.notes)}.values()
    patient.notes = tuple(sorted(notes, key=lambda note: (note.received_at, note.event_id)))[-KEPT_NOTES:]
    awaited = sorted((other.awaited | patient.awaited).items(), key=lambda item: (item[1], item[0]))
    patient.awaited = dict(awaited[-KEPT_AWAITED:])
    orders = {order.event_id: order for order in (*other.orders, *patient.orders)}.values()
    patient.orders = tuple(sorted(orders, key=lambda order: (order.received_at, order.event_id)))[-KEPT_ORDERS:]
    return _join_alerts(patient, other, other_id)


def _ids(one: MeasurementSet) -> Collection[UUID]:
    return (one.event_id, *one.revised)


def _index(known: dict[UUID, MeasurementSet], one: MeasurementSet) -> None:
    known.update(dict.fromkeys(_ids(one), one))


def _join_alerts(patient: Patient, other: Patient, other_id: str) -> list[Change]:
    """Of two on one condition the one that people know lives, then the higher priority, then the one that was answered,
    then the older one. What waits or is silenced for both is so for the one: since the earlier, until the later."""
    changes = []
    for condition, alert in other.alerts.items():
        alert.raised_by = alert.raised_by or other_id
        mine = patient.alerts.get(condition)
        if mine is not None and mine.alert_id != alert.alert_id:
            lives, ends = sorted((mine, alert), key=_rank)
            patient.alerts[condition] = ends
            changes.append(end(patient, condition, "closed", MERGED))
            alert = lives
        patient.alerts[condition] = alert
    for condition, pending in other.pending.items():
        known = patient.pending.get(condition)
        if known is None or known.since > pending.since:
            patient.pending[condition] = pending
    for condition in patient.alerts:
        patient.pending.pop(condition, None)
    for condition, silenced in other.silenced.items():
        patient.silenced[condition] = max(
            silenced, patient.silenced.get(condition, silenced), key=lambda one: one.until
        )
    for one in other.ended:
        one.alert.raised_by = one.alert.raised_by or other_id
    patient.ended = (*other.ended, *patient.ended)[-KEPT_ENDED:]
    return changes


def _rank(alert: OpenAlert) -> tuple[bool, int, bool, float, UUID]:
    return alert.silent, -RANK[alert.priority], alert.state in UNANSWERED, alert.raised_at, alert.alert_id
