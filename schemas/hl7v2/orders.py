"""Orders (chapters 4 and 4A): the parts of their messages, and those for pictures to orders.v1.

Each ORC begins an order, and so does each further OBR under it. One with a drug is for `medications`. One is for
pictures if its message is for nothing else (OMI), if it says so (OBR-24, table 0074; IPC; ZDS, in which IHE's radiology
sends the study's UID), or if the site says that this sender orders nothing else (`Feed.imaging_orders`). Others are
ignored as (`order`, type): nothing has been measured or given by them. What does not change how an order stands, as an
answer that something cannot be done, is ignored as (`order`, code of ORC-1).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.hl7v2.groups import when
from wardstream.schemas.hl7v2.notes import SECTIONS
from wardstream.schemas.hl7v2.patients import person
from wardstream.schemas.hl7v2.reading import Segment
from wardstream.schemas.hl7v2.visits import encounter_id
from wardstream.schemas.hl7v2.work import Work, made
from wardstream.schemas.orders import Order as ImagingOrder
from wardstream.schemas.orders import Priority, State

TOPIC: Final = "orders.v1"
_ONLY_PICTURES: Final = "OMI^O23"
_CONTROLS: Final[Mapping[str, State]] = {
    **dict.fromkeys(("CA", "OC", "CR", "DC", "OD", "DR"), "cancelled"),
    **dict.fromkeys(("HD", "HR", "OH"), "held"),
}
"""Of ORC-1 (table 0119); of all others ORC-5 says how the order stands."""
_NO_CHANGE: Final = frozenset(("DE", "NA", "PR", "UA", "UC", "UD", "UF", "UH", "UM", "UN", "UR", "UX"))
"""Of ORC-1: results of earlier orders, numbers alone, and what cannot be done."""
_STATES: Final[Mapping[str, State]] = {
    "SC": "scheduled",
    "HD": "held",
    **dict.fromkeys(("A", "IP"), "in_progress"),
    "CM": "completed",
    **dict.fromkeys(("CA", "DC", "ER", "RP"), "cancelled"),
}
"""Of ORC-5 (table 0038)."""
_PRIORITIES: Final[Mapping[str, Priority]] = {
    **dict.fromkeys(("S", "STAT"), "stat"),
    **dict.fromkeys(("A", "ASAP", "U", "URGENT"), "urgent"),
    **dict.fromkeys(("R", "ROUTINE"), "routine"),
}
"""Tables 0027 and 0485, and what is sent instead."""
_MODALITIES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("CT", "CTH"), "CT"),
    **dict.fromkeys(("MR", "MRI", "NMR"), "MR"),
    **dict.fromkeys(("CUS", "OUS", "RUS", "US", "VUS"), "US"),
    **dict.fromkeys(("NM", "NMS"), "NM"),
    "MG": "MG",
}
"""Of OBR-24, those that mean one modality."""

_PLACES: Final = {"observed_at": "ORC-9", "modality": "IPC-5"}


@dataclass(eq=False)
class Order:
    """An ORC with what belongs to it."""

    pid: Segment | None
    pv1: Segment | None
    orc: Segment | None = None
    obr: Segment | None = None
    drugs: dict[str, list[Segment]] = field(default_factory=dict)
    rxr: Segment | None = None
    tq1: Segment | None = None
    ipc: Segment | None = None
    zds: Segment | None = None

    def text(self, name: str, number: int, component: int = 1) -> str:
        """Return a value of one of the segments; empty where there is none."""
        segment: Segment | None = getattr(self, name)
        return "" if segment is None else segment.text(number, component)


def orders(work: Work) -> Iterator[Order]:
    """Cut a message into orders."""
    order = Order(None, None)
    for segment in work.message.segments:
        begun = order.orc or order.obr or order.drugs
        match segment.name:
            case "PID":
                if begun:
                    yield order
                order = Order(segment, None)
            case "PV1":
                order.pv1 = segment
            case "ORC":
                if begun:
                    yield order
                order = Order(order.pid, order.pv1, segment)
            case "OBR":
                if order.obr:
                    yield order
                    order = Order(order.pid, order.pv1, order.orc, tq1=order.tq1)
                order.obr = segment
            case "RXR":
                order.rxr = order.rxr or segment
            case "TQ1":
                order.tq1 = segment
            case "IPC":
                order.ipc = order.ipc or segment
            case "ZDS":
                order.zds = order.zds or segment
            case "RXO" | "RXE" | "RXD" | "RXA":
                order.drugs.setdefault(segment.name, []).append(segment)
    if order.orc or order.obr or order.drugs:
        yield order


def order_id(work: Work, *places: tuple[Segment | None, int]) -> str | None:
    """Return the pseudonym of the first number (an EI: number, namespace, universal id) that is there."""
    for segment, number in places:
        if segment is not None and segment.text(number):
            authority = segment.text(number, 2) or segment.text(number, 3) or work.feed.authority
            return work.pseudonyms.order(authority, segment.text(number))
    return None


def for_pictures(work: Work, order: Order) -> bool:
    """Return whether an order is for pictures."""
    said = order.text("obr", 24).upper() in SECTIONS or order.ipc is not None or order.zds is not None
    return order.obr is not None and (said or work.feed.imaging_orders or work.message.header.type == _ONLY_PICTURES)


def map_imaging_order(work: Work, order: Order) -> None:
    """Map an order for pictures."""
    orc, obr = order.orc, order.obr
    control = order.text("orc", 1).upper()
    if control in _NO_CHANGE:
        work.ignore("order", control)
        return
    needed = (order.pid, order.pv1, orc, order.tq1, obr, order.ipc, order.zds)
    patient = person(work, order.pid, TOPIC, *needed)
    if patient is None:
        return
    at, reason, place = when(work, ((orc, 9),))
    if at is None and reason == "missing_field":
        at, place = work.moments.read(work.message.header.sent_at), "MSH-7"
    if at is None:
        work.reject(TOPIC, reason, (place,), *needed)
        return
    uid = order.text("ipc", 3) or order.text("zds", 1)
    said: dict[str, Any] = {
        "state": _CONTROLS.get(control) or _STATES.get(order.text("orc", 5).upper(), "ordered"),
        "order_id": order_id(work, (orc, 2), (obr, 2), (orc, 3), (obr, 3)),
        "procedure": (order.text("obr", 4, 2) or order.text("obr", 4))[:1000] or None,
        "modality": order.text("ipc", 5).upper() or _MODALITIES.get(order.text("obr", 24).upper()),
        "priority": _priority(order),
        "scheduled_at": _scheduled(work, order),
        "study_uid": work.pseudonyms.uid(uid) if uid else None,
    }
    if said["order_id"] is None and said["procedure"] is None:
        work.ignore("empty", "OBR")
        return
    fields = {
        **work.about(patient, encounter_id(work, order.pid, order.pv1)),
        **said,
        "procedure": said["procedure"] and work.without_identity(said["procedure"])[:1000],
        "event_id": work.event_id("imaging order", patient.patient_id, at.isoformat(), sorted(said.items())),
        "observed_at": at,
    }
    try:
        work.keep(made(ImagingOrder, fields))
    except BadEvent as bad:
        work.reject(TOPIC, bad.reason, sorted({_PLACES.get(name, "OBR-4") for name in bad.fields}), *needed)


def _priority(order: Order) -> Priority | None:
    """TQ1-9; before version 2.5 the sixth part of OBR-27 or ORC-7, or OBR-5."""
    texts = (order.text("tq1", 9), order.text("obr", 27, 6), order.text("orc", 7, 6), order.text("obr", 5))
    return next((found for text in texts if (found := _PRIORITIES.get(text.upper()))), None)


def _scheduled(work: Work, order: Order) -> Any:
    """OBR-36, or TQ1-7; before version 2.5 the fourth part of OBR-27 or ORC-7. One that is no time is counted."""
    texts = []
    for segment, number, component in ((order.obr, 36, 1), (order.tq1, 7, 1), (order.obr, 27, 4), (order.orc, 7, 4)):
        text = "" if segment is None else segment.text(number, component)
        if segment is not None and text:
            if work.moments.read(text) is None:
                work.ignore("time", segment.place(number))
            texts.append(text)
    return work.moments.first(texts)
