"""Orders of drugs (pharmacy, chapter 4A; ORM^O01, chapter 4) to medications.v1, and those for pictures to orders.v1.

What the pharmacy encoded (RXE) is preferred to what was asked for (RXO). RXD is a dispense, RXA an administration. An
order without a drug's name or code says nothing here and is ignored as (`empty`, segment). `orders` has the other ones.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.hl7v2.groups import when
from wardstream.schemas.hl7v2.mapped import Person
from wardstream.schemas.hl7v2.orders import Order, for_pictures, map_imaging_order, order_id, orders
from wardstream.schemas.hl7v2.patients import person
from wardstream.schemas.hl7v2.reading import Segment
from wardstream.schemas.hl7v2.visits import encounter_id
from wardstream.schemas.hl7v2.work import Work, made
from wardstream.schemas.medications import CodeSystem, Kind, Medication, Route

TOPIC: Final = "medications.v1"
_SYSTEMS: Final[Mapping[str, CodeSystem]] = {
    **dict.fromkeys(("NDC", "NDC11"), "ndc"),
    **dict.fromkeys(("RXNORM", "RXN", "HTTP://WWW.NLM.NIH.GOV/RESEARCH/UMLS/RXNORM"), "rxnorm"),
    **dict.fromkeys(("ATC", "WHOATC", "WC"), "atc"),
    **dict.fromkeys(("SCT", "SNM", "SNM3", "SNOMED"), "snomed"),
}
_ROUTES: Final[Mapping[str, Route]] = {
    **dict.fromkeys(("PO", "OR", "ORAL"), "oral"),
    **dict.fromkeys(("NG", "GT", "PEG"), "enteral_tube"),
    **dict.fromkeys(("IV", "IVP", "IVPB", "INTRAVENOUS"), "intravenous"),
    **dict.fromkeys(("IM", "INTRAMUSCULAR"), "intramuscular"),
    **dict.fromkeys(("SC", "SQ", "SUBQ", "SUBCUTANEOUS"), "subcutaneous"),
    **dict.fromkeys(("IH", "INH", "NEB", "INHALATION"), "inhaled"),
    **dict.fromkeys(("NS", "IN", "NASAL"), "nasal"),
    **dict.fromkeys(("TP", "TOPICAL"), "topical"),
    **dict.fromkeys(("TD", "TRANSDERMAL"), "transdermal"),
    **dict.fromkeys(("PR", "RECTAL"), "rectal"),
    **dict.fromkeys(("SL", "SUBLINGUAL"), "sublingual"),
    **dict.fromkeys(("EP", "EPIDURAL"), "epidural"),
    **dict.fromkeys(("IT", "INTRATHECAL"), "intrathecal"),
    **dict.fromkeys(("OP", "OPHTHALMIC"), "ophthalmic"),
}
"""Table 0162 and what is sent instead; others are `other`."""
_CHANGES: Final = frozenset(("XO", "XX", "RP", "RO", "RU", "XR"))
_STOPS: Final = frozenset(("CA", "CR", "OC", "DC", "DR", "OD", "HD", "OH"))
"""Of ORC-1 (table 0119): cancelled, discontinued, held."""
_NOT_GIVEN: Final = frozenset(("RE", "NA"))
"""Of RXA-20 (table 0322): refused, not administered."""
_UNKNOWN_AMOUNT: Final = "999"  # RXA-6
_PLACES: Final = {"dose": 3, "rate": 23, "name": 2, "code": 2}


def map_orders(work: Work) -> None:
    """Map the orders, dispenses and administrations of a message."""
    found = list(orders(work))
    if not found:
        work.ignore("empty", "ORC")
    for order in found:
        chosen = next((order.drugs[name] for name in ("RXA", "RXD", "RXE", "RXO") if name in order.drugs), None)
        if chosen is not None:
            for drug in chosen:
                _map_drug(work, order, drug)
        elif for_pictures(work, order):
            map_imaging_order(work, order)
        else:
            work.ignore("order", work.message.header.type)


def _map_drug(work: Work, order: Order, drug: Segment) -> None:
    said = _READERS[drug.name](drug)
    if not said["name"] and not said["code"]:
        work.ignore("empty", drug.name)
        return
    needed = (order.pid, order.pv1, order.orc, drug, order.rxr, order.tq1)
    patient = person(work, order.pid, TOPIC, *needed)
    if patient is None:
        return
    times = ((drug, 3) if drug.name in ("RXA", "RXD") else (None, 0), (order.orc, 15), (order.orc, 9))
    at, reason, place = when(work, tuple(pair for pair in times if pair[0] is not None))
    if at is None and reason == "missing_field":
        at = work.moments.read(work.message.header.sent_at)  # an order is made when it is sent
    if at is None:
        work.reject(TOPIC, reason, (place,), *needed)
        return
    try:
        work.keep(made(Medication, _fields(work, order, drug, patient, at, said)))
    except BadEvent as bad:
        places = sorted({drug.place(_PLACES.get(name, 1)) for name in bad.fields})
        work.reject(TOPIC, bad.reason, places, *needed)


def _fields(
    work: Work, order: Order, drug: Segment, patient: Person, at: datetime, said: dict[str, Any]
) -> dict[str, Any]:
    orc, rxr = order.orc, order.rxr
    control = "" if orc is None else orc.text(1).upper()
    number = "" if orc is None else orc.text(2) or orc.text(3)
    kind: Kind = said.pop("kind", None) or (
        "stop" if control in _STOPS else "change" if control in _CHANGES else "order"
    )
    route = "" if rxr is None else (rxr.text(1) or rxr.text(1, 2)).upper()
    identity = ("medication", patient.patient_id, number, drug.name, kind, at.isoformat())
    event_id = work.event_id(*identity, sorted(said.items(), key=lambda item: item[0]))
    fields = {
        **work.about(patient, encounter_id(work, order.pid, order.pv1)),
        **{name: value or None for name, value in said.items() if name not in ("dose", "rate")},
        "kind": kind,
        "event_id": event_id,
        "observed_at": at,
        "order_id": order_id(work, (orc, 2), (orc, 3)),
        "code_system": _SYSTEMS.get(said["code_system"].upper(), "local") if said["code"] else None,
        "dose": _amount(said["dose"]),
        "rate": _amount(said.get("rate", "")),
        "route": _ROUTES.get(route, "other") if route else None,
        "frequency": ("" if order.tq1 is None else order.tq1.text(3)) or None,
    }
    if drug.name == "RXA" and drug.text(21).upper() == "D":  # what had been charted by mistake
        fields |= {"event_id": work.event_id(event_id, "deleted"), "status": "cancelled", "supersedes": event_id}
    return fields


def _drug(segment: Segment, number: int) -> dict[str, Any]:
    """A drug (CWE): code, words, system."""
    code, name, system = (segment.text(number, component) for component in (1, 2, 3))
    return {"code": code, "name": name or segment.text(number, 5), "code_system": system}


def _encoded(rxe: Segment) -> dict[str, Any]:
    return {
        **_drug(rxe, 2),
        **{"dose": rxe.text(3), "dose_unit": rxe.text(5)},
        **{"rate": rxe.text(23), "rate_unit": rxe.text(24)},
    }


def _asked(rxo: Segment) -> dict[str, Any]:
    return {**_drug(rxo, 1), "dose": rxo.text(2), "dose_unit": rxo.text(4)}


def _dispensed(rxd: Segment) -> dict[str, Any]:
    return {**_drug(rxd, 2), "dose": rxd.text(4), "dose_unit": rxd.text(5), "kind": "dispense"}


def _given(rxa: Segment) -> dict[str, Any]:
    amount = rxa.text(6)
    kind = "not_given" if rxa.text(20).upper() in _NOT_GIVEN else "administration"
    dose = "" if amount == _UNKNOWN_AMOUNT else amount
    return {**_drug(rxa, 5), "dose": dose, "dose_unit": rxa.text(7), "kind": kind}


_READERS: Final = {"RXE": _encoded, "RXO": _asked, "RXD": _dispensed, "RXA": _given}


def _amount(text: str) -> float | None:
    """A number; what is none (as a range that is left to the nurse) is not stated."""
    try:
        return float(text) if text and len(text) <= 20 and set(text) <= set("0123456789.") else None
    except ValueError:
        return None
