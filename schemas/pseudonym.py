"""Pseudonyms: what stands for a record number wherever events travel.

HMAC-SHA256 under the installation's key, of what is named (patient, encounter, order), who gave the number (the
assigning authority: two hospitals give the same numbers) and the number, each with its length, so that no two different
inputs are joined to the same text. Cut to 128 bits: two of a billion patients have the same pseudonym with a
probability of 10⁻²¹. Without the key nobody can try numbers out; with another key everybody has another pseudonym, so a
key cannot be changed under a running installation.
"""

import hmac
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Literal, TypeVar

import msgspec

from wardstream.schemas.envelope import Event

EventT = TypeVar("EventT", bound=Event)

KEY_BYTES: Final = 32
_HEX: Final = 32  # characters: 128 bits

_Kind = Literal["patient", "encounter", "order", "uid"]
_KINDS: Final[Mapping[str, _Kind]] = {
    **dict.fromkeys(("patient_id", "merged_patient_id"), "patient"),
    "encounter_id": "encounter",
    "order_id": "order",
    **dict.fromkeys(("study_uid", "series_uid", "instance_uid"), "uid"),
}
"""The fields of events that name somebody or something by a number."""
_is_pseudonym: Final = {
    "patient": re.compile(rf"p-[0-9a-f]{{{_HEX}}}").fullmatch,
    "encounter": re.compile(rf"e-[0-9a-f]{{{_HEX}}}").fullmatch,
    "order": re.compile(rf"o-[0-9a-f]{{{_HEX}}}").fullmatch,
    "uid": re.compile(r"2\.25\.(?:0|[1-9][0-9]{0,38})").fullmatch,
}


class Pseudonyms:
    """Gives pseudonyms under one key; the same input has the same one for ever.

    Parameters
    ----------
    key : bytes
        At least 32 random bytes.

    Raises
    ------
    ValueError
        The key is shorter.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) < KEY_BYTES:
            raise ValueError(f"a pseudonym key has at least {KEY_BYTES} bytes")
        self._key = key

    def patient(self, authority: str, number: str) -> str:
        """Return the pseudonym of a patient; it is a valid `PatientId`."""
        return f"p-{self._digest('patient', authority, number)}"

    def encounter(self, authority: str, number: str) -> str:
        """Return the pseudonym of a stay."""
        return f"e-{self._digest('encounter', authority, number)}"

    def order(self, authority: str, number: str) -> str:
        """Return the pseudonym of an order."""
        return f"o-{self._digest('order', authority, number)}"

    def uid(self, uid: str) -> str:
        """Return the pseudonym of a DICOM UID: a UID again, of the arc for UUIDs (PS3.5, B.2)."""
        return f"2.25.{int(self._digest('uid', uid), 16)}"

    def _digest(self, what: str, *parts: str) -> str:
        text = "".join(f"{len(part)}:{part}" for part in (what, *parts))
        return hmac.digest(self._key, text.encode(errors="surrogatepass"), "sha256").hex()[:_HEX]


def replaced(event: EventT, pseudonyms: Pseudonyms, authority: str) -> EventT:
    """Return an event that names patient, stay, order and pictures by their own numbers with pseudonyms in their place.

    They are those that an HL7 v2 message of the same numbers and authority gives.

    Parameters
    ----------
    authority : str
        Who gave the numbers.
    """
    give: Mapping[_Kind, Callable[[str], str]] = {
        "patient": partial(pseudonyms.patient, authority),
        "encounter": partial(pseudonyms.encounter, authority),
        "order": partial(pseudonyms.order, authority),
        "uid": pseudonyms.uid,
    }
    changes = {name: give[kind](value) for name, kind in _KINDS.items() if (value := getattr(event, name, None))}
    return msgspec.structs.replace(event, **changes)


def without_pseudonym(event: Event) -> tuple[str, ...]:
    """Return the fields in which an event names somebody or something by what is not of a pseudonym's form."""
    named = ((name, _is_pseudonym[kind], getattr(event, name, None)) for name, kind in _KINDS.items())
    return tuple(name for name, fits, value in named if value and not fits(value))
