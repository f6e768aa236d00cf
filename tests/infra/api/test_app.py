"""What the API tells whom, and what it refuses."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import jsonschema
import pytest

from tests.alerts import alert
from tests.infra.api.serving import Known, holder, served
from wardstream.agents.metrics import ALERTS_OPEN, API_REQUESTS, AUDITED
from wardstream.infra.gateways.auth import Anyone
from wardstream.schemas.acknowledgements import Acknowledgement
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.directives import Directive

WHO = Known(
    holder("v4", "viewer", units=["4B"]),
    holder("c4", "clinician", units=["4B"]),
    holder("cw", "clinician"),
    holder("op", "operator"),
    holder("pub", "publisher"),
)
ACK = {"action": "acknowledge", "seen": 1}


def later(hours: float) -> str:
    return (datetime.now(UTC) + timedelta(hours=hours)).isoformat()


async def test_a_viewer_sees_its_unit_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(WHO, monkeypatch) as api:
        here, there, nowhere = alert("here"), alert("there", unit="ICU"), alert("nowhere", unit=None)
        for one in (here, there, nowhere):
            api.put(one)
        api.put(alert("quiet"), silent=True)

        async def listed(who: str, query: str = "") -> list[str]:
            status, found = await api.ask("GET", f"/v1/alerts{query}", who)
            assert status == 200
            return sorted(one["patient_id"] for one in found["alerts"] + found["silent"])

        assert await listed("v4") == ["p-here"]
        assert await listed("op") == ["p-here", "p-nowhere", "p-there"]
        assert await listed("op", "?silent=true") == ["p-here", "p-nowhere", "p-quiet", "p-there"]
        assert await listed("op", "?units=ICU&units=5C") == ["p-there"]
        assert await listed("op", "?patients=p-here&priorities=high") == []
        for who, path, expected in (
            (None, "", 401),
            ("stranger", "", 401),
            ("pub", "", 403),
            ("v4", "?silent=true", 403),
            ("v4", "?units=ICU", 403),
            ("v4", f"/{there.alert_id}", 404),
            ("v4", f"/{nowhere.alert_id}", 404),
            ("v4", f"/{uuid4()}", 404),
            ("v4", "/x", 404),
            ("v4", f"/{here.alert_id}", 200),
            ("op", f"/{there.alert_id}", 200),
        ):
            assert (await api.ask("GET", f"/v1/alerts{path}", who))[0] == expected, (who, path)


async def test_a_patient_who_moves_is_listed_where_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(Known(*WHO.holders.values(), holder("vi", "viewer", units=["ICU"])), monkeypatch) as api:
        first = alert("m")
        for step in (first, alert("m", 2), alert("m", 3, unit="ICU")):
            api.put(step)
        for who, numbers in (("v4", [1, 2]), ("vi", [3]), ("op", [1, 2, 3])):
            _, found = await api.ask("GET", f"/v1/alerts/{first.alert_id}", who)
            assert [one["number"] for one in found["transitions"]] == numbers
        assert (await api.ask("GET", "/v1/alerts", "v4"))[1]["alerts"] == []
        assert [one["number"] for one in (await api.ask("GET", "/v1/alerts", "vi"))[1]["alerts"]] == [3]
        assert (await api.ask("POST", f"/v1/alerts/{first.alert_id}/answers", "c4", ACK))[0] == 404


async def test_an_answer_is_audited_then_published_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(WHO, monkeypatch) as api:
        merged = alert("a", 2, patient_id="p-survives")
        api.put(alert("a"))
        api.put(merged)
        path, given = f"/v1/alerts/{merged.alert_id}/answers", str(uuid4())
        body: dict[str, Any] = {"action": "snooze", "seen": 2, "snooze_until": later(1), "event_id": given}
        first = await api.ask("POST", path, "c4", body)
        again = await api.ask("POST", path, "c4", body)
        other = await api.ask("POST", path, "c4", {"action": "resolve", "seen": 2, "event_id": given})
        assert other[0] == 409, "nobody must believe that it was resolved"
        others = await api.ask("POST", path, "cw", body)  # the same number of somebody else is another answer
        assert first[0] == 200
        assert first == again
        assert others[1] != first[1]
        assert first[1]["event_id"] != given  # nobody can choose the id of another event
        assert [(said["what"], said["who"], said["about"]) for said in api.audit] == [
            ("alert_snoozed", "c4", str(merged.alert_id)),
            ("alert_snoozed", "cw", str(merged.alert_id)),
        ]
        kept = [(topic, key, decoder_of(Acknowledgement)(value)) for topic, key, value, _ in api.way.kept]
        assert [(topic, key) for topic, key, _ in kept] == [("acknowledgements.v1", "p-survives")] * 2
        assert (kept[0][2].actor, kept[0][2].seen, kept[0][2].alert_id) == ("c4", 2, merged.alert_id)


async def test_what_cannot_be_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(WHO, monkeypatch) as api:
        one = alert("a")
        api.put(one)
        ended = alert("e", 4)
        api.put(ended)
        for who, body, expected, fields in (
            ("v4", ACK, 403, None),
            ("op", ACK, 403, None),
            ("pub", ACK, 403, None),
            (None, ACK, 401, None),
            ("c4", {"action": "snooze", "seen": 1}, 422, ["snooze_until"]),
            ("c4", {"action": "snooze", "seen": 1, "snooze_until": later(30)}, 422, ["snooze_until"]),
            ("c4", {"action": "hand_over", "seen": 1}, 422, ["handed_to"]),
            ("c4", {"action": "rate", "seen": 1}, 422, ["useful"]),
            ("c4", {"action": "forgive", "seen": 1}, 422, ["action"]),
            ("c4", {"action": "acknowledge"}, 422, ["seen"]),
            ("c4", {"action": "acknowledge", "seen": 2}, 422, ["seen"]),
            ("c4", {**ACK, "name": "Meier"}, 422, None),
            ("c4", b"{Meier", 422, None),
            ("c4", b"x" * 70_000, 413, None),
        ):
            status, found = await api.ask("POST", f"/v1/alerts/{one.alert_id}/answers", who, body)
            assert status == expected, body
            assert "Meier" not in json.dumps(found)
            if fields is not None:
                assert found["fields"] == fields
        path = f"/v1/alerts/{ended.alert_id}/answers"
        assert (await api.ask("POST", path, "c4", {"action": "resolve", "seen": 4}))[0] == 409
        assert (await api.ask("POST", path, "c4", {"action": "rate", "seen": 4, "useful": False}))[0] == 200
        assert [said["what"] for said in api.audit] == ["alert_rated"]
        assert len(api.way.kept) == 1


async def test_orders_about_a_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(WHO, monkeypatch) as api:
        api.put(alert("a"))
        comfort = {"kind": "comfort_care", "expires_at": later(24), "why": "as agreed"}
        path = "/v1/patients/{}/directives"
        assert (await api.ask("POST", path.format("p-a"), "c4", comfort))[0] == 200
        assert (await api.ask("POST", path.format("p-elsewhere"), "c4", comfort))[0] == 404
        assert (await api.ask("POST", path.format("p-elsewhere"), "cw", comfort))[0] == 200
        assert (await api.ask("POST", path.format("p-a"), "op", comfort))[0] == 403
        status, found = await api.ask("POST", path.format("p-a"), "c4", comfort | {"expires_at": later(24 * 8)})
        assert (status, found["fields"]) == (422, ["expires_at"])
        status, found = await api.ask("POST", path.format("p-a"), "c4", {"kind": "thresholds", "expires_at": later(1)})
        assert (status, found["fields"]) == (422, ["condition"])
        orders = [decoder_of(Directive)(value) for topic, _, value, _ in api.way.kept if topic == "directives.v1"]
        assert [(order.patient_id, order.ordered_by) for order in orders] == [("p-a", "c4"), ("p-elsewhere", "cw")]
        assert [said["what"] for said in api.audit] == ["directive_given"] * 2


async def test_orders_are_listed_renewed_and_taken_back_where_they_were_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long after the alerts were closed by it, and forgotten."""
    ci = holder("ci", "clinician", units=["ICU"])
    async with served(Known(*WHO.holders.values(), ci), monkeypatch) as api:

        async def order(who: str, patient_id: str, **more: Any) -> tuple[int, Any]:
            body = {"kind": "comfort_care", "expires_at": later(48)} | more
            found = await api.ask("POST", f"/v1/patients/{patient_id}/directives", who, body)
            for topic, _, value, _ in api.way.kept:
                if topic == "directives.v1":
                    api.ordered.take(decoder_of(Directive)(value))
            return found

        async def listed(who: str) -> list[tuple[str, str, str | None]]:
            status, found = await api.ask("GET", "/v1/directives", who)
            assert status == 200
            return [(one["event_id"], one["patient_id"], one["unit"]) for one in found["directives"]]

        api.put(alert("a"))
        _, first = await order("cw", "p-a")
        _, elsewhere = await order("cw", "p-elsewhere", expires_at=later(72))
        api.hub.standings._alerts.clear()  # as after a day
        known = first["event_id"], "p-a", "4B"
        assert await listed("v4") == await listed("c4") == [known]
        assert await listed("ci") == []
        assert await listed("cw") == [known, (elsewhere["event_id"], "p-elsewhere", None)]
        assert (await order("ci", "p-a", supersedes=first["event_id"]))[0] == 404
        status, renewed = await order("c4", "p-a", supersedes=first["event_id"], status="corrected")
        assert (status, await listed("c4")) == (200, [(renewed["event_id"], "p-a", "4B")])
        assert (await order("c4", "p-a", supersedes=renewed["event_id"], status="cancelled"))[0] == 200
        assert await listed("c4") == []
        assert (await order("c4", "p-a"))[0] == 404, "nothing of the patient is in the unit any more"


