"""How a message wants to be answered: original and enhanced mode (HL7 v2.5.1, chapter 2, sections 2.9.2 and 2.9.3).

Original mode, where MSH-15 and MSH-16 are both empty: one answer, when everything is done. Enhanced mode: first an
accept acknowledgement, that the message is kept safely, then an application acknowledgement, that it is done; MSH-15
and MSH-16 say when each is wanted (table 0155; a word that is not in it counts as AL, so that no sender waits in vain).
Acknowledgements themselves are never answered: two engines that answer each other's answers would do so for ever.
"""

from __future__ import annotations

from typing import Final, Literal

from wardstream.schemas.hl7v2 import Header, Malformed

_NOT_ON_SUCCESS: Final = ("", "NE", "ER")
_NOT_ON_ERROR: Final = ("", "NE", "SU")
_ACKNOWLEDGEMENTS: Final = ("ACK", "MCF")
_ACCEPT: Final = {"AE": "CE", "AR": "CR"}

Mode = Literal["original", "enhanced", "none"]


def mode(header: Header) -> Mode:
    """In which mode a message is answered; none: it is an acknowledgement."""
    if header.type.partition("^")[0] in _ACKNOWLEDGEMENTS:
        return "none"
    return "enhanced" if header.accept_ack or header.application_ack else "original"


def accepts(header: Header) -> bool:
    """Whether a message of enhanced mode wants to hear that it is kept."""
    return header.accept_ack not in _NOT_ON_SUCCESS


def applies(header: Header) -> bool:
    """Whether a message of enhanced mode wants to hear that it is done."""
    return header.application_ack not in _NOT_ON_SUCCESS


def refusal(header: Header, bad: Malformed) -> str | None:
    """The code that refuses a message: CE or CR for one that wants an accept acknowledgement; None: no answer."""
    match mode(header):
        case "none":
            return None
        case "original":
            return bad.ack
    if header.accept_ack not in _NOT_ON_ERROR:
        return _ACCEPT[bad.ack]
    return bad.ack if header.application_ack not in _NOT_ON_ERROR else None
