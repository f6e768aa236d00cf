"""imaging.v1: a film by reference → what the chest model sees in it, or why it is not judged, on findings.v1.

In a group of its own: fetching and decoding take seconds, and vitals never wait for them. Batches are small, the events
of one are judged side by side, and each has a deadline of its own, shorter than the handler's, so that a slow image is
told as such and never takes its neighbours into the dead letters.

What time may mend (the object is not stored yet, the store or the model server is away) is published as abstained at
once and tried again on later ticks; an answer then comes with the abstention withdrawn. No finding raises an alert by
itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

import msgspec

from wardstream.agents import metrics as m
from wardstream.agents.measuring import up_to
from wardstream.agents.streams.batch import Batch, Handler, Received
from wardstream.models import chest_xray
from wardstream.models.chest_xray import Contradiction, Grey, Seen, Tensor
from wardstream.models.imaging.film import REASONS, RETRIED, About, Film, Reading, Unusable
from wardstream.models.imaging.saliency import picture
from wardstream.models.imaging.state import KEPT_SILENT_S, ImagingPatient
from wardstream.models.imaging.suitability import Rules, refuse_stated
from wardstream.schemas.bounds import BOUNDS
from wardstream.schemas.findings import Finding, Region
from wardstream.schemas.imaging import Imaging, Uid
from wardstream.schemas.output_id import output_id
from wardstream.schemas.ticks import Tick

SOURCE = "wardstream"
TOPIC = "findings.v1"
EVENT_DEADLINE_S = 30.0  # to fetch, read and ask for all images of an event
MAX_FILMS = 16  # of an event
RETRIES_AT_ONCE = 8  # patients a tick; the others wait for the next

ImagingBatch = Batch[Any, ImagingPatient]


class Images(Protocol):
    """Where images are and saliency pictures go; each call raises `Unusable`, and nothing else it expects."""

    async def images(self, uri: str) -> list[str]: ...
    def fetched(self, uri: str, sha256: str | None) -> AbstractAsyncContextManager[bytes]: ...
    async def keep(self, uri: str, name: str, png: bytes) -> str | None: ...


class Reader(Protocol):
    """Reads an untrusted file: its films, or why there are none. Raises nothing."""

    async def __call__(self, raw: bytes, stated: About, rules: Rules) -> Reading: ...


class Answered(NamedTuple):
    """The model server's answer."""

    version: str
    outputs: dict[str, Any]


class Model(Protocol):
    """Asks the chest model about films, float32 [n,1,28,28]; raises `Unusable("model_unavailable")`."""

    async def __call__(self, films: Tensor) -> Answered: ...


@dataclass(frozen=True, kw_only=True)
class Tools:
    """What the agent is given."""

    images: Images
    read: Reader
    model: Model
    rules: Rules


class Verdict(NamedTuple):
    """What became of one film, or of one file, or of the event where there was no file: `seen` or `code`."""

    about: About
    frame: int | None = None
    code: str | None = None
    seen: Seen | None = None
    version: str | None = None
    region: Region | None = None
    saliency_uri: str | None = None


def handler(tools: Tools) -> Handler:
    """The handler of imaging.v1."""

    async def on_imaging(batch: ImagingBatch) -> None:
        """Judge the films of each event, and take back what was said of those that are revised."""
        told = [received for received in batch if received.event.status != "cancelled"]
        verdicts = await _judged([received.event for received in told], tools)
        by_event = dict(zip((received.event.event_id for received in told), verdicts, strict=True))
        async for received in batch:
            event: Imaging = received.event
            patient, now = batch.state[event.patient_id], event.received_at
            patient.heard = max(patient.heard, now.timestamp())
            if event.supersedes is not None:
                _withdraw(batch, received, event, patient.withdraw(event.supersedes), tools.rules, now)
            if event.event_id in patient.withdrawn or event.event_id not in by_event:
                continue
            found = by_event[event.event_id]
            _publish(batch, received, event, found, tools.rules, now, "first")
            if _worth_a_retry(found):
                patient.retry(event, now.timestamp())

    return on_imaging


