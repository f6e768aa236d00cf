"""Batches: a block that begins with FHS or BHS and holds many messages (HL7 v2.5.1, chapter 2, section 2.10.3).

The answer is a batch too: an acknowledgement for each message, in their order, when all of them are done. MSH-15 and
MSH-16 of single messages are passed over: a batch is answered as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_SEGMENT_END: Final = re.compile(rb"\r\n?|\n(?=[A-Z][A-Z0-9]{2}[^A-Za-z0-9\s])")
"""Where they end in CR, an LF within one is part of a document, as in single messages."""
_LF_END: Final = re.compile(rb"\n")
_BEFORE: Final = b"\r\n\t \x00"
_FEW: Final = 64
_BOM: Final = b"\xef\xbb\xbf"
_HEADS: Final = (b"FHS", b"BHS")
_TAILS: Final = (b"FTS", b"BTS")


def is_batch(block: bytes) -> bool:
    """Whether a block is one."""
    return _bare(block).startswith(_HEADS)


def messages(block: bytes) -> list[bytes]:
    """The messages of a batch: from each MSH to what comes before the next, without the batches' own segments."""
    found: list[list[bytes]] = []
    block = _bare(block)
    for segment in (_SEGMENT_END if b"\r" in block else _LF_END).split(block):
        if segment.startswith(b"MSH"):
            found.append([segment])
        elif segment and found and not segment.startswith((*_HEADS, *_TAILS)):
            found[-1].append(segment)
    return [b"\r".join(segments) + b"\r" for segments in found]


def _bare(block: bytes) -> bytes:
    """Without what engines leave before the first segment: ends of lines, and the mark of UTF-8."""
    return block[:_FEW].lstrip(_BEFORE).removeprefix(_BOM).lstrip(_BEFORE) + block[_FEW:]


def answer(acknowledgements: Sequence[bytes]) -> bytes:
    """The batch of acknowledgements."""
    parts = (part.rstrip(b"\r") + b"\r" for part in acknowledgements)
    return b"BHS|^~\\&\r" + b"".join(parts) + b"BTS|%d\r" % len(acknowledgements)
