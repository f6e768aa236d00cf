"""Who is shown what, and what is noted of it."""

from __future__ import annotations

import asyncio
import json
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.events import START, WELL, at, event_id, finding, lab, vitals
from tests.infra.api.serving import Known, holder
from tests.infra.board.serving import KEY, Served, served, stream
from tests.infra.board.ward import prediction, row, silenced, transition
from wardstream.agents.metrics import AUDITED, BOARD_BEGUN, BOARD_BYTES, BOARD_PATIENTS, BOARD_STREAMS, BOARD_TILES
from wardstream.infra.board.pages import HEADERS, files
from wardstream.infra.gateways.auth import Anyone
from wardstream.infra.identities import IdentitySeals
from wardstream.schemas.audit import AuditRecord
from wardstream.schemas.findings import Finding
from wardstream.schemas.flow import Ahead, Flow, Spread
from wardstream.schemas.hl7v2 import Person
from wardstream.schemas.imaging import Imaging

WHO = Known(
    holder("v4", "viewer", units=["4B"]),
    holder("vi", "viewer", units=["ICU"]),
    holder("c4", "clinician", units=["4B"]),
    holder("cw", "clinician"),
    holder("op", "operator"),
    holder("pub", "publisher"),
)


def fill(api: Served) -> None:
    """P1 in 4B, who is ill; P2 in the ICU; P3 in no bed."""
    api.wall.go(10)
    ward = api.board.ward
    for event in (
        row(),
        row("P2", "ICU"),
        vitals("v1", 1, **WELL),
        vitals("v2", 5, heart_rate_bpm=130.0),
        vitals("v3", 5, patient_id="P3", heart_rate_bpm=70.0),
        lab("k", 2, loinc="2823-3", unit="mmol/L", value=6.9, flag="HH"),
        prediction(5, 0.25),
        prediction(5, 0.9, model="risk", version="3", silent=True),
        finding("f", 3, patient_id="P1"),
    ):
        ward.apply(event)
    api.board.hear(transition("a", priority="high"))
    api.board.hear(transition("q", silent=True, condition="risk"))
    api.board.hear(transition("i", patient_id="P2", unit="ICU"))
    api.board.flush()


def names(tiles: list[dict[str, Any]]) -> list[str]:
    return sorted(tile["patient_id"] for tile in tiles)


async def test_the_page_is_a_fixed_table_with_headers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with served(WHO, monkeypatch, tmp_path) as api:
        status, index = await api.ask("GET", "/", None)
        assert (status, index) == (200, files()["index.html"].content)
        assert await api.ask("GET", "/board/index.html", None) == (200, index)
        for path in ("/board/", "/board/../routes.py", "/board/%2e%2e/routes.py", "/board//etc/passwd", "/board/x"):
            assert (await api.ask("GET", path, None))[0] == 404, path
        tag = files()["index.html"].tag
        assert await api.ask("GET", "/", None, **{"If-None-Match": f'W/"x", {tag}'}) == (304, b"")