def tick_handler(tools: Tools) -> Handler:
    """The handler of ticks.v1 in this group."""

    async def on_ticks(batch: ImagingBatch) -> None:
        """Try again what could not be judged; forget patients of whom nothing has come for long."""
        received = batch.received[-1]
        tick: Tick = received.event
        now = tick.observed_at.timestamp()
        due: list[Imaging] = []
        for key in batch.state.due(now):
            if len(due) >= RETRIES_AT_ONCE:
                break
            patient = batch.state[key]
            if waiting := patient.due(now):
                due += [one.event for one in waiting]
            elif not patient.pending and patient.heard + KEPT_SILENT_S <= now:
                batch.state.forget(key)
        for event, found in zip(due, await _judged(due, tools), strict=True):
            patient = batch.state[event.patient_id]
            batch.count(m.IMAGING_RETRIES)
            if _worth_a_retry(found):
                patient.retry(event, now)
                continue
            patient.settle(event.event_id)
            before = patient.published.pop(event.event_id, ())
            _withdraw(batch, received, event, before, tools.rules, tick.observed_at)
            _publish(batch, received, event, found, tools.rules, tick.observed_at, "again")

    return on_ticks


async def _judged(events: Sequence[Imaging], tools: Tools) -> list[list[Verdict]]:
    """The verdicts of each event; all are awaited, also if one fails."""
    outcomes = await asyncio.gather(*(judge(event, tools) for event in events), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]


def _worth_a_retry(verdicts: Sequence[Verdict]) -> bool:
    return any(verdict.code in RETRIED for verdict in verdicts)


def stated_by(event: Imaging) -> About:
    """What the event itself says about its films."""
    return About(
        modality=event.modality,
        body_part=None if event.body_part is None else event.body_part.strip().upper(),
        view=None if event.view is None else event.view.strip().upper(),
        age_years=event.age_years,
        series_uid=event.series_uid,
        instance_uid=event.instance_uid,
    )


async def judge(event: Imaging, tools: Tools) -> list[Verdict]:
    """What the model sees in each film of an event, or why it is not asked. What is expected to fail is a verdict."""
    stated = stated_by(event)
    try:
        async with asyncio.timeout(EVENT_DEADLINE_S):
            refuse_stated((stated,), tools.rules)
            if event.pixels_uri is None:
                raise Unusable("no_pixels")
            uris = await tools.images.images(event.pixels_uri)
            if event.pixels_sha256 is not None and uris != [event.pixels_uri] and len(uris) > 1:
                raise Unusable("hash")  # of many files: nobody can say of what
            return await _study(event, stated, uris, tools)
    except Unusable as unusable:
        return [Verdict(stated, code=unusable.code)]
    except TimeoutError:
        return [Verdict(stated, code="no_time")]  # many images, or many films at once: a file alone is bounded below it


async def _study(event: Imaging, stated: About, uris: Sequence[str], tools: Tools) -> list[Verdict]:
    refused: list[Verdict] = []
    films: list[tuple[str, About, Film]] = []
    for uri in uris:
        async with tools.images.fetched(uri, event.pixels_sha256) as raw:
            reading = await tools.read(raw, stated, tools.rules)
        about = _joined(stated, reading.about)
        if reading.refused is not None:
            refused.append(Verdict(about, code=reading.refused))
        films += [(uri, about, film) for film in reading.films]
        if len(films) > MAX_FILMS:
            raise Unusable("study_too_large")
    return refused + await _asked(event, films, tools) if films else refused


async def _asked(event: Imaging, films: Sequence[tuple[str, About, Film]], tools: Tools) -> list[Verdict]:
    greys: list[Grey] = [film.array() for _, _, film in films]
    tensor = chest_xray.stack([chest_xray.prepare(grey) for grey in greys])
    try:
        answered = await tools.model(tensor)
        answers = chest_xray.answers(answered.outputs, len(films))
    except Contradiction:
        return [Verdict(about, film.frame, "model_output") for _, about, film in films]
    except Unusable as unusable:
        return [Verdict(about, film.frame, unusable.code) for _, about, film in films]
    verdicts = []
    for number, ((uri, about, film), grey, seen) in enumerate(zip(films, greys, answers, strict=True), start=1):
        png = await asyncio.to_thread(picture, grey, seen.activation, tools.rules.note)
        kept = await tools.images.keep(uri, f"{event.event_id}-{number}", png)
        region = chest_xray.region(seen.activation, film.height, film.width)
        verdicts.append(Verdict(about, film.frame, None, seen, answered.version, region, kept))
    return verdicts


