"""Documents: reports of pictures, documents by their code, and MDM."""

from __future__ import annotations

import pytest

from tests.schemas.hl7v2.messages import OBR, PID, PV1, facts, mapped, one, utc

REPORT = OBR.replace("24323-8^panel^LN", "36643-5^XR Chest 2 Views^LN").replace("|LAB|", "|RAD|")
TXA = "TXA|1|DS^Discharge summary|TX|20260310100000||||||||D-1||||LA|AU"


def line(text: str, code: str = "GDT^report^L", status: str = "F", kind: str = "TX") -> str:
    return f"OBX|1|{kind}|{code}||{text}||||||{status}"


def test_a_report_is_one_note() -> None:
    event = one(mapped(PID, PV1, REPORT, line("Clear lungs."), line("No effusion.", "IMP^impression^L")))
    assert facts(event) == {"kind": "radiology", "title": "XR Chest 2 Views", "text": "Clear lungs.\nNo effusion."}
    assert event.observed_at == utc(2026, 3, 10, 8)


def test_a_report_is_corrected_and_withdrawn() -> None:
    first = one(mapped(PID, REPORT, line("Clear lungs.")))
    corrected = one(mapped(PID, REPORT, line("A nodule.", status="C")))
    assert (corrected.status, corrected.supersedes, corrected.text) == ("corrected", first.supersedes, "A nodule.")
    changed = one(mapped(PID, REPORT, line("Two nodules.")))
    assert (changed.status, changed.supersedes, changed.text) == ("final", first.supersedes, "Two nodules.")
    gone = one(mapped(PID, REPORT, line("x", status="X")))
    assert (gone.status, gone.supersedes) == ("cancelled", first.supersedes)
    assert len({event.event_id for event in (first, corrected, changed, gone)}) == 4


def test_a_document_by_its_code() -> None:
    event = one(mapped(PID, OBR, line("Admitted with fever.~Better.", "34117-2^History and physical^LN", kind="FT")))
    assert facts(event) == {
        "kind": "history",
        "loinc": "34117-2",
        "title": "History and physical",
        "text": "Admitted with fever.\nBetter.",
    }


def test_a_report_without_text_is_counted() -> None:
    found = mapped(PID, REPORT, line("^AP^PDF^Base64^AAAA", kind="ED"))
    assert found.events == ()
    assert ("document", "no text") in found.ignored


@pytest.mark.parametrize(
    ("trigger", "completion", "status"),
    [("T02", "AU", "final"), ("T02", "DI", "preliminary"), ("T06", "LA", "final"), ("T08", "AU", "corrected")],
)
def test_documents(trigger: str, completion: str, status: str) -> None:
    txa = TXA.replace("|AU", f"|{completion}")
    event = one(mapped(PID, PV1, txa, line("Goes home."), kind=f"MDM^{trigger}"))
    assert facts(event) == {"kind": "discharge", "title": "Discharge summary", "text": "Goes home."}
    assert (event.status, event.observed_at) == (status, utc(2026, 3, 10, 9))


def test_a_document_is_edited_replaced_and_cancelled() -> None:
    first = one(mapped(PID, TXA, line("Goes home."), kind="MDM^T02"))
    edited = one(mapped(PID, TXA.replace("1000", "1100"), line("Stays."), kind="MDM^T08"))
    replaced = one(mapped(PID, TXA.replace("|D-1||", "|D-2|D-1|"), line("Stays here."), kind="MDM^T10"))
    assert edited.supersedes == replaced.supersedes == first.supersedes
    assert len({first.event_id, edited.event_id, replaced.event_id}) == 3
    gone = one(mapped(PID, TXA, kind="MDM^T11"))
    assert (gone.status, gone.supersedes) == ("cancelled", first.supersedes)


def test_documents_without_text_and_announcements_are_counted() -> None:
    assert mapped(PID, TXA, line("^AP", kind="ED"), kind="MDM^T02").ignored == (("document", "no text"),)
    assert mapped(PID, TXA, kind="MDM^T01").ignored == (("type", "MDM^T01"),)


def test_documents_without_a_time_are_rejected() -> None:
    found = mapped(PID, TXA.replace("20260310100000", ""), line("x"), kind="MDM^T02")
    assert [(reject.topic, reject.reason, reject.fields) for reject in found.rejects] == [
        ("notes.v1", "missing_field", ("TXA-4",))
    ]
