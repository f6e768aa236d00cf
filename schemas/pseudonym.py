"""Pseudonyms: what stands for a record number wherever events travel.

HMAC-SHA256 under the installation's key, of what is named (patient, encounter, order), who gave the number (the
assigning authority: two hospitals give the same numbers) and the number, each with its length, so that no two different
inputs are joined to the same text. Cut to 128 bits: two of a billion patients have the same pseudonym with a
probability of 10⁻²¹. Without the key nobody can try numbers out; with another key everybody has another pseudonym, so a
key cannot be changed under a running installation.
"""

import hmac
from typing import Final

KEY_BYTES: Final = 32
_HEX: Final = 32  # characters: 128 bits


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
