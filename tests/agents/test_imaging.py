"""imaging.v1: each film gets an answer with its caveat, or a reason why not; what time may mend is tried again."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.agents.apps import unconnected_app
from tests.events import _made, tick
from wardstream.agents.imaging import Answered, Tools
from wardstream.agents.streams.batch import Batch, Received, lane_agent
from wardstream.agents.streams.outputs import Outputs
from wardstream.agents.streams.state import LaneState, Work
from wardstream.infra.feeds.films import film, uid
from wardstream.infra.imaging_files import SALIENCY_SUFFIX
from wardstream.infra.worker import IMAGING
from wardstream.models.chest_xray import CAVEAT, CELLS, Tensor
from wardstream.models.imaging.film import About, Reading, Unusable
from wardstream.models.imaging.reading import read
from wardstream.models.imaging.state import TRIES, ImagingCodec, ImagingPatient
from wardstream.models.imaging.suitability import Rules
from wardstream.schemas.decode import decode, decoder, encode
from wardstream.schemas.findings import Finding
from wardstream.schemas.imaging import Imaging
from wardstream.schemas.ticks import Tick

NOW = datetime(2026, 3, 1, 8, tzinfo=UTC)
URI = "file:///srv/images/a.dcm"


class Site:
    """Stores, readers and a model, without processes and networks. `files` by URI; `faults` are raised instead."""

    def __init__(self, rules: Rules = Rules()) -> None:  # noqa: B008 - frozen
        self.files: dict[str, bytes] = {URI: film("a", NOW, 3, "left")}
        self.folders: dict[str, list[str]] = {}
        self.kept: dict[str, bytes] = {}
        self.fault: Exception | None = None
        self.model_fault: Exception | None = None
        self.asked: list[Tensor] = []
        self.tools = Tools(images=self, read=self.read, model=self.model, rules=rules)

    async def images(self, uri: str) -> list[str]:
        return self.folders.get(uri, [uri])

    @asynccontextmanager
    async def fetched(self, uri: str, sha256: str | None) -> AsyncIterator[bytes]:
        if self.fault is not None:
            raise self.fault
        if uri not in self.files:
            raise Unusable("not_found")
        yield self.files[uri]

    async def keep(self, uri: str, name: str, png: bytes) -> str | None:
        self.kept[name] = png
        return f"file:///srv/saliency/{name}.png"

    async def read(self, raw: bytes, stated: About, rules: Rules) -> Reading:
        return read(raw, stated, rules)

    async def model(self, films: Tensor) -> Answered:
        self.asked.append(films)
        if self.model_fault is not None:
            raise self.model_fault
        activation = np.zeros((len(films), CELLS, CELLS), np.float32)
        activation[:, 4, 4] = 98
        probability = np.full((len(films), 1), 1 / (1 + np.exp(-2)), np.float32)
        return Answered(
            "7", {"activation": activation, "probability": probability, "calibrated_probability": probability * 0.5}
        )


class Lane:
    """A lane of the imaging group without Kafka: the worker's table of handlers, run as Faust agents."""

    def __init__(self, site: Site) -> None:
        app = unconnected_app()
        self._agents = {topic: lane_agent(app, topic, make(site.tools), 1) for topic, make in IMAGING.items()}
        app.finalize()
        app.flow_control.resume()
        self.rows: dict[bytes, bytes] = {}
        self.state: LaneState[ImagingPatient] = LaneState(ImagingCodec(), {})
        self.counts: Counter[tuple[str, tuple[str, ...]]] = Counter()

    async def give(self, *events: Imaging | Tick) -> list[Finding]:
        """Apply events of one topic as one batch; what they led to."""
        work, outputs = Work(self.state), Outputs(0)
        received = [Received[Any](event, number, 1_000) for number, event in enumerate(events)]
        topic = "ticks.v1" if isinstance(events[0], Tick) else "imaging.v1"
        batch: Batch[Any, ImagingPatient] = Batch(topic, received, work, outputs, encode)
        batch.handled = asyncio.get_running_loop().create_future()
        async with self._agents[topic].test_context() as running:
            await running.put(batch, wait=False)
            await asyncio.wait_for(batch.handled, 60)
        for (metric, labels), number in outputs.counts.items():
            self.counts[metric.name, labels] += number
        for key, row in self.state.absorb(work):
            if row is None:
                self.rows.pop(key, None)
            else:
                self.rows[key] = row
        decode: Any = decoder("findings.v1")  # as any consumer would
        assert {topic for topic, _ in outputs.rows} <= {"findings.v1"}  # above all no alert
        found = [decode(row.value) for rows in outputs.rows.values() for row in rows]
        assert all(row.key == b"P1" for rows in outputs.rows.values() for row in rows)
        return found

    def restart(self) -> None:
        self.state = LaneState(ImagingCodec(), self.rows)


def imaging(name: str, minutes: float = 0, **fields: Any) -> Imaging:
    about = {"study_uid": uid("a/study"), "modality": "DX", "pixels_uri": URI}
    return _made(Imaging, name, minutes, None, about | fields)


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.fixture
def lane(site: Site) -> Lane:
    return Lane(site)


