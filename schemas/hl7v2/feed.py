"""What a site declares of one sender: what HL7 v2 leaves open, and every hospital answers in its own way."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta, Struct

from wardstream.schemas.bounds import BOUNDS
from wardstream.schemas.envelope import Label
from wardstream.schemas.labs import Loinc

WORDS: Final = ("consciousness", "oxygen_device", "supplemental_oxygen")
"""Fields of vitals that are said in words."""
FIELDS: Final = frozenset(BOUNDS) - {"age_years"} | frozenset(WORDS)
"""Fields of vitals that a code may stand for."""


class Code(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a local code of OBX-3 means: one of the two.

    Attributes
    ----------
    loinc : str or None
        The LOINC code of the same measurement: a laboratory result, a vital sign or a document.
    field : str or None
        The field of vitals.v1.
    unit : str or None
        UCUM unit of values that come without one.
    """

    loinc: Loinc | None = None
    field: str | None = None
    unit: Label | None = None

    def __post_init__(self) -> None:
        if (self.loinc is None) == (self.field is None):
            raise ValueError("a code has either loinc or field")
        if self.field is not None and self.field not in FIELDS:
            raise ValueError(f"field must be one of {', '.join(sorted(FIELDS))}")


class Feed(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One sender.

    Attributes
    ----------
    name : str
        `source` of its events, and part of their ids: renamed, it sends everything anew.
    facility : str or None
        The hospital or site, where there are several.
    timezone : str
        IANA name of the zone of times that come without an offset, as most do.
    ambiguous : {"earlier", "later", "reject"}
        Which of the two is meant by an hour that comes twice, when summer time ends, where no offset says (that of the
        time itself or of MSH-7). Of the hour that is left out when
        it begins, a time is read by the clock that was not put forward yet; `reject` refuses both.
    authority : str
        Who gave the patients' numbers, where PID-3.4 is empty. Senders that share patients must name it alike.
    identifier_types : tuple of str
        Which identifiers of PID-3 name the patient, by type (PID-3.5, table 0203), the best first. One without a type
        is taken where none of these is there.
    authorities : tuple of str
        Of several numbers of one type, whose names the patient (PID-3.4), the best first; one of others comes after
        them. Empty: as they are sent, so that a sender must always send them in the same order.
    aliases : mapping
        Other names of authorities, as `"1.2.3" = "HOSP"`: what a number's authority is called there, or its universal
        id where it has no name, and what it is called here.
    codes : mapping
        Local codes, as `<code>^^<system>` or `<code>`.
    units : mapping
        Local spellings of units, and the UCUM unit that is meant.
    imaging_orders : bool
        Whether all orders that hold no drug (ORM, OMG) are for pictures, as those of a radiology's system. Else only
        those are that say so.
    processing : frozenset of {"P", "T", "D"}
        Messages of which kind of system are taken (MSH-11, table 0103): production, training, debugging. One that does
        not say is taken.
    ignored : frozenset of str
        Codes, written in the same way, or types of messages (`ORU^R01`) that are not wanted.
    """

    name: Label
    facility: Label | None = None
    timezone: str
    ambiguous: Literal["earlier", "later", "reject"] = "earlier"
    authority: Label
    identifier_types: Annotated[tuple[str, ...], Meta(min_length=1)]
    authorities: tuple[Label, ...] = ()
    aliases: Mapping[str, Label] = {}
    codes: Mapping[str, Code] = {}
    units: Mapping[str, Label] = {}
    imaging_orders: bool = False
    processing: Annotated[frozenset[Literal["P", "T", "D"]], Meta(min_length=1)] = frozenset(("P", "T", "D"))
    ignored: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        try:
            ZoneInfo(self.timezone)
        except (LookupError, ValueError, OSError):  # OSError: the name of a folder of zones
            raise ValueError("timezone must be an IANA name, such as Europe/Berlin") from None

    @property
    def zone(self) -> ZoneInfo:
        """The zone itself; made once for each name."""
        return ZoneInfo(self.timezone)

    def declared(self, code: str, system: str) -> Code | None:
        """Return what a local code means, the entry with its system first; None: not declared."""
        return self.codes.get(f"{code}^^{system}") or self.codes.get(code)

    def leaves_out(self, code: str, system: str) -> bool:
        """Return whether a code is declared as not wanted."""
        return code in self.ignored or f"{code}^^{system}" in self.ignored


def feed_from(settings: Mapping[str, object]) -> Feed:
    """Return the feed that settings describe.

    Raises
    ------
    ValueError
        The text names the key at fault.
    """
    try:
        return msgspec.convert(settings, Feed)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
