"""Orders for pictures, and how they stand."""

from __future__ import annotations

import msgspec
import pytest

from tests.schemas.hl7v2.messages import FEED, PID, PSEUDONYMS, PV1, facts, mapped, one, utc

ORC = "ORC|NW|A-1^NORTH|F-1||{status}||||20260310080000"
OBR = f"OBR|1|A-1^NORTH|F-1|30745-4^Chest^LN|{'|' * 19}{{section}}"
IPC = "IPC|ACC-1|RP-1|1.2.840.99.4711|SPS-1|DX"
UID = PSEUDONYMS.uid("1.2.840.99.4711")
ORDER = PSEUDONYMS.order("NORTH", "A-1")
RIS = msgspec.structs.replace(FEED, name="ris", imaging_orders=True)


def orc(control: str = "NW", status: str = "") -> str:
    return ORC.format(status=status).replace("NW", control)


def obr(section: str = "") -> str:
    return OBR.format(section=section)


def test_an_imaging_order() -> None:
    event = one(mapped(PID, PV1, orc(status="SC"), "TQ1|1||||||20260310093000||S", obr(), IPC, kind="OMI^O23"))
    assert facts(event) == {
        "state": "scheduled",
        "order_id": ORDER,
        "procedure": "Chest",
        "modality": "DX",
        "priority": "stat",
        "scheduled_at": utc(2026, 3, 10, 8, 30),
        "study_uid": UID,
    }
    assert event.observed_at == utc(2026, 3, 10, 7)
    assert event.encounter_id == PSEUDONYMS.encounter("north", "V-1")


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        ("ORM^O01", (obr("RAD"),)),
        ("ORM^O01", (obr("ct"),)),
        ("ORM^O01", (obr(), "ZDS|1.2.840.99.4711^100^Application^DICOM")),
        ("OMG^O19", (obr("US"),)),
        ("OMG^O19", (obr(), IPC)),
        ("OMI^O23", (obr(),)),
    ],
)
def test_what_says_that_it_is_for_pictures(kind: str, lines: tuple[str, ...]) -> None:
    assert one(mapped(PID, orc(), *lines, kind=kind)).order_id == ORDER


def test_what_the_site_says_of_its_sender() -> None:
    assert mapped(PID, orc(), obr("LAB"), kind="ORM^O01").ignored == (("order", "ORM^O01"),)
    assert mapped(PID, orc(), obr(), kind="OMG^O19").ignored == (("order", "OMG^O19"),)
    assert one(mapped(PID, orc(), obr(), kind="ORM^O01", feed=RIS)).procedure == "Chest"
    drug = mapped(PID, orc(), "RXO|1^Inventol^L", kind="ORM^O01", feed=RIS)
    assert one(drug).name == "Inventol"


@pytest.mark.parametrize(
    ("control", "status", "state"),
    [
        ("NW", "", "ordered"),
        ("XO", "", "ordered"),
        ("NW", "SC", "scheduled"),
        ("SC", "IP", "in_progress"),
        ("SC", "A", "in_progress"),
        ("SC", "CM", "completed"),
        ("SC", "CA", "cancelled"),
        ("SC", "HD", "held"),
        ("HD", "IP", "held"),
        ("CA", "", "cancelled"),
        ("OC", "SC", "cancelled"),
        ("DC", "", "cancelled"),
    ],
)
def test_states(control: str, status: str, state: str) -> None:
    assert one(mapped(PID, orc(control, status), obr("RAD"), kind="ORM^O01")).state == state


@pytest.mark.parametrize("control", ["UC", "PR", "NA"])
def test_what_changes_nothing(control: str) -> None:
    assert mapped(PID, orc(control), obr("RAD"), kind="ORM^O01").ignored == (("order", control),)


@pytest.mark.parametrize(("section", "modality"), [("CT", "CT"), ("NMR", "MR"), ("VUS", "US"), ("RAD", None)])
def test_a_modality_of_a_section(section: str, modality: str | None) -> None:
    assert one(mapped(PID, orc(), obr(section), kind="ORM^O01")).modality == modality


def test_several_orders_of_one_message() -> None:
    other = obr("CT").replace("A-1", "A-2").replace("30745-4^Chest", "24627-2^Chest")
    found = mapped(PID, orc(), obr("RAD"), other, orc("CA").replace("A-1", "A-3"), obr("RAD"), kind="ORM^O01")
    assert [(event.state, event.modality) for event in found.events] == [  # type: ignore[attr-defined]
        ("ordered", None),
        ("ordered", "CT"),
        ("cancelled", None),
    ]


def test_times_and_priorities_of_older_versions() -> None:
    quantity = "^ONCE^^20260310100000^^S"
    event = one(mapped(PID, orc(), obr("RAD") + f"|||{quantity}", kind="ORM^O01"))
    assert (event.scheduled_at, event.priority) == (utc(2026, 3, 10, 9), "stat")
    found = mapped(PID, orc(), obr("RAD") + "|||^ONCE^^soon", kind="ORM^O01")
    assert one(found).scheduled_at is None
    assert found.ignored == (("time", "OBR[1]-27"),)


def test_a_resend_has_the_same_id_and_a_new_state_another() -> None:
    def sent(control_id: str, status: str = "") -> object:
        return one(mapped(PID, orc(status=status), obr("RAD"), kind="ORM^O01", control_id=control_id)).event_id

    assert sent("1") == sent("2") != sent("3", "CM")


def test_a_time_of_sending_is_the_last_resort() -> None:
    event = one(mapped(PID, "ORC|NW|A-1", obr("RAD"), kind="ORM^O01"))
    assert event.observed_at == utc(2026, 3, 10, 11)


def test_what_is_no_time_and_no_modality_is_rejected() -> None:
    late = mapped(PID, orc().replace("20260310080000", "now"), obr("RAD"), kind="ORM^O01")
    odd = mapped(PID, orc(), obr(), IPC.replace("DX", "X-ray"), kind="OMI^O23")
    for found, reason, place in ((late, "bad_format", "ORC-9"), (odd, "bad_format", "IPC-5")):
        assert [(reject.topic, reject.reason, reject.fields) for reject in found.rejects] == [
            ("orders.v1", reason, (place,))
        ]


def test_an_order_that_says_nothing_and_one_of_nobody() -> None:
    assert mapped(PID, "ORC|NW", "OBR|1", kind="OMI^O23").ignored == (("empty", "OBR"),)
    assert mapped(orc(), obr("RAD"), kind="ORM^O01").ignored == (("patient", "PID-3"),)


def test_numbers_do_not_leave() -> None:
    found = mapped(PID, PV1, orc(), obr(), IPC, kind="OMI^O23", feed=FEED)
    text = repr(found.events)
    assert not any(number in text for number in ("4711", "A-1", "F-1", "ACC-1", "1.2.840"))