async def test_a_film_is_judged(site: Site, lane: Lane) -> None:
    event = imaging("i", facility="north", encounter_id="e1")
    (finding,) = await lane.give(event)
    assert (finding.quality, finding.reason, finding.version, finding.finding) == ("ok", None, "7", "pneumonia")
    assert finding.probability == pytest.approx(0.881, abs=0.001)
    assert finding.calibrated_probability == pytest.approx(0.440, abs=0.001)
    assert finding.caveat == CAVEAT
    assert "28×28 triage, children of 1–5 years" in finding.caveat
    assert finding.region is not None
    assert (finding.region.left, finding.region.bottom) == pytest.approx((4 / 7, 5 / 7), abs=0.01)
    assert (finding.caused_by, finding.facility, finding.encounter_id) == (event.event_id, "north", "e1")
    assert (finding.instance_uid, finding.age_years, finding.age_note) == (uid("a/instance"), 3, None)
    assert finding.saliency_uri == f"file:///srv/saliency/{event.event_id}-1.png"
    assert site.kept[f"{event.event_id}-1"].startswith(b"\x89PNG")
    (asked,) = site.asked
    assert asked.shape == (1, 1, 28, 28)


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({"PatientAge": "044Y"}, "age"),
        ({"PatientAge": None}, "age_unknown"),
        ({"Modality": "CT"}, "modality"),
        ({"ViewPosition": "LL"}, "view"),
        ({"BodyPartExamined": "HAND"}, "body_part"),
        ({"PixelData": b"\0\0"}, "unreadable"),
    ],
)
async def test_what_is_not_suitable_abstains(site: Site, lane: Lane, header: dict[str, Any], code: str) -> None:
    site.files[URI] = film("a", NOW, 3, **header)
    (finding,) = await lane.give(imaging("i"))
    assert (finding.quality, finding.reason_code, finding.probability, finding.version) == (
        "abstained",
        code,
        None,
        None,
    )
    assert finding.reason is not None
    assert finding.caveat == CAVEAT
    assert site.asked == []


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"modality": "CT"}, "modality"),
        ({"body_part": "Skull"}, "body_part"),
        ({"age_years": 61}, "age"),
        ({"pixels_uri": None}, "no_pixels"),
    ],
)
async def test_what_the_event_rules_out_is_never_fetched(
    site: Site, lane: Lane, fields: dict[str, Any], code: str
) -> None:
    site.fault = AssertionError("fetched")
    (finding,) = await lane.give(imaging("i", **fields))
    assert finding.reason_code == code


async def test_a_site_that_widened_the_ages_says_so_in_every_finding() -> None:
    site = Site(Rules(youngest=1, oldest=17))
    lane = Lane(site)
    site.files[URI] = film("a", NOW, 12)
    (judged,) = await lane.give(imaging("i"))
    (abstained,) = await lane.give(imaging("j", modality="CT"))
    (withdrawn,) = await lane.give(imaging("k", 5, status="cancelled", supersedes="i"))
    assert [each.quality for each in (judged, abstained, withdrawn)] == ["ok", "abstained", "abstained"]
    assert withdrawn.status == "cancelled"
    for finding in (judged, abstained, withdrawn):
        assert finding.age_note is not None
        assert "1–17" in finding.age_note


async def test_every_instance_of_a_study_is_judged(site: Site, lane: Lane) -> None:
    study = "file:///srv/images/study"
    site.folders[study] = [URI, "file:///srv/images/b.dcm", "file:///srv/images/c"]
    site.files["file:///srv/images/b.dcm"] = film("b", NOW, 3, ViewPosition="LL")
    site.files["file:///srv/images/c"] = b"no image"
    found = await lane.give(imaging("i", pixels_uri=study))
    assert [finding.reason_code for finding in found] == ["view", "not_an_image", None]
    assert len({finding.event_id for finding in found}) == 3


async def test_ids_follow_from_the_input(site: Site) -> None:
    first, again = await Lane(site).give(imaging("i")), await Lane(site).give(imaging("i"))
    assert first == again


async def test_a_film_that_comes_later_is_judged_then(site: Site, lane: Lane) -> None:
    raw = site.files.pop(URI)
    (abstained,) = await lane.give(imaging("i"))
    assert abstained.reason_code == "not_found"
    assert await lane.give(tick(0.5)) == []
    assert await lane.give(tick(1)) == []  # tried, and still not there
    lane.restart()
    site.files[URI] = raw
    assert await lane.give(tick(2)) == []  # the next try is two minutes after the first
    withdrawn, judged = await lane.give(tick(3))
    assert (withdrawn.status, withdrawn.supersedes, withdrawn.reason_code) == (
        "cancelled",
        abstained.event_id,
        "withdrawn",
    )
    assert (judged.quality, judged.caused_by, judged.received_at) == ("ok", abstained.caused_by, tick(3).observed_at)
    assert await lane.give(tick(60)) == []


