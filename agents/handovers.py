"""handovers.v1: two patient ids become one, wherever their lanes are.

A merge event (admissions.v1, kind `merge`) goes to the lane of the id that survives. Then, each step exactly once, in
the transaction of its lane's batch:

1. the survivor's lane *asks* the lane of the id that ceases;
2. that lane *gives* all it keeps of it, in parts, forgets it, and from then on forwards its events, rewritten to the
   id that survives (`Lane`). An event keeps its event_id: the survivor knows it by that, should it come twice, for the
   newest ids are handed over as well (`KEPT_IDS`: half of what a patient remembers, so that the survivor's own
   newest are kept too). A patient of whom nothing is known yet is forwarded all the same;
3. the survivor's lane *joins* each part as it comes (`models.joining`): measurements by time, stays from the events of
   both, open alerts, of two on one condition the higher; with the last part it scores anew.

Nothing waits for another lane: between the steps both patients go on as they were, and a worker that dies leaves
records in Kafka with which the next one goes on. Ids go on being forwarded for `KEPT_S` after the merge.

**Which id survives.** Merges come late, in chains (a into b, b into c), and are reversed (a into b, then b into a). All
ids that were ever merged are one patient, under the survivor of the newest merge: by when it was made, then by when it
was received. So whoever is asked in the name of a merge older than one it has survived itself does not give, but asks
back; and an id that has ceased is brought back when a newer merge says that it survives: it then asks for its own
state, too. A request to an id that has ceased is forwarded like any event. Each id has one place to which its events
go, and places follow each other in the order of their merges: they never form a circle.

**What cannot be done.** A merge is not undone: nobody can tell two histories apart again. Films (the imaging group)
stay under the id under which they came; what is found in them is forwarded as any event is, and so is on findings.v1
under both ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from wardstream.agents import alert_value, occupancy, risk
from wardstream.agents import metrics as m
from wardstream.agents.alerting import Judged
from wardstream.agents.patients import OUTCOMES_ROW, SOURCE, PatientBatch, Rules, bins_of, decode_reports, keep_reports
from wardstream.agents.scoring import news, rescore
from wardstream.agents.streams.batch import Handler, Received
from wardstream.agents.streams.recent import CAPACITY, WIDTH
from wardstream.agents.streams.state import Moved
from wardstream.models.alerts.life import Change
from wardstream.models.bins import sets_in
from wardstream.models.joining import join_patients, join_results, join_sets
from wardstream.models.labs.history import decode_past
from wardstream.models.patient import Patient
from wardstream.models.signals import DAY
from wardstream.schemas.admissions import Admission
from wardstream.schemas.handovers import Handover
from wardstream.schemas.output_id import output_id

TOPIC = "handovers.v1"
KEPT_S = 400 * DAY  # as long as admissions.v1 keeps the merge itself
KEPT_IDS = CAPACITY // 2
PART_BYTES = 400_000  # of rows: as text in JSON they are at most twice as long, and Kafka takes a million

Order = tuple[datetime, datetime, UUID]

_decode_patient = msgspec.json.Decoder(Patient).decode


def follows(event: Any) -> bool:
    """Whether an event of an id that has ceased is for the patient who survives. A merge decides which one that is."""
    return not (isinstance(event, Admission) and event.kind == "merge")


def merge(batch: PatientBatch, received: Received[Admission]) -> bool:
    """Begin a merge; False: it was passed on to the id that the survivor has become part of."""
    event, state = received.event, batch.state
    key, ceases = event.patient_id, event.merged_patient_id
    assert ceases is not None, "checked when it was decoded"
    order = event.observed_at, event.received_at, event.event_id
    moved = state.moved(key)
    if moved is not None:
        if order < moved.order:
            if moved.to != ceases:  # else they are one already
                # Another id, for it may come back here: events go in circles while merges are reversed.
                again = output_id(event.event_id, f"merge/{moved.to}")
                passed_on = msgspec.structs.replace(event, event_id=again, patient_id=moved.to)
                batch.emit("admissions.v1", moved.to, passed_on, received, batch.lane_of(moved.to))
            return False
        state.bring_back(key)
        _ask(batch, moved.to, key, order, received)
    patient = state[key]
    patient.survived = order if patient.survived is None else max(patient.survived, order)
    if moved is None or moved.to != ceases:
        _ask(batch, ceases, key, order, received)
    return True


def handler(rules: Rules) -> Handler:
    """The handler of handovers.v1."""

    async def on_handovers(batch: PatientBatch) -> None:
        """Give a patient's state away, or take a part of another's in."""
        async for received in batch:
            moved = batch.state.moved(received.event.patient_id)
            if moved is not None:  # by an earlier one of this batch; of those before, the lane had known
                # Another id, for this one was given away with those that the patient has seen.
                again = output_id(received.event.event_id, f"follow/{moved.to}")
                followed = msgspec.structs.replace(received.event, event_id=again, patient_id=moved.to)
                batch.emit(TOPIC, moved.to, followed, received, batch.lane_of(moved.to))
            elif received.event.kind == "ask":
                _give(batch, received)
            else:
                _join(batch, received, rules)

    return on_handovers


def _ask(batch: PatientBatch, whom: str, asker: str, order: Order, cause: Received[Any]) -> None:
    observed_at, received_at, merge_id = order
    request = Handover(
        event_id=output_id(cause.event.event_id, f"ask/{whom}/{asker}"),
        source=SOURCE,
        patient_id=whom,
        observed_at=observed_at,
        received_at=received_at,
        provenance="derived",
        kind="ask",
        other_patient_id=asker,
        merge_id=merge_id,
    )
    batch.emit(TOPIC, whom, request, cause, batch.lane_of(whom))
    batch.count(m.HANDOVERS, ("asked",))


def _give(batch: PatientBatch, received: Received[Handover]) -> None:
    """Give everything to who asks, and forward what comes from now on."""
    event, state = received.event, batch.state
    key, asker = event.patient_id, event.other_patient_id
    order = event.observed_at, event.received_at, event.merge_id
    if key == asker:  # it was forwarded to who asked: they are one already
        return
    survived = state[key].survived if key in state else None
    if survived is not None and survived > order:
        _ask(batch, asker, key, survived, received)
        return
    ids = b"".join(state.newest_ids(key, KEPT_IDS)).hex()
    parts = list(_parts(state.rows(key))) or ([{}] if ids else [])
    for number, rows in enumerate(parts, start=1):
        last = number == len(parts)
        part = msgspec.structs.replace(
            event,
            event_id=output_id(event.event_id, f"give/{number}"),
            patient_id=asker,
            kind="give",
            other_patient_id=key,
            part=number,
            parts=len(parts),
            rows=rows,
            ids=ids if last else "",
        )
        batch.emit(TOPIC, asker, part, received, batch.lane_of(asker))
        batch.count(m.HANDOVERS, ("given",))
    state.move(key, Moved(asker, order, event.received_at.timestamp() + KEPT_S))


def _parts(rows: Mapping[str, bytes]) -> Iterator[dict[str, str]]:
    """Rows in parts that Kafka takes: those of hours first, the patient's own last."""
    part: dict[str, str] = {}
    size = 0
    for name in sorted(rows, key=_rank):
        row = rows[name]
        if part and size + len(row) > PART_BYTES:
            yield part
            part, size = {}, 0
        part[name] = row.decode()
        size += len(row)
    if part:
        yield part


