"""Which types of messages (MSH-9) are mapped by what, and which are not for us, and why: the one table."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from wardstream.schemas.hl7v2.adt import KINDS, map_admission
from wardstream.schemas.hl7v2.medications import map_orders
from wardstream.schemas.hl7v2.notes import map_document
from wardstream.schemas.hl7v2.observations import map_observations
from wardstream.schemas.hl7v2.work import Work

Mapper = Callable[[Work], None]

MAPPERS: Final[Mapping[str, Mapper]] = {
    **{f"ADT^{trigger}": partial(map_admission, trigger=trigger) for trigger in KINDS},
    **dict.fromkeys(("ORU^R01", "ORU^R03", "ORU^R30", "ORU^R31", "ORU^R32", "ORU^R42"), map_observations),
    **dict.fromkeys(("ORF^R04", "OUL^R21", "OUL^R22", "OUL^R23", "OUL^R24"), map_observations),
    **dict.fromkeys(("MDM^T02", "MDM^T04", "MDM^T06", "MDM^T08", "MDM^T10", "MDM^T11"), map_document),
    **dict.fromkeys(("OMG^O19", "OMI^O23", "OMP^O09", "ORM^O01", "RAS^O01", "RAS^O17", "RDE^O01"), map_orders),
    **dict.fromkeys(("RDE^O11", "RDE^O25", "RDS^O01", "RDS^O13"), map_orders),
}

NOT_FOR_US: Final[Mapping[str, str]] = {
    "ACK": "an answer, and nobody asked",
    "ADT^A09": "on the way to somewhere: the bed stays",
    "ADT^A10": "arrived somewhere for a time: the bed stays",
    "ADT^A14": "planned: nobody has come yet",
    "ADT^A15": "planned: nobody has moved yet",
    "ADT^A16": "planned: nobody has left yet",
    "ADT^A20": "the state of a bed, of no patient",
    "ADT^A21": "a leave of absence: the bed stays",
    "ADT^A22": "back from a leave of absence: the bed stayed",
    "ADT^A23": "deletes a visit, which Kafka's retention does",
    "ADT^A24": "links two records that stay apart",
    "ADT^A25": "cancels what was only planned",
    "ADT^A26": "cancels what was only planned",
    "ADT^A27": "cancels what was only planned",
    "ADT^A29": "deletes a person, which Kafka's retention does",
    "ADT^A32": "cancels an arrival for a time: the bed stays",
    "ADT^A33": "cancels a departure for a time: the bed stays",
    "ADT^A35": "joins accounts of one patient",
    "ADT^A37": "parts two records that stayed apart",
    "ADT^A41": "joins accounts of one patient",
    "ADT^A42": "joins visits of one patient",
    "ADT^A43": "moves a number between records; merges are A40",
    "ADT^A44": "moves an account between records",
    "ADT^A45": "moves a visit between records; its events stay where they came",
    "ADT^A49": "another account number",
    "ADT^A50": "another visit number",
    "ADT^A51": "another visit number",
    "ADT^A52": "cancels a leave of absence",
    "ADT^A53": "cancels a return",
    "ADT^A54": "another doctor",
    "ADT^A55": "another doctor",
    "ADT^A60": "allergies: nothing here is computed from them",
    "ADT^A61": "another doctor",
    "ADT^A62": "another doctor",
    "BAR": "billing",
    "DFT": "billing",
    "MDM": "announces a document without its text",
    "MFN": "master files",
    "OMD": "diets",
    "OML": "an order: nothing has been measured yet",
    "ORA": "an answer to an alarm",
    "ORL": "an answer to an order",
    "ORR": "an answer to an order",
    "ORU^R40": "alarms of devices (IHE PCD-04): values come by PCD-01",
    "ORU^R41": "an answer to an alarm",
    "PPR": "problem lists",
    "QBP": "a query",
    "QRY": "a query",
    "REF": "referrals",
    "RGV": "instructions for a pump or a nurse: nothing has been given yet",
    "RRG": "an answer to an order",
    "SIU": "appointments",
    "VXU": "vaccinations",
}
"""By type, or by its first part alone. What is not here is not known, and not for us either."""


def mapper_of(kind: str) -> Mapper | None:
    """Return what maps a type; None: it is not for us."""
    return MAPPERS.get(kind)


def why_not(kind: str) -> str:
    """Return why a type is not for us."""
    return NOT_FOR_US.get(kind) or NOT_FOR_US.get(kind.partition("^")[0]) or "no type that is known here"