async def test_without_tokens_browsers_are_not_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(Anyone("viewer", "clinician", "operator"), monkeypatch) as api:
        api.put(alert("a"))
        assert (await api.ask("GET", "/v1/alerts?silent=true", None))[0] == 200
        for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}, {"Host": "evil.example:80"}):
            assert (await api.ask("GET", "/v1/alerts", None, **headers))[0] == 403
        assert (await api.ask("GET", "/v1/alerts", None, Host="localhost:1"))[0] == 200
        assert (await api.ask("GET", "/v1/alerts", None, Host="[::1]:1"))[0] == 200


async def test_queries_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(WHO, monkeypatch) as api:
        api.put(alert("a"))
        api.put(alert("b"))
        for query, fields in (
            ("?priorities=urgent", ["priorities[]"]),
            ("?limit=0", ["limit"]),
            ("?limit=Meier", ["limit"]),
            ("?silent=perhaps", ["silent"]),
            ("?unit=4B", ["unit"]),
            ("?Priorities=high&limits=1", ["Priorities", "limits"]),
            ("/stream?unit=4B", ["unit"]),
            ("/stream?subscription=s-1&units=4B", ["subscription"]),
            ("/stream?subscription=s-1&ended=true", ["ended"]),
            (f"/{alert('a').alert_id}?silent=true", ["silent"]),
        ):
            status, found = await api.ask("GET", f"/v1/alerts{query}", "op")
            assert (status, found["fields"]) == (422, fields), query
        status, found = await api.ask("GET", "/v1/alerts?limit=1", "op")
        assert (len(found["alerts"]), found["more"]) == (1, True)
        assert (await api.ask("GET", "/v1/alerts/stream?after=Meier", "op"))[1]["fields"] == ["after"]


