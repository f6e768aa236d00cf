"""The answer to a message: MSA, and ERR where something is wrong (chapter 2, sections 2.9, 2.14.8 and 2.14.5).

It is written in the delimiters and the character set of the message, from its receiver to its sender, in its version:
ERR has had one field of segment, sequence, field and code until 2.4, and one for each of them since 2.5.
"""

from datetime import datetime
from typing import Final

from wardstream.schemas.hl7v2.mapped import ERRORS, Header, Malformed

_OLD: Final = ("2.1", "2.2", "2.3", "2.3.1", "2.4")
_TABLE: Final = "HL70357"


def acknowledgement(header: Header, code: str, now: datetime, error: Malformed | None = None) -> bytes:
    """Return the answer to a message, as bytes without MLLP's frame.

    Parameters
    ----------
    header : Header
        Of the message that is answered.
    code : str
        MSA-1, table 0008: AA, AE, AR, or CA, CE, CR in enhanced mode.
    now : datetime
        Aware; MSH-7 of the answer, and part of its control id.
    error : Malformed or None
        What was wrong.
    """
    field, component = header.delimiters[0], header.delimiters[1]
    event = header.type.partition("^")[2]
    structure = ("ACK",) if event and _at_least_2_5(header.version) else ()
    kind = component.join(filter(None, ("ACK", event, *structure)))
    stamp = f"{now:%Y%m%d%H%M%S}{now:%z}"
    msh = (
        *(f"MSH{field}{header.delimiters[1:]}", header.receiving_application, header.receiving_facility),
        *(header.sending_application, header.sending_facility, stamp, "", kind, f"A{now:%Y%m%d%H%M%S%f}"),
        *(header.processing_id or "P", header.version or "2.5", "", "", "", "", "", header.charset),
    )
    lines = [msh, ("MSA", code, header.control_id)]
    if error is not None:
        lines.append(_err(header, error, component))
    text = "".join(f"{field.join(line).rstrip(field)}\r" for line in lines)
    return text.encode(header.encoding, errors="replace")


def _err(header: Header, error: Malformed, component: str) -> tuple[str, ...]:
    segment, _, number = error.location.partition("-")
    name, _, sequence = segment.partition("[")
    place = (name, sequence.rstrip("]") or "1", number) if len(name) == 3 else ()
    text = ERRORS[error.error]
    said = error.text if place else f"{error.location}: {error.text}"  # a line has no place in ERR-2
    told = "".join(" " if char in header.delimiters else char for char in said)
    if _at_least_2_5(header.version):
        where = component.join(place).rstrip(component)
        return ("ERR", "", where, component.join((error.error, text, _TABLE)), "E", "", "", "", told)
    subcomponent = (header.delimiters + "|^~\\&"[len(header.delimiters) :])[4]
    coded = subcomponent.join((error.error, text, _TABLE))
    return "ERR", component.join((*(place or ("", "", "")), coded))


def _at_least_2_5(version: str) -> bool:
    return version not in _OLD and version != ""
