"""The simulated X-ray room: whoever comes has a cubicle of its own, is filmed and leaves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from uuid import uuid4

import pytest

from wardstream.infra.failure import Failure
from wardstream.infra.feeds.films import film
from wardstream.infra.feeds.pace import Send
from wardstream.infra.feeds.radiology import EVERY, FILMED_AFTER, Shot, shots, visit
from wardstream.infra.feeds.simulator import simulate
from wardstream.schemas.admissions import Admission
from wardstream.schemas.decode import check
from wardstream.schemas.imaging import Imaging

START = datetime(2026, 3, 1, 9, tzinfo=UTC)


def test_each_comes_is_filmed_and_leaves_before_the_cubicle_is_needed_again() -> None:
    films = [Shot("file:///a.png", "0" * 64), Shot("file:///b.dcm", "1" * 64, 40.0)]
    taken: dict[str, datetime] = {}  # cubicle: free from then on
    visits = [visit(films, START + timedelta(minutes=minute), "t", uuid4) for minute in range(24 * 60)]
    for arrival, image, leaving in filter(None, visits):
        assert isinstance(arrival, Admission)
        assert isinstance(image, Imaging)
        assert isinstance(leaving, Admission)
        for event in (arrival, image, leaving):
            check(event)
        assert arrival.patient_id == image.patient_id == leaving.patient_id
        assert arrival.observed_at + FILMED_AFTER == image.observed_at < leaving.observed_at
        assert arrival.bed is not None
        assert taken.get(arrival.bed, START) <= arrival.observed_at
        taken[arrival.bed] = leaving.observed_at
        assert arrival.age_years is not None
        assert (arrival.unit == "ED") == (arrival.age_years == 40.0) == (image.pixels_uri == films[1].uri)
    assert sum(map(bool, visits)) == pytest.approx(24 * 60 * 60 / EVERY.total_seconds(), abs=1)


def test_the_hospital_sends_them_in_order() -> None:
    several = islice(simulate(seed=1, patients=4, start=START, films=[Shot("file:///a.png", "0" * 64)]), 180)
    sent = [item for step in several for item in step.items if isinstance(item, Send)]
    of_films = {item.event.event_id: item.event for item in sent if "-film-" in item.event.patient_id}
    kinds = [getattr(event, "kind", "film") for event in of_films.values()]
    assert kinds.count("admit") >= kinds.count("film") >= kinds.count("discharge") > 5


def test_ages_are_those_of_the_headers(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(film("a", START, 4))
    (tmp_path / "b.dcm").write_bytes(film("b", START, 4, PatientAge=None))
    (tmp_path / "c.dcm").write_bytes(film("c", START, 4, PatientAge="999Y"))
    (tmp_path / "d.png").write_bytes(b"not read here")
    assert [shot.age_years for shot in shots(tmp_path)] == [4.0, None, None, None]
    with pytest.raises(Failure, match="no films in"):
        shots(tmp_path / "a.dcm")