def _joined(stated: About, read: About) -> About:
    """What is known: what the file says comes before what the event says; of ages, the one of the file."""
    merged = {
        name: getattr(stated, name) if getattr(read, name) is None else getattr(read, name)
        for name in About.__struct_fields__
    }
    return About(**merged)


def _publish(
    batch: ImagingBatch,
    cause: Received[Any],
    event: Imaging,
    verdicts: Sequence[Verdict],
    rules: Rules,
    now: datetime,
    round_: str,
) -> None:
    ids = []
    for number, verdict in enumerate(verdicts, start=1):
        finding_id = output_id(event.event_id, f"findings/{round_}/{number}")
        ids.append(finding_id)
        seen, reason = verdict.seen, None if verdict.code is None else REASONS[verdict.code]
        finding = Finding(
            event_id=finding_id,
            version=verdict.version,
            quality="ok" if verdict.code is None else "abstained",
            reason=reason,
            reason_code=verdict.code,
            probability=None if seen is None else seen.probability,
            calibrated_probability=None if seen is None else seen.calibrated_probability,
            region=verdict.region,
            saliency_uri=verdict.saliency_uri,
            series_uid=_uid(verdict.about.series_uid),
            instance_uid=_uid(verdict.about.instance_uid),
            frame=verdict.frame,
            age_years=_age(verdict.about.age_years),
            **_envelope(event, rules, now),
        )
        batch.count(m.FINDINGS, (finding.model, finding.quality, verdict.code or "none"))
        if seen is not None:
            batch.count(m.PREDICTED, (finding.model, up_to(seen.calibrated_probability)))
        batch.emit(TOPIC, event.patient_id, finding, cause)
    batch.state[event.patient_id].publish(event.event_id, tuple(ids))


def _withdraw(
    batch: ImagingBatch, cause: Received[Any], event: Imaging, findings: Sequence[UUID], rules: Rules, now: datetime
) -> None:
    """Say of findings that they hold no more."""
    for finding_id in findings:
        withdrawn = Finding(
            event_id=output_id(finding_id, "withdrawn"),
            status="cancelled",
            supersedes=finding_id,
            quality="abstained",
            reason=REASONS["withdrawn"],
            reason_code="withdrawn",
            **_envelope(event, rules, now),
        )
        batch.count(m.FINDINGS, (withdrawn.model, "abstained", "withdrawn"))
        batch.emit(TOPIC, event.patient_id, withdrawn, cause)


def _envelope(event: Imaging, rules: Rules, now: datetime) -> dict[str, Any]:
    """What every finding says, withdrawals too."""
    return {
        "source": SOURCE,
        "facility": event.facility,
        "patient_id": event.patient_id,
        "encounter_id": event.encounter_id,
        "observed_at": event.observed_at,
        "received_at": max(now.astimezone(UTC), event.received_at),
        "provenance": "derived",
        "trace": event.trace,
        "caused_by": event.event_id,
        "model": chest_xray.NAME,
        "finding": chest_xray.FINDING,
        "caveat": chest_xray.CAVEAT,
        "age_note": rules.note,
        "study_uid": event.study_uid,
    }


def _age(years: float | None) -> float | None:
    """An age that may travel: a file may hold anything."""
    bound = BOUNDS["age_years"]
    return years if years is not None and bound.low <= years <= bound.high else None


def _uid(value: str | None) -> str | None:
    """A UID of a file's header, if it is one: a file may hold anything."""
    if value is None:
        return None
    try:
        return msgspec.convert(value, Uid)
    except msgspec.ValidationError:
        return None
