"""A hospital's own sample messages, from files as interface engines write them.

A file holds one message or many: in MLLP frames, or one after the other with or without blank lines between them (batch
headers are passed over); or it is JSON lines with the message as `message`. Either may be packed by gzip.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from wardstream.infra.failure import Failure
from wardstream.infra.gateways import batch

MAX_FILE_BYTES = 256 * 1024 * 1024  # as it is read; a sample, not an archive
_LINES = (".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz")
_FRAME = re.compile(rb"\x0b(.*?)(?:\x1c\r?|\Z)", re.DOTALL)
_START = re.compile(rb"(?:\A|(?<=[\r\n]))(?=MSH[^\r\nA-Za-z0-9])")
_BATCH = re.compile(rb"(?:\A|(?<=[\r\n]))(?:FHS|BHS|BTS|FTS)[^\r\n]*[\r\n]*")


class _Line(msgspec.Struct):
    message: str


def messages(path: Path) -> Iterator[bytes]:
    """Yield the messages of a file, or of all files of a folder.

    Raises
    ------
    Failure
        Something cannot be read; the text names the file and line.
    """
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    for file in files:
        raw = _content(file)
        yield from _lines(file, raw) if file.name.endswith(_LINES) else split(raw)


def split(raw: bytes) -> Iterator[bytes]:
    """Yield the messages of a text. What comes before the first one is given as it is: it is none."""
    if b"\x0b" in raw:
        for found in _FRAME.finditer(raw):
            yield from batch.messages(found[1]) if batch.is_batch(found[1]) else filter(bytes.strip, (found[1],))
    else:
        text = raw.removeprefix(b"\xef\xbb\xbf")
        yield from filter(bytes.strip, _START.split(_BATCH.sub(b"", text)))


def _content(file: Path) -> bytes:
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            raw = stream.read(MAX_FILE_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise Failure(f"{file} cannot be read: {type(error).__name__}") from None
    if len(raw) > MAX_FILE_BYTES:
        raise Failure(f"{file} is larger than {MAX_FILE_BYTES} bytes")
    return bytes(raw)


def _lines(file: Path, raw: bytes) -> Iterator[bytes]:
    decoder = msgspec.json.Decoder(_Line)
    for number, line in enumerate(raw.splitlines(), start=1):
        if line.strip():
            try:
                message = decoder.decode(line).message.encode()
            except (msgspec.MsgspecError, UnicodeError):
                raise Failure(f"{file}, line {number}: must be a JSON object with the text `message`") from None
            yield from split(message)
