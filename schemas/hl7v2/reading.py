"""From bytes to segments and fields. Whatever the bytes are, the result is a message or `Malformed`, soon.

python-hl7 splits segments into fields, repetitions, components and subcomponents. It makes an object of each, so it
sees only the segments and fields that are read here (even so it takes two thirds of the time of a mapping), and only
after the counts below have been checked: a million separators would keep it busy for seconds. Its `unescape` logs what
it cannot read, and repeats a `\\.sk\\` as often as the sender says, so escapes (chapter 2, section 2.7) are read here.

Well-formed is what the standard says that every receiver may rely on: MSH first and once, MSH-2, MSH-9 and MSH-10
(chapter 2, section 2.14.9), and lines that begin with the name of a segment. Everything else is judged where it is
used. Lines of one or two characters cannot be segments and are passed over: engines leave them behind.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from wardstream.schemas.hl7v2.charset import decoded
from wardstream.schemas.hl7v2.mapped import Header, Malformed

MAX_BYTES: Final = 1024 * 1024
"""Of one message; larger ones carry documents or films, which are not for a stream of events."""
MAX_SEGMENTS: Final = 10_000
MAX_PARTS: Final = 100_000
"""Fields, repetitions, components and subcomponents of the segments that are read."""

READ: Final[Mapping[str, frozenset[int]]] = {
    name: frozenset(fields)
    for name, fields in {
        "EVN": (1, 2, 6),
        "PID": (3, 5, 7, 8, 18, 30),
        "PV1": (2, 3, 19, 36, 44, 45),
        "MRG": (1,),
        "NK1": (2,),
        "ORC": (1, 2, 3, 5, 7, 9, 15),
        "OBR": (2, 3, 4, 5, 7, 22, 24, 25, 27, 36),
        "OBX": (2, 3, 4, 5, 6, 7, 8, 11, 14, 18),
        "SPM": (17,),
        "TXA": (2, 4, 6, 7, 12, 13, 17),
        "TQ1": (3, 7, 9),
        "RXO": (1, 2, 4),
        "RXE": (2, 3, 5, 23, 24),
        "RXA": (3, 5, 6, 7, 20, 21),
        "RXD": (2, 3, 4, 5),
        "RXR": (1,),
        "IPC": (3, 5),
        "ZDS": (1,),
    }.items()
}
"""The segments and fields that the mappings read; asking for another is a mistake in the mapping."""

_FRAME: Final = b"\x0b\x1c\r\n\t \x00"
_NOT_DELIMITERS: Final = re.compile(r"[\sA-Za-z0-9\x00-\x1f\x7f]")
_NULL: Final = '""'
_MAX_LINES: Final = 100  # of one \.sp\: a page and more


class Delimiters(NamedTuple):
    """Of one message: MSH-1 and MSH-2 (chapter 2, section 2.5.4)."""

    field: str
    component: str
    repetition: str
    escape: str
    subcomponent: str


class Segment:
    """One segment of a message, to be read by numbers as the standard gives them.

    Attributes
    ----------
    name : str
        Such as `OBX`.
    number : int
        Which of its name it is in the message, from 1.
    index : int
        Which of the segments that are read.
    raw : str
        As it was sent.
    """

    __slots__ = ("_message", "_parsed", "index", "name", "number", "raw")

    def __init__(self, message: "Message", name: str, number: int, index: int, raw: str, parsed: Any) -> None:
        self._message = message
        self._parsed = parsed
        self.name = name
        self.number = number
        self.index = index
        self.raw = raw

    def text(self, field: int, component: int = 1, subcomponent: int = 1, repetition: int = 1) -> str:
        """Return one value without its escapes and outer blanks; empty: not sent, or sent as null."""
        value = _at(self._field(field), (repetition, component, subcomponent))
        if not value or value == _NULL:
            return ""
        return self._message.unescaped(value).strip() if self._message.delimiters.escape in value else value.strip()

    def is_null(self, field: int, component: int = 1) -> bool:
        """Return whether a value, or the whole field, was sent as null: what is known of it is to be deleted."""
        found = self._field(field)
        return str(found) == _NULL or _at(found, (1, component, 1)) == _NULL

    def whole(self, field: int, repetition: int = 1) -> str:
        """Return a repetition as a text in which nothing is separated: of senders that forget to escape `&` and `^`."""
        found = self._field(field)
        if len(found) < repetition:
            return ""
        value = str(found[repetition - 1])
        return "" if value == _NULL else self._message.unescaped(value).strip()

    def repetitions(self, field: int) -> int:
        """Return how often a field is repeated; 0: it was not sent."""
        found = self._field(field)
        return 0 if not str(found) else len(found)

    def _field(self, field: int) -> Any:
        if field not in READ[self.name]:
            raise LookupError(self.place(field))  # it has not been split
        parsed = self._parsed
        return parsed[field] if len(parsed) > field else ""

    def place(self, field: int) -> str:
        """Return the name of a place in the message, such as `PID-3`, or `OBX[2]-5` of what may come often."""
        return f"{self.name}[{self.number}]-{field}" if self.name in ("OBX", "OBR") else f"{self.name}-{field}"


class Message:
    """A well-formed message."""

    __slots__ = ("delimiters", "header", "msh", "raw", "segments", "unescaped")

    def __init__(self, raw: bytes, header: Header, delimiters: Delimiters, msh: str) -> None:
        self.raw = raw
        self.header = header
        self.delimiters = delimiters
        self.msh = msh
        self.segments: list[Segment] = []
        self.unescaped: Callable[[str], str] = _unescaper(delimiters, header.encoding)

    def first(self, name: str) -> Segment | None:
        """Return the first segment of a name."""
        return next((segment for segment in self.segments if segment.name == name), None)

    def all(self, name: str) -> Iterator[Segment]:
        """Yield the segments of a name."""
        return (segment for segment in self.segments if segment.name == name)

    def part(self, *segments: Segment | None) -> bytes:
        """Return a sound message of the header and some of the segments, in their order here."""
        chosen = sorted({segment.index for segment in segments if segment is not None})
        lines = (self.msh, *(self.segments[index].raw for index in chosen))
        return "".join(f"{line}\r" for line in lines).encode(self.header.encoding, errors="replace")


def read(raw: bytes) -> Message:
    """Return the message that the bytes hold.

    Raises
    ------
    Malformed
        It is none. Nothing else is raised for any bytes.
    """
    if len(raw) > MAX_BYTES:
        raise Malformed("AR", "207", "message", f"larger than {MAX_BYTES} bytes", header_of_large(raw))
    raw = raw.strip(_FRAME).removeprefix(b"\xef\xbb\xbf")
    if not raw.startswith(b"MSH"):
        raise Malformed("AR", "100", "MSH", "a message begins with MSH")
    if raw.count(b"\r") + raw.count(b"\n") > MAX_SEGMENTS:
        raise Malformed("AR", "207", "message", f"more than {MAX_SEGMENTS} segments", header_of_large(raw))
    first = re.split(rb"[\r\n]", raw, maxsplit=1)[0].decode("latin-1")
    if len(first) < 8:
        raise Malformed("AR", "100", "MSH", "a message begins with MSH")
    charset = _field(first, 17)
    try:
        text, encoding = decoded(raw, re.split(r"[~\\]", charset, maxsplit=1)[0])
    except UnicodeDecodeError:
        text = ""
        encoding = "latin-1"
    if not text:
        raise Malformed("AE", "102", "MSH-18", "UTF-8 is declared, and it is not", _header(first, encoding)[0])
    lines = [line for line in _lines(text) if len(line.strip()) > 2]
    header, delimiters = _header(lines[0], encoding)
    if not header.type:
        raise Malformed("AR", "101", "MSH-9", "the type of the message is missing", header)
    if not header.control_id:
        raise Malformed("AE", "101", "MSH-10", "the control id is missing", header)
    message = Message(raw, header, delimiters, lines[0])
    message.segments = list(_segments(message, lines[1:]))
    return message


def _lines(text: str) -> list[str]:
    """The segments as they were sent. Where they end in CR, an LF within one is part of a document, not an end."""
    if "\r" not in text:
        return text.split("\n")
    return re.split(rf"\r\n?|\n(?=[A-Z][A-Z0-9]{{2}}{re.escape(text[3])})", text)


def _header(line: str, encoding: str) -> tuple[Header, Delimiters]:
    """The header and the delimiters that it declares."""
    if len(line) < 4:
        raise Malformed("AR", "100", "MSH", "a message begins with MSH")
    separator, encoding_characters = line[3], _field(line, 1)
    delimiters = _delimiters(separator, encoding_characters)
    fields = line.split(separator)
    get = (fields + [""] * 21).__getitem__  # MSH-n is at n - 1, for MSH-1 is the separator
    header = Header(
        sending_application=get(2).strip(),
        sending_facility=get(3).strip(),
        receiving_application=get(4).strip(),
        receiving_facility=get(5).strip(),
        sent_at=get(6).strip(),
        control_id=get(9).strip(),
        processing_id=_component(get(10), delimiters),
        version=_component(get(11), delimiters),
        accept_ack=get(14).strip(),
        application_ack=get(15).strip(),
        charset=get(17).split(delimiters.repetition)[0].strip() if delimiters.repetition else get(17).strip(),
        delimiters=separator + encoding_characters,
        encoding=encoding,
    )
    if not 2 <= len(encoding_characters) <= 5 or _NOT_DELIMITERS.search(separator + encoding_characters):
        raise Malformed("AE", "102", "MSH-2", "no delimiters that can be used", header._replace(delimiters="|^~\\&"))
    kind = [part.strip() for part in get(8).split(delimiters.component)[:2]]
    profiles = tuple(
        profile.replace(delimiters.component, "^").strip() for profile in get(20).split(delimiters.repetition)
    )
    return header._replace(type="^".join(kind).rstrip("^"), profiles=tuple(filter(None, profiles))), delimiters


def _delimiters(separator: str, characters: str) -> Delimiters:
    """What MSH-2 declares; what it leaves out is as usual. `^~&` is read as what its senders mean by it."""
    if len(characters) == 3 and characters[2] == "&":
        characters = f"{characters[:2]}\\&"
    usual = "^~\\&"
    return Delimiters(separator, *(characters[:4] + usual[len(characters[:4]) :]))


def header_of_large(raw: bytes) -> Header | None:
    """Return what can be said of a message, or of its beginning, that nobody reads: so much that it can be answered."""
    line = re.split(rb"[\r\n]", raw[:4096].lstrip(_FRAME), maxsplit=1)[0].decode("latin-1")
    if not line.startswith("MSH") or len(line) < 8:
        return None
    try:
        return _header(line, "latin-1")[0]
    except Malformed as error:
        return error.header


def _segments(message: Message, lines: Iterable[str]) -> Iterator[Segment]:
    header, delimiters = message.header, message.delimiters
    named = re.compile(rf"[A-Z][A-Z0-9]{{2}}(?={re.escape(delimiters.field)}|\s*\Z)")
    kept: list[str] = []
    document = False
    for number, raw in enumerate(lines, start=2):
        line = raw.strip("\x0b\x1c\t \x00")
        if not named.match(line) or line.startswith("MSH"):
            if document and not line.startswith("MSH"):
                continue  # of a document in Base64 that was wrapped; nothing of it is read
            raise Malformed("AE", "100", f"line {number}", "no segment can stand here", header)
        document = line.startswith("OBX") and line.split(delimiters.field, 3)[2:3] == ["ED"]
        if line[:3] in READ:
            kept.append(line)
    text = "\r".join(_wanted(line, delimiters.field) for line in kept)
    if sum(map(text.count, {*delimiters} - {delimiters.escape})) > MAX_PARTS:
        raise Malformed("AR", "207", "message", f"more than {MAX_PARTS} parts", header)
    seen: dict[str, int] = {}
    for index, (line, parsed) in enumerate(zip(kept, _split(text, delimiters, header), strict=True)):
        name = line[:3]
        seen[name] = seen.get(name, 0) + 1
        yield Segment(message, name, seen[name], index, line, parsed)


def _wanted(line: str, separator: str) -> str:
    """A segment with only the fields that are read."""
    wanted, fields = READ[line[:3]], line.split(separator)
    return separator.join([part if n in wanted or not n else "" for n, part in enumerate(fields)]).rstrip(separator)


def _split(text: str, delimiters: Delimiters, header: Header) -> list[Any]:
    """Let python-hl7 split segments; it wants a header first, which tells it the delimiters."""
    if not text:
        return []
    import hl7  # of the extra `gateway`: the command line must start without it

    field, component, repetition, escape, subcomponent = delimiters
    first = f"MSH{field}{component}{repetition}{escape}{subcomponent}{field}"
    try:
        return list(hl7.parse(f"{first}\r{text}"))[1:]
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, TypeError, ValueError):
        bad = Malformed("AE", "207", "message", "cannot be split into fields", header)
    raise bad  # outside of the handler: its context would quote the message


def _at(node: Any, path: tuple[int, ...]) -> str:
    """Follow 1-based numbers down; where nothing is separated any more, the rest is the first of its kind."""
    for number in path:
        if isinstance(node, str):
            if number != 1:
                return ""
        elif len(node) < number:
            return ""
        else:
            node = node[number - 1]
    while not isinstance(node, str):
        if not node:
            return ""
        node = node[0]
    return node


def _field(line: str, number: int) -> str:
    """A field of the header line, by its index when split; empty where it is not there."""
    fields = line.split(line[3], number + 1)
    return fields[number].strip() if len(fields) > number else ""


def _component(field: str, delimiters: Delimiters) -> str:
    return field.split(delimiters.component)[0].strip()


@lru_cache(maxsize=64)
def _unescaper(delimiters: Delimiters, encoding: str) -> Callable[[str], str]:
    """The function that reads the escapes of one set of delimiters (chapter 2, section 2.7)."""
    field, component, repetition, escape, subcomponent = delimiters
    plain = {
        "F": field,
        "S": component,
        "T": subcomponent,
        "R": repetition,
        "E": escape,
        "P": "#",
        ".br": "\n",
        ".ce": "\n",
    }
    mark = re.escape(escape)
    sequence = re.compile(rf"{mark}([^{mark}\r\n]{{0,64}}){mark}")

    def meant(found: re.Match[str]) -> str:
        said = found[1]
        if said in plain:
            return plain[said]
        if said[:1] == "X":
            try:
                return bytes.fromhex(said[1:]).decode(encoding, errors="replace")
            except ValueError:
                return ""
        if said[:3] in (".sp", ".sk"):
            count = said[3:].strip().lstrip("+")
            times = min(int(count), _MAX_LINES) if count.isascii() and count.isdecimal() else 1
            return ("\n" if said[:3] == ".sp" else " ") * times
        return ""  # highlighting, indents, fonts, other character sets: nothing that a text here shows

    def unescaped(value: str) -> str:
        return sequence.sub(meant, value)

    return unescaped
