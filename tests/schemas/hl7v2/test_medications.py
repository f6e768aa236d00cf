"""Pharmacy: orders, changes, stops, dispenses, administrations."""

from __future__ import annotations

from typing import Any

import pytest

from tests.schemas.hl7v2.messages import PID, PSEUDONYMS, PV1, facts, mapped, one, utc

ORC = "ORC|NW|RX-7||||||  |20260310080000"
RXE = f"RXE||1234^Inventol 5 mg^RXNORM|5||mg^mg^UCUM{'|' * 18}2.5|mL/h"
RXA = "RXA|0|1|20260310083000||1234^Inventol^NDC|5|mg"


def test_an_order() -> None:
    event = one(mapped(PID, PV1, ORC, "RXO|9^other^L", RXE, "TQ1|1||BID", "RXR|PO", kind="RDE^O11"))
    assert facts(event) == {
        "kind": "order",
        "name": "Inventol 5 mg",
        "code": "1234",
        "code_system": "rxnorm",
        "order_id": PSEUDONYMS.order("north", "RX-7"),
        "dose": 5.0,
        "dose_unit": "mg",
        "rate": 2.5,
        "rate_unit": "mL/h",
        "route": "oral",
        "frequency": "BID",
    }
    assert event.observed_at == utc(2026, 3, 10, 7)


@pytest.mark.parametrize(("control", "kind"), [("NW", "order"), ("XO", "change"), ("DC", "stop"), ("CA", "stop")])
def test_kinds_of_orders(control: str, kind: str) -> None:
    event = one(mapped(PID, ORC.replace("NW", control), "RXO|1^Inventol^L|5||mg", kind="OMP^O09"))
    assert (event.kind, event.code_system) == (kind, "local")


@pytest.mark.parametrize(
    ("more", "kind", "dose"),
    [("", "administration", 5.0), ("|" * 13 + "RE", "not_given", 5.0), ("|" * 13 + "CP", "administration", 5.0)],
)
def test_administrations(more: str, kind: str, dose: float) -> None:
    event = one(mapped(PID, ORC, RXA + more, kind="RAS^O17"))
    assert (event.kind, event.dose, event.observed_at) == (kind, dose, utc(2026, 3, 10, 7, 30))


def test_several_administrations_and_an_unknown_amount() -> None:
    found = mapped(PID, ORC, RXA, RXA.replace("0830", "0930").replace("|5|", "|999|"), kind="RAS^O17")
    assert [facts(event).get("dose") for event in found.events] == [5.0, None]


def test_a_dispense() -> None:
    event = one(mapped(PID, ORC, "RXD|1|1^Inventol^L|20260310083000|20|tab", kind="RDS^O13"))
    assert (event.kind, event.dose, event.dose_unit) == ("dispense", 20.0, "tab")


def test_an_order_that_names_no_drug_and_an_order_of_something_else() -> None:
    assert mapped(PID, ORC, "RXO||5||mg", kind="ORM^O01").ignored == (("empty", "RXO"),)
    assert mapped(PID, ORC, "OBR|1", kind="ORM^O01").ignored == (("order", "ORM^O01"),)
    assert mapped(PID, "RXO|1^Inventol^L", kind="ORM^O01").events != ()


def test_a_resend_has_the_same_id() -> None:
    def sent(control_id: str, **_: Any) -> object:
        return one(mapped(PID, ORC, RXE, kind="RDE^O11", control_id=control_id)).event_id

    assert sent("1") == sent("2")


def test_a_time_that_is_none_is_rejected() -> None:
    found = mapped(PID, ORC, RXA.replace("20260310083000", "now"), kind="RAS^O17")
    assert [(reject.topic, reject.reason, reject.fields) for reject in found.rejects] == [
        ("medications.v1", "bad_format", ("RXA-3",))
    ]


def test_an_administration_that_was_charted_by_mistake() -> None:
    given = one(mapped(PID, ORC, RXA, kind="RAS^O17"))
    gone = one(mapped(PID, ORC, RXA + "|" * 14 + "D", kind="RAS^O17"))
    assert (gone.status, gone.supersedes) == ("cancelled", given.event_id)
    assert gone.event_id != given.event_id