def _rank(name: str) -> tuple[bool, bool, str]:
    """Bins, results, the stay's log, the patient's own row."""
    return name == "", name == occupancy.STAY_ROW, name


def _join(batch: PatientBatch, received: Received[Handover], rules: Rules) -> None:
    """Take a part of another's state in; with the last one the scores are of all that both had."""
    event, state = received.event, batch.state
    key, last = event.patient_id, event.part == event.parts
    patient, bins = state[key], bins_of(batch, key)
    before = patient.observations({}), patient.stay.phase
    rows = {name: row.encode() for name, row in event.rows.items()}
    join_sets(patient, bins, sets_in(row for name, row in rows.items() if name.startswith("bin/")))
    past = {name.removeprefix("lab/"): decode_past(row) for name, row in rows.items() if name.startswith("lab/")}
    join_results(patient, bins, past)
    if occupancy.STAY_ROW in rows:
        log = occupancy.log_of(batch, key)
        patient.stay = log.join(occupancy.decode_log(rows[occupancy.STAY_ROW]))
        occupancy.tell(batch, key, patient, log, received)
    if OUTCOMES_ROW in rows:
        keep_reports(batch, key, decode_reports(rows[OUTCOMES_ROW]))
    if alert_value.ROW in rows:
        alert_value.join(batch, key, patient, rows[alert_value.ROW], rules)
    if rules.risk is not None:
        _join_labels(batch, key, patient, rows, rules.risk)
    changes: list[Change] = []
    if "" in rows:
        changes = join_patients(patient, _decode_patient(rows[""]), event.other_patient_id, bins)
    digests = bytes.fromhex(event.ids)
    state.remember(key, (digests[at : at + WIDTH] for at in range(0, len(digests), WIDTH)))
    patient.hear(event.received_at)
    batch.count(m.HANDOVERS, ("joined",))
    results = news(bins, patient, "revised")
    at = max(patient.heard, patient.scored)
    judged = Judged(batch, key, patient, received, at, rules)
    judged.publish(changes)
    judged.move()
    known = patient.signals or patient.alerts
    if known and (last or results or (patient.observations({}), patient.stay.phase) != before):
        rescore(batch, key, patient, received, rules, bins, None, results)


def _join_labels(batch: PatientBatch, key: str, patient: Patient, rows: Mapping[str, bytes], asked: risk.Risk) -> None:
    """Take in the other's hours that wait for their label."""
    hours = risk.waiting_hours(batch, key)
    hours.join({name: row for name, row in rows.items() if name.startswith(risk.WAITING_ROWS)})
    risk.keep_told_times(patient, hours, asked.target)
