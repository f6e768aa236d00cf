"""What a message says of who the patient is, taken out of its own free text.

Letters and reports repeat the patient's name, number, address and telephone. What the message's own segments say of
them (PID, MRG, NK1, and PV1-19) is replaced in its texts by what it is, such as `[name]`: whole words, in any case,
with or without accents. Of an address each part counts, with and without its numbers; of telephones and long numbers
the digits, however they are grouped. Words of fewer than three characters and numbers of fewer than four are found
anywhere, and stay. So do other people's names, clinicians' and those of relatives that the message does not name: a
free text remains identifying.

To compile a pattern takes as long as all else that is done with a message, and most texts say nothing of the patient.
So only what can be in a text becomes a pattern: that of which a word, or all digits, are in it somewhere.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from wardstream.schemas.hl7v2.reading import Message

_NAMES: Final[Mapping[str, tuple[int, ...]]] = {"PID": (5, 6, 9), "NK1": (2,), "MRG": (7,)}
_NUMBERS: Final[Mapping[str, tuple[int, ...]]] = {"PID": (2, 3, 4, 18, 19), "PV1": (19,), "MRG": (1, 2, 3, 4, 5)}
_ADDRESSES: Final[Mapping[str, tuple[int, ...]]] = {"PID": (11,), "NK1": (4,)}
_TELEPHONES: Final[Mapping[str, tuple[int, ...]]] = {"PID": (13, 14), "NK1": (5, 6)}
_STREET_TOWN_CODE: Final = (0, 1, 2, 4)  # components of an XAD that say more than a state or a country
_WORD, _NUMBER, _GROUPED = 3, 4, 6  # the shortest; from so many digits on they may be grouped in any way
_MOST: Final = 500
_PARTICLES: Final = frozenset(("and", "bin", "das", "del", "den", "der", "dos", "the", "van", "von", "zum", "zur"))
"""Of names; alone they name nobody, and in a text they are everywhere."""
_GAP: Final = r"[\s()/.+-]{0,3}"
_ASCII_OR_NOT: Final = re.compile(r"([\x00-\x7f]+)|[^\x00-\x7f]+")
_NO_DIGITS: Final = re.compile(r"\D+")
_WORDS: Final = re.compile(r"[^\W\d_]+")
_LETTER: Final = re.compile(r"[^\W\d]")


class _Wanted(NamedTuple):
    """A pattern, and what a text must hold for it to be found: a part of it, or its digits."""

    pattern: str
    part: str


def redactor(message: Message) -> Callable[[str], str]:
    """Return the function that takes who the patient is out of a text of the message."""
    kinds = {"number": _numbers, "telephone": _telephones, "address": _addresses, "name": _names}
    wanted = {
        label: sorted(dict.fromkeys(find(message)), key=lambda one: len(one.pattern), reverse=True)[:_MOST]
        for label, find in kinds.items()
    }

    def without(text: str) -> str:
        folded, origin = _folded(text)
        digits = _NO_DIGITS.sub("", folded)
        groups = []
        for label, some in wanted.items():
            found = [one.pattern for one in some if one.part in (digits if one.part.isdecimal() else folded)]
            if found:
                groups.append(f"(?P<{label}>{'|'.join(found)})")
        if not groups:
            return text
        said, end = [], 0
        for match in re.finditer(rf"(?<![^\W_])(?:{'|'.join(groups)})(?![^\W_])", folded):
            said += [text[end : origin[match.start()]], f"[{match.lastgroup}]"]
            end = origin[match.end()]
        return "".join((*said, text[end:])) if said else text

    return without


def _folded(text: str) -> tuple[str, Sequence[int]]:
    """A text without case and accents, and where in the text each of its characters, and its end, was."""
    if text.isascii():
        return text.lower(), range(len(text) + 1)
    parts: list[str] = []
    origin: list[int] = []
    for run in _ASCII_OR_NOT.finditer(text):
        if run[1]:
            parts.append(run[1].lower())
            origin += range(run.start(), run.end())
        else:
            for place, character in enumerate(run[0], start=run.start()):
                parts.append(_plain(character).casefold())
                origin += [place] * len(parts[-1])
    return "".join(parts), [*origin, len(text)]


def _plain(text: str) -> str:
    return "".join(part for part in unicodedata.normalize("NFKD", text) if not unicodedata.combining(part))


def _values(message: Message, fields: Mapping[str, tuple[int, ...]]) -> Iterator[list[str]]:
    """The components of each repetition of some fields."""
    delimiters = message.delimiters
    for segment in message.segments:
        if segment.name not in fields:
            continue
        parts = segment.raw.split(delimiters.field)
        for number in fields[segment.name]:
            for repetition in parts[number].split(delimiters.repetition) if len(parts) > number else ():
                components = repetition.replace(delimiters.subcomponent, " ").split(delimiters.component)
                yield [message.unescaped(component) for component in components]


def _names(message: Message) -> Iterator[_Wanted]:
    for components in _values(message, _NAMES):
        for word in _WORDS.findall(_folded(" ".join(components[:3]))[0]):
            if len(word) >= _WORD and word not in _PARTICLES:
                yield _Wanted(re.escape(word), word)


def _numbers(message: Message) -> Iterator[_Wanted]:
    for number, *_ in _values(message, _NUMBERS):
        yield from _digits(number)


def _telephones(message: Message) -> Iterator[_Wanted]:
    for components in _values(message, _TELEPHONES):
        for said in (*components[:1], *components[3:4], "".join(components[5:7]), *components[6:7], *components[11:12]):
            yield from _digits(said)


def _addresses(message: Message) -> Iterator[_Wanted]:
    for components in _values(message, _ADDRESSES):
        for index in _STREET_TOWN_CODE:
            part = components[index] if len(components) > index else ""
            words = _folded(part)[0].split()
            for some in (words, [word for word in words if not word[0].isdigit()]):
                if sum(map(len, some)) >= (_NUMBER if "".join(some).isdigit() else _WORD):
                    yield _Wanted(r"\s+".join(map(re.escape, some)), max(some, key=len))


def _digits(text: str) -> Iterator[_Wanted]:
    """A number as it is written, and its digits in any grouping."""
    plain = _folded(text)[0].strip()
    if len(plain) < _NUMBER:
        return
    yield _Wanted(r"\s+".join(map(re.escape, plain.split())), max(plain.split(), key=len))
    digits = _NO_DIGITS.sub("", plain)
    if len(digits) >= _GROUPED and _LETTER.search(plain) is None:
        yield _Wanted(_GAP.join(digits), digits)