def test_what_the_page_may_load() -> None:
    policy = HEADERS["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "*" not in policy
    assert "http" not in policy


async def test_a_stream_tells_how_it_is_then_what_changes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with served(WHO, monkeypatch, tmp_path) as api:
        fill(api)
        async with stream(api, "v4") as heard:
            name, reset = await heard.next()
            assert (name, reset["units"], names(reset["tiles"])) == ("reset", ["4B"], ["P1"])
            assert heard.id is None  # who is cut off here has not been told the alerts
            name, alerts = await heard.next()
            assert name == "alerts"
            assert [(one["patient_id"], one["silent"]) for one in alerts["changed"]] == [("P1", False)]
            assert heard.id == f"{api.board.epoch}-{api.board.version}"
            beat = await heard.until("beat")
            assert (beat["at"], beat["source_ok"]) == ("2026-03-01T08:10:00Z", False)
            await heard.until("system")
            api.board.ward.apply(vitals("v9", 9, patient_id="P2", heart_rate_bpm=50.0))
            api.board.ward.apply(vitals("v4", 9, heart_rate_bpm=99.0))
            api.board.flush()
            changed = await heard.until("tiles")
            assert names(changed["changed"]) == ["P1"]
            assert changed["changed"][0]["values"]["heart_rate_bpm"]["value"] == 99.0
            api.board.ward.apply(row(state="left", left_at=at(9), left_to="ICU", minutes=9, since=at(0)))
            api.board.ward.apply(row(unit="ICU", minutes=9))
            api.board.hear(transition("a", 2, unit="ICU", left="4B"))
            api.board.flush()
            assert (await heard.until("tiles"))["gone"] == ["P1"]
            gone = await heard.until("alerts")
            assert (gone["changed"], len(gone["gone"])) == ([], 1)


async def test_who_comes_back_is_told_what_changed_or_all_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with served(WHO, monkeypatch, tmp_path) as api:
        fill(api)
        async with stream(api, "cw") as heard:
            await heard.next()
            await heard.next()
            last = heard.id
        api.board.ward.apply(vitals("v5", 9, heart_rate_bpm=99.0))
        api.board.flush()
        async with stream(api, "cw", last=last) as heard:
            name, changed = await heard.next()
            assert (name, names(changed["changed"]), changed["gone"]) == ("tiles", ["P1"], [])
            now = heard.id
        async with stream(api, "cw", last=now) as heard:
            assert (await heard.next())[0] == "beat"
        epoch = api.board.epoch
        for other in ("0-1", f"{epoch}-", f"{epoch}-99999", f"{epoch}-x", "x" * 500, f"{epoch}--1"):
            async with stream(api, "cw", last=other) as heard:
                name, reset = await heard.next()
                assert (name, names(reset["tiles"])) == ("reset", ["P1", "P2"]), other


async def test_streams_of_some_units_and_of_operators(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with served(WHO, monkeypatch, tmp_path) as api:
        fill(api)

        async def told(who: str, query: str = "") -> tuple[list[str], list[bool]]:
            async with stream(api, who, query) as heard:
                _, reset = await heard.next()
                _, alerts = await heard.next()
                return names(reset["tiles"]), sorted(one["silent"] for one in alerts["changed"])

        assert await told("cw") == (["P1", "P2"], [False, False])
        assert await told("cw", "?unit=ICU") == (["P2"], [False])
        assert await told("vi") == (["P2"], [False])
        assert await told("op") == (["P1", "P2"], [False, False, True])
        assert await told("op", "?unit=4B&unit=ICU") == (["P1", "P2"], [False, False, True])
        for who, query, status in (
            (None, "", 401),
            ("nobody", "", 401),
            ("pub", "", 403),
            ("v4", "?unit=ICU", 403),
        ):
            assert (await api.ask("GET", f"/v1/board/stream{query}", who))[0] == status


async def test_a_stream_ends_with_its_token(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from wardstream.infra.board import streams

    monkeypatch.setattr(streams, "BEAT_S", 0.05)
    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.05)
    known = Known(*WHO.holders.values())
    async with served(known, monkeypatch, tmp_path) as api:
        fill(api)
        async with stream(api, "v4") as heard:
            await heard.next()
            del known.holders["v4"]
            with pytest.raises(EOFError):
                await heard.until("never")
        assert not api.board.told


async def test_without_tokens_no_browser_is_let_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with served(Anyone("viewer", "clinician", "operator"), monkeypatch, tmp_path) as api:
        assert (await api.ask("GET", "/", None))[0] == 200
        assert (await api.ask("GET", "/v1/board/me", None))[0] == 200
        for headers in ({"Origin": api.url}, {"Sec-Fetch-Mode": "cors"}, {"Host": "ward.example"}):
            assert (await api.ask("GET", "/v1/board/me", None, **headers))[0] == 403


async def test_who_one_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with served(WHO, monkeypatch, tmp_path) as api:
        status, me = await api.ask("GET", "/v1/board/me", "c4")
        assert (status, me) == (
            200,
            {"name": "c4", "roles": ["clinician"], "units": ["4B"], "names": True, "sources": []},
        )
        assert (await api.ask("GET", "/v1/board/me", "op"))[1]["names"] is False


async def test_a_patients_day_and_a_look_is_noted_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with served(WHO, monkeypatch, tmp_path) as api:
        fill(api)
        answers = await asyncio.gather(*(api.ask("GET", "/v1/board/patients/P1", "v4") for _ in range(5)))
        assert [status for status, _ in answers] == [200] * 5
        found = answers[0][1]
        assert found["tile"]["patient_id"] == found["patient_id"] == "P1"
        assert found["vitals"]["heart_rate_bpm"] == [["2026-03-01T08:01:00Z", 72.0], ["2026-03-01T08:05:00Z", 130.0]]
        assert found["labs"]["potassium_mmol_per_l"] == {
            "unit": "mmol/L",
            "points": [["2026-03-01T08:02:00Z", 6.9, "HH", False]],
        }
        (sepsis,) = found["predictions"]  # the other one is silent
        assert (sepsis["model"], sepsis["points"]) == ("sepsis", [["2026-03-01T08:05:00Z", 0.25, "ok"]])
        words = sepsis["latest"]["contributions"][0]["words"]
        assert words == "Respiratory rate 28/min (12 min old) raises the risk"
        assert (found["findings"][0]["caveat"], found["findings"][0]["image"]) == ("a test", False)
        (life,) = found["alerts"]
        assert life["marks"] == [["2026-03-01T08:01:00Z", "raised", "high"]]
        assert found["moves"] == [["2026-03-01T08:00:00Z", "4B", "1"]]
        assert [(one.who, one.what, one.patient_id) for one in api.audit] == [("v4", "patient_shown", "P1")]
        whole = (await api.ask("GET", "/v1/board/patients/P1", "op"))[1]
        assert [one["model"] for one in whole["predictions"]] == ["risk", "sepsis"]
        assert len(whole["alerts"]) == 2
        assert [one.who for one in api.audit] == ["v4", "op"]


async def test_patients_of_other_units_are_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with served(WHO, monkeypatch, tmp_path) as api:
        fill(api)
        for path in ("", "/looks", "/name"):
            assert (await api.ask("GET", f"/v1/board/patients/P2{path}", "c4"))[0] == 404
            assert (await api.ask("GET", f"/v1/board/patients/P3{path}", "c4"))[0] == 404
        assert (await api.ask("GET", "/v1/board/patients/P3", "cw"))[1]["tile"] is None
        assert (await api.ask("GET", "/v1/board/patients/nobody", "cw"))[0] == 404
        assert (await api.ask("GET", "/v1/board/patients/P1", "pub"))[0] == 403
        for hours in ("0", "25", "x", "-1", "9" * 5000):
            status, problem = await api.ask("GET", f"/v1/board/patients/P1?hours={hours}", "c4")
            assert (status, problem.get("fields")) == (422, ["hours"])
        assert [(one.who, one.patient_id) for one in api.audit] == [("cw", "P3")]


async def test_what_the_audit_does_not_take_is_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with served(WHO, monkeypatch, tmp_path) as api:
        fill(api)
        api.audit_works = False
        asked = (api.ask("GET", "/v1/board/patients/P1", who) for who in ("v4", "c4", "op"))
        for status, problem in await asyncio.gather(*asked):
            assert (status, list(problem)) == (503, ["detail"])
        api.audit_works = True
        assert (await api.ask("GET", "/v1/board/patients/P1", "v4"))[0] == 200


async def test_names_are_for_clinicians_and_each_is_noted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with served(WHO, monkeypatch, tmp_path) as api:
        fill(api)
        seals = IdentitySeals([KEY])
        for patient, born in (("P1", date(1951, 2, 3)), ("P2", None)):
            person = Person(
                patient_id=patient, authority="n", number=f"88{patient}", family="Muster", given="Eva", birth_date=born
            )
            api.board.ward.identity(patient, seals.seal(person, "icu", START))
        assert await api.ask("GET", "/v1/board/patients/P1/name", "c4") == (
            200,
            {"name": "Muster, Eva", "second": {"kind": "born", "value": "1951-02-03"}},
        )
        for who in ("v4", "op"):
            assert (await api.ask("GET", "/v1/board/patients/P1/name", who))[0] == 403
            assert (await api.ask("POST", "/v1/board/names", who, {"patients": ["P1"]}))[0] == 403
        assert len(api.audit) == 1
        status, found = await api.ask("POST", "/v1/board/names", "c4", {"patients": ["P1", "P2", "nobody"]})
        assert (status, list(found["names"])) == (200, ["P1"])
        status, found = await api.ask("POST", "/v1/board/names", "cw", {"patients": ["P2", "P1"]})
        assert found["names"]["P2"]["second"] == {"kind": "number", "value": "88P2"}
        assert sorted((one.who, one.what, one.patient_id) for one in api.audit) == [
            ("c4", "identity_shown", "P1"),
            ("cw", "identity_shown", "P1"),
            ("cw", "identity_shown", "P2"),
        ]
        for body in ({"patients": []}, {"patients": ["P1"] * 65}, {"patients": ["a b"]}, {}, {"patients": "P1"}):
            assert (await api.ask("POST", "/v1/board/names", "c4", body))[0] == 422


async def test_who_looked_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with served(WHO, monkeypatch, tmp_path) as api:
        fill(api)
        assert (await api.ask("GET", "/v1/board/patients/P1/looks", "v4"))[0] == 403
        assert await api.ask("GET", "/v1/board/patients/P1/looks", "c4") == (200, {"looks": []})


async def test_films_are_for_who_may_see_the_patient(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Shown:
        def may_show(self, uri: str) -> bool:
            return uri.startswith("file:///films/")

        async def film(self, image: Imaging, finding: Finding) -> bytes:
            return f"{image.pixels_uri} {finding.finding}".encode()

        async def saliency(self, finding: Finding) -> bytes:
            return b"saliency"

    async with served(WHO, monkeypatch, tmp_path, Shown()) as api:
        fill(api)
        api.board.ward.apply(
            Imaging(
                event_id=event_id("film"),
                source="test",
                patient_id="P1",
                observed_at=at(2),
                received_at=at(2),
                study_uid="1.2",
                modality="DX",
                pixels_uri="file:///films/1.png",
            )
        )
        (told,) = (await api.ask("GET", "/v1/board/patients/P1", "v4"))[1]["findings"]
        assert (told["image"], told["saliency"]) == (True, False)
        path = f"/v1/board/findings/{told['finding_id']}"
        assert await api.ask("GET", f"{path}/image", "v4") == (200, b"file:///films/1.png pneumonia")
        assert await api.ask("GET", f"{path}/saliency", "c4") == (200, b"saliency")
        assert (await api.ask("GET", f"{path}/image", "vi"))[0] == 404
        assert (await api.ask("GET", f"/v1/board/findings/{uuid4()}/image", "cw"))[0] == 404
        assert (await api.ask("GET", "/v1/board/findings/x/image", "cw"))[0] == 404
        assert [(one.who, one.what) for one in api.audit] == [("v4", "patient_shown"), ("c4", "patient_shown")]


def an_hour(unit: str, hour: int, census: int, **fields: Any) -> Flow:
    begin = START + timedelta(hours=hour)
    return Flow(
        event_id=event_id(f"{unit} {hour} {sorted(fields)}"),
        source="wardstream",
        unit=unit,
        hour_from=begin,
        observed_at=begin + timedelta(hours=1),
        received_at=begin + timedelta(hours=1),
        census=census,
        **fields,
    )


async def test_flow_of_the_units_that_one_sees(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with served(WHO, monkeypatch, tmp_path) as api:
        spread = Spread(mean=2.0, quantiles=(0, 0, 1, 2, 3, 4, 5))
        ahead = (Ahead(horizon_h=4, arrivals=spread, discharges=spread, beds=spread),)
        for hour in range(100):
            api.parts.flows.take(an_hour("4B", hour, hour, admissions=1, transfers_out=2))
        api.parts.flows.take(an_hour("4B", 100, 7, ahead=ahead, course=(1.0,), staffed=20, peak_h=4))
        api.parts.flows.take(an_hour("4B", 99, 55, status="corrected"))
        api.parts.flows.take(an_hour("ICU", 99, 3))
        api.parts.flows.take(an_hour("old", 98, 3))
        api.parts.flows.take(an_hour("old", 99, 0, ended=True))
        status, found = await api.ask("GET", "/v1/board/flow", "v4")
        assert (status, [one["unit"] for one in found["units"]]) == (200, ["4B"])
        (unit,) = found["units"]
        assert len(unit["hours"]) == 72
        assert unit["hours"][-2] == ["2026-03-05T11:00:00Z", 55, 0, 0]
        assert unit["hours"][-3] == ["2026-03-05T10:00:00Z", 98, 1, 2]
        assert (unit["census"], unit["staffed"], unit["peak_h"], unit["course"]) == (7, 20, 4, [1.0])
        assert unit["made_at"] == "2026-03-05T13:00:00Z"
        assert unit["ahead"][0]["beds"]["quantiles"] == [0, 0, 1, 2, 3, 4, 5]
        assert unit["ahead"][0]["full"] is None
        assert [one["unit"] for one in (await api.ask("GET", "/v1/board/flow", "cw"))[1]["units"]] == ["4B", "ICU"]


async def test_models_are_told_to_operators(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with served(WHO, monkeypatch, tmp_path) as api:
        (tmp_path / "sepsis" / "1").mkdir(parents=True)
        (tmp_path / "sepsis" / "1" / "model.onnx").write_bytes(b"")
        (tmp_path / "sepsis" / "config.pbtxt").write_text("version_policy: { specific: { versions: [ 1 ] } }")
        api.board.ward.control(silenced("4B"))
        api.parts.models.deed(
            AuditRecord(
                sequence=0, previous="0" * 64, at=START, who="m", what="model_silenced", model="sepsis", why="w"
            )
        )
        _, found = await api.ask("GET", "/v1/board/models", "op")
        (sepsis,) = found["models"]
        assert sepsis["versions"] == [{"version": "1", "state": "serving", "since": None}]
        assert sepsis["silent_in"] == ["4B"]
        assert [(one["who"], one["what"]) for one in found["log"]] == [("m", "model_silenced")]
        _, told = await api.ask("GET", "/v1/board/models", "cw")
        assert "silenced" not in json.dumps(told)
        assert list(told["models"][0]) == ["name", "kind", "versions"]


async def test_boards_are_counted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async with served(WHO, monkeypatch, tmp_path) as api:
        fill(api)
        meters = api.board.meters
        async with stream(api, "op") as board:
            await board.until("system") if (await board.next())[0] == "reset" else None
            api.board.look()
            assert meters.values[BOARD_STREAMS, ()] == 1
        async with stream(api, "op", last=board.id) as board:
            await board.next()
        assert (meters.values[BOARD_BEGUN, ("new",)], meters.values[BOARD_BEGUN, ("resumed",)]) == (1, 1)
        assert meters.values[BOARD_TILES, ()] == 2
        assert meters.values[BOARD_PATIENTS, ()] == 3
        assert meters.values[BOARD_BYTES, ()] > 1000
        assert (await api.ask("GET", "/v1/board/patients/P1", "c4"))[0] == 200
        assert meters.values[AUDITED, ("patient_shown",)] == 1
