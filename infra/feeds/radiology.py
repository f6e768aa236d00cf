"""The simulated hospital's X-ray room: every few minutes a film of a child comes, from a folder of files.

The events are invented, the files are whatever the folder holds: films drawn by code (`films`), or a site's own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, NamedTuple
from uuid import UUID

from wardstream.infra.failure import Failure
from wardstream.schemas.imaging import Imaging

EVERY: Final = timedelta(minutes=7)
SUFFIXES: Final = (".dcm", ".png", ".jpg", ".jpeg")


class Shot(NamedTuple):
    """A file with a film: where it is, and the SHA-256 of its bytes."""

    uri: str
    sha256: str


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
    return [Shot(path.resolve().as_uri(), hashlib.sha256(path.read_bytes()).hexdigest()) for path in files]


def taken(films: Sequence[Shot], at: datetime, tag: str, event_id: UUID) -> Imaging | None:
    """The film that is taken in a minute, if one is; each of its own patient."""
    number, rest = divmod(int(at.timestamp()), int(EVERY.total_seconds()))
    if not films or rest >= 60:
        return None
    film = films[number % len(films)]
    name = f"sim-{tag}-film-{number % 100_000:05d}"
    return Imaging(
        event_id=event_id,
        source="sim-radiology",
        patient_id=name,
        observed_at=at,
        received_at=at,
        provenance="device",
        study_uid=f"2.25.{int(hashlib.sha256(name.encode()).hexdigest()[:32], 16)}",
        modality="DX",
        body_part="CHEST",
        view="AP",
        procedure="Chest X-ray, portable",
        instances=1,
        pixels_uri=film.uri,
        pixels_sha256=film.sha256,
    )
