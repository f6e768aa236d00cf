"""From bytes to text: MSH-18 (table 0211), or what the bytes themselves say.

Senders declare ASCII and send names in Latin-1, or declare nothing, or put something else into MSH-18. A label that is
wrong costs an accent in a name, a refused message costs a result: so only UTF-8 that was declared and is not is
refused.
"""

from collections.abc import Mapping
from typing import Final

_CODECS: Final[Mapping[str, str]] = {
    "ASCII": "ascii",
    "8859/1": "iso8859-1",
    "8859/2": "iso8859-2",
    "8859/3": "iso8859-3",
    "8859/4": "iso8859-4",
    "8859/5": "iso8859-5",
    "8859/6": "iso8859-6",
    "8859/7": "iso8859-7",
    "8859/8": "iso8859-8",
    "8859/9": "iso8859-9",
    "8859/15": "iso8859-15",
    "UNICODE": "utf-8",
    "UNICODE UTF-8": "utf-8",
    "UTF-8": "utf-8",
    "ISO IR87": "iso2022_jp",
    "GB 18030-2000": "gb18030",
    "KS X 1001": "euc_kr",
    "BIG-5": "big5",
}


def decoded(raw: bytes, charset: str) -> tuple[str, str]:
    """Return the text and the codec by which it was read.

    Parameters
    ----------
    raw : bytes
        The message.
    charset : str
        MSH-18; empty or unknown: UTF-8, or else Latin-1, which reads anything.

    Raises
    ------
    UnicodeDecodeError
        UTF-8 was declared, and it is not.
    """
    codec = _CODECS.get(charset.strip().upper(), "")
    if codec == "utf-8":
        return raw.decode(codec), codec
    for candidate in (codec, "utf-8"):
        if candidate:
            try:
                return raw.decode(candidate), candidate
            except UnicodeDecodeError:
                continue
    return raw.decode("latin-1"), "latin-1"