async def test_a_model_server_that_is_away(site: Site, lane: Lane) -> None:
    site.model_fault = Unusable("model_unavailable")
    (abstained,) = await lane.give(imaging("i"))
    assert (abstained.quality, abstained.reason_code) == ("abstained", "model_unavailable")
    site.model_fault = None
    _, judged = await lane.give(tick(1))
    assert judged.quality == "ok"


async def test_tries_end(site: Site, lane: Lane) -> None:
    site.files.clear()
    await lane.give(imaging("i"))
    for minutes in range(1, 24 * 60):
        assert await lane.give(tick(minutes)) == []
        if not lane.state.decoded("P1").pending:
            break
    assert len(lane.state.decoded("P1").pending) == 0
    assert 6 * 60 < minutes < 12 * 60
    assert TRIES == 12


async def test_a_withdrawn_film_takes_its_findings_with_it(lane: Lane) -> None:
    (judged,) = await lane.give(imaging("i"))
    (withdrawn,) = await lane.give(imaging("k", 5, status="cancelled", supersedes="i"))
    assert (withdrawn.status, withdrawn.supersedes, withdrawn.probability) == ("cancelled", judged.event_id, None)


async def test_withdrawn_before_it_came(lane: Lane) -> None:
    assert await lane.give(imaging("k", 5, status="cancelled", supersedes="i")) == []
    assert await lane.give(imaging("i", 6)) == []


async def test_a_corrected_film_is_judged_anew(site: Site, lane: Lane) -> None:
    (first,) = await lane.give(imaging("i"))
    withdrawn, judged = await lane.give(imaging("c", 5, status="corrected", supersedes="i", body_part="CHEST"))
    assert withdrawn.supersedes == first.event_id
    assert (judged.quality, judged.event_id != first.event_id) == ("ok", True)


async def test_an_answer_that_contradicts_itself_is_not_given(site: Site, lane: Lane) -> None:
    async def wrong(films: Tensor) -> Answered:
        return Answered("7", {"probability": np.ones((1, 1))})

    lane = Lane(site)
    object.__setattr__(site.tools, "model", wrong)
    (finding,) = await lane.give(imaging("i"))
    assert finding.reason_code == "model_output"


async def test_a_slow_store_is_told_and_does_not_hold_its_neighbours(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("wardstream.agents.imaging.EVENT_DEADLINE_S", 0.5)
    lane, slow = Lane(site), "s3://images/slow"
    fetched = site.fetched

    @asynccontextmanager
    async def waits(uri: str, sha256: str | None) -> AsyncIterator[bytes]:
        if uri == slow:
            await asyncio.sleep(10)
        async with fetched(uri, sha256) as raw:
            yield raw

    monkeypatch.setattr(site, "fetched", waits)
    found = await lane.give(imaging("i", pixels_uri=slow), imaging("j"))
    assert [finding.reason_code for finding in found] == ["no_time", None]
    site.files[slow] = site.files[URI]
    monkeypatch.setattr(site, "fetched", fetched)
    withdrawn, judged = await lane.give(tick(1))  # a burst of films, or a store that was slow, is over some time
    assert (withdrawn.reason_code, judged.quality) == ("withdrawn", "ok")


async def test_what_the_model_says_is_counted(site: Site, lane: Lane) -> None:
    """Abstained share and distribution, as of every model."""
    await lane.give(imaging("i"), imaging("j", modality="CT"))
    assert lane.counts["findings_total", ("chest_xray", "ok", "none")] == 1
    assert lane.counts["findings_total", ("chest_xray", "abstained", "modality")] == 1
    told = {labels: count for (name, labels), count in lane.counts.items() if name == "predicted_probability_total"}
    assert told == {("chest_xray", "0.5"): 1}


def test_the_example_says_what_every_finding_says() -> None:
    raw = Path(__file__).resolve().parents[2] / "schemas" / "examples" / "findings.v1.json"
    example: Any = decode("findings.v1", raw.read_bytes())
    assert (example.caveat, example.age_note) == (CAVEAT, Rules(oldest=8).note)
    assert example.saliency_uri == f"file:///srv/saliency/{example.caused_by}-1{SALIENCY_SUFFIX}"


async def test_what_nobody_expects_reaches_the_lane(site: Site, lane: Lane) -> None:
    site.fault = RuntimeError("the name of a patient")
    with pytest.raises(RuntimeError):
        await lane.give(imaging("i"))


async def test_a_header_that_lies_does_not_spoil_the_finding(site: Site, lane: Lane) -> None:
    site.files[URI] = film("a", NOW, 3, SeriesInstanceUID="not a uid", PatientAge="999Y")
    (finding,) = await lane.give(imaging("i"))
    assert (finding.reason_code, finding.series_uid, finding.age_years) == ("age", None, None)


async def test_patients_are_forgotten_after_a_month(lane: Lane) -> None:
    await lane.give(imaging("i"))
    await lane.give(tick(30 * 24 * 60 - 1))
    assert b"p\0P1" in lane.rows
    await lane.give(tick(30 * 24 * 60))
    assert b"p\0P1" not in lane.rows