async def test_the_document_says_what_is(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(WHO, monkeypatch) as api:
        api.put(alert("a"))
        _, document = await api.ask("GET", "/openapi.json", None)
        assert set(document["paths"]) == {
            "/v1/subscriptions",
            "/v1/subscriptions/{name}",
            "/v1/alerts",
            "/v1/alerts/stream",
            "/v1/alerts/{alert_id}",
            "/v1/alerts/{alert_id}/answers",
            "/v1/patients/{patient_id}/directives",
            "/v1/directives",
        }
        stream = document["paths"]["/v1/alerts/stream"]["get"]
        assert {one["name"] for one in stream["parameters"]} >= {"units", "priorities", "subscription", "after"}
        _, found = await api.ask("GET", "/v1/alerts", "op")
        schema = {"$ref": "#/components/schemas/Alerts", "components": document["components"]}
        jsonschema.Draft202012Validator(schema).validate(found)


async def test_requests_are_counted_by_route_and_never_by_address(monkeypatch: pytest.MonkeyPatch) -> None:
    async with served(WHO, monkeypatch) as api:
        one = alert("here")
        api.put(one)
        api.put(alert("quiet"), silent=True)
        for path, who in (("", "v4"), ("", None), (f"/{one.alert_id}", "v4"), ("/p-here/x", "v4")):
            await api.ask("GET", f"/v1/alerts{path}", who)
        assert (await api.ask("POST", f"/v1/alerts/{one.alert_id}/answers", "c4", ACK))[0] == 200
        meters = api.hub.meters
        counted = {labels: value for (metric, labels), value in meters.values.items() if metric is API_REQUESTS}
        assert counted == {
            ("GET", "/v1/alerts", "200"): 1,
            ("GET", "/v1/alerts", "401"): 1,
            ("GET", "/v1/alerts/(alert_id)", "200"): 1,
            ("GET", "other", "404"): 1,
            ("POST", "/v1/alerts/(alert_id)/answers", "200"): 1,
        }
        assert meters.values[AUDITED, ("alert_acknowledged",)] == 1
        api.hub.look()
        assert meters.values[ALERTS_OPEN, (one.condition, one.priority)] == 1
        api.put(alert("here", 2, state="resolved", transition="resolved"))
        api.hub.look()
        assert not [key for key in meters.values if key[0] is ALERTS_OPEN], "none is open"
