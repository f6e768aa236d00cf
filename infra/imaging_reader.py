"""A process that reads untrusted image files: `python -m wardstream.infra.imaging_reader`.

It has no network connection, no credentials and no state, and limits of its own on memory and files; its parent ends it
when it takes too long. Requests come on standard input and answers go to what was standard output; both are a length
(4 bytes, big-endian) and MessagePack. Decoders that print go to nowhere: what they print may quote the patient.
"""

from __future__ import annotations

import os
import resource
import sys
from typing import BinaryIO

import msgspec

from wardstream.models.imaging.film import About, Reading
from wardstream.models.imaging.suitability import Rules

HEAD = 4
MAX_ANSWER = 8 << 20  # 16 frames of 512×512 are 4 MiB


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A file to read; `stated` is what the event says about it."""

    stated: About
    rules: Rules
    raw: bytes


def limit(memory_bytes: int) -> None:
    """Bound what this process may take. Files can be read, as libraries are, but none written."""
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer until there are no more requests."""
    from wardstream.models.imaging.reading import read  # its libraries are loaded within the limits

    decode, encode = msgspec.msgpack.Decoder(Asked).decode, msgspec.msgpack.Encoder().encode
    while len(head := requests.read(HEAD)) == HEAD:
        asked = decode(requests.read(int.from_bytes(head, "big")))
        try:
            answer = encode(read(asked.raw, asked.stated, asked.rules))
        except MemoryError:
            answer = encode(Reading(refused="too_large"))
        del asked
        answers.write(len(answer).to_bytes(HEAD, "big") + answer)
        answers.flush()


def main() -> None:
    """Take the two pipes to the parent out of the decoders' reach, then serve."""
    answers = os.fdopen(os.dup(1), "wb")
    requests = os.fdopen(os.dup(0), "rb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(nowhere, standard)
    limit(int(sys.argv[1]))
    serve(requests, answers)


if __name__ == "__main__":
    main()
