"""The simulated hospital's X-ray room: every few minutes somebody comes, is filmed, and goes home.

The events are invented, the files are whatever the folder holds: films drawn by code (`films`), or a site's own. Who
comes is as old as the film's header says, else a child, in a cubicle of its own, apart from the beds of `hospital`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final, NamedTuple
from uuid import UUID

from wardstream.infra.failure import Failure
from wardstream.infra.feeds.stay import FACILITY
from wardstream.schemas.admissions import Admission
from wardstream.schemas.bounds import BOUNDS
from wardstream.schemas.envelope import Event
from wardstream.schemas.imaging import Imaging

EVERY: Final = timedelta(minutes=7)
FILMED_AFTER: Final = timedelta(minutes=8)
STAYS_MIN: Final = (35, 60)
CUBICLES: Final = 10  # freed before its turn comes again: 10 x 7 minutes
SUFFIXES: Final = (".dcm", ".png", ".jpg", ".jpeg")
_GROWN_UP: Final = 16.0


class Shot(NamedTuple):
    """A file with a film: where it is, the SHA-256 of its bytes, and the age in years that its header says."""

    uri: str
    sha256: str
    age_years: float | None = None


def shots(folder: Path) -> list[Shot]:
    """The films of a folder, by name.

    Raises
    ------
    Failure
        There is none.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    if not files:
        raise Failure(f"no films in {folder}: files ending with {', '.join(SUFFIXES)}")
    return [_shot(path, path.read_bytes()) for path in files]


def visit(films: Sequence[Shot], at: datetime, tag: str, new_id: Callable[[], UUID]) -> tuple[Event, ...]:
    """What is sent of whoever comes in a minute, in the order of time: arrival, film, discharge; empty: nobody."""
    number, rest = divmod(int(at.timestamp()), int(EVERY.total_seconds()))
    if not films or rest >= 60:
        return ()
    film = films[number % len(films)]
    name = f"sim-{tag}-film-{number % 100_000:05d}"
    random = Random(name)
    age = random.choice((1.0, 2.0, 3.0, 4.0, 5.0)) if film.age_years is None else film.age_years
    unit = "ED" if age >= _GROWN_UP else "Paeds ED"
    cubicle = f"{unit}-X{number % CUBICLES + 1:02d}"
    filmed_at, left_at = at + FILMED_AFTER, at + timedelta(minutes=random.randint(*STAYS_MIN))

    def envelope(source: str, when: datetime) -> dict[str, Any]:
        return {
            "event_id": new_id(),
            "source": source,
            "facility": FACILITY,
            "patient_id": name,
            "encounter_id": f"{name}-1",
            "observed_at": when,
            "received_at": when,
        }

    place: dict[str, Any] = {"patient_class": "emergency", "unit": unit, "room": "X-ray", "bed": cubicle}
    arrival = Admission(
        kind="admit",
        age_years=age,
        sex=random.choice(("female", "male")),
        acuity=3,
        complaint="productive cough",
        code_status="full",
        **place,
        **envelope("sim-adt", at),
    )
    image = Imaging(
        provenance="device",
        study_uid=f"2.25.{int(hashlib.sha256(name.encode()).hexdigest()[:32], 16)}",
        modality="DX",
        body_part="CHEST",
        view="AP",
        procedure="Chest X-ray, portable",
        instances=1,
        pixels_uri=film.uri,
        pixels_sha256=film.sha256,
        **envelope("sim-radiology", filmed_at),
    )
    leaving = Admission(kind="discharge", disposition="home", **place, **envelope("sim-adt", left_at))
    return arrival, image, leaving


def _shot(path: Path, raw: bytes) -> Shot:
    return Shot(path.resolve().as_uri(), hashlib.sha256(raw).hexdigest(), _age(raw))


def _age(raw: bytes) -> float | None:
    """The age in a DICOM header, where there is one and pydicom is installed to read it."""
    try:
        from wardstream.models.imaging.dicom import DicomFile, is_dicom
    except ModuleNotFoundError:
        return None
    from wardstream.models.imaging.film import Unusable

    if not is_dicom(raw):
        return None
    try:
        age = DicomFile(raw).about.age_years
    except Unusable:
        return None
    return None if age is None or age > BOUNDS["age_years"].high else age
