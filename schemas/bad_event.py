"""The one exception for bad input.

It names a reason and fields, never values: it goes into logs, metrics and headers, which carry no patient data. It is
therefore raised outside of `except` blocks too, so that it has no `__context__` that quotes what was read.
"""

from typing import Final

REASONS: Final = {
    "too_large": "the raw message, or a text or collection in it, is larger than its limit",
    "malformed_json": "not one JSON document in UTF-8, or nested too deeply",
    "wrong_type": "a field has another JSON type than the schema says",
    "missing_field": "a required field is absent, or absent though other fields call for it",
    "out_of_bounds": "a number is physiologically or physically impossible",
    "bad_format": "a text is not of the form or not one of the words that the schema allows",
    "unknown_unit": "the unit of a value is none that is known for what was measured",
    "future": "observed more than five minutes after it was received, or received that long after the live clock's now",
    "inconsistent": "fields contradict each other",
    "no_pseudonym": "an id is not of the form of our pseudonyms, and nobody has said whose numbers the sender uses",
    "empty": "an event without content that is not a cancellation",
}
"""Every reason code with its meaning; the dead-letter header `reason` holds one of them."""


class BadEvent(ValueError):
    """Input that is not a valid event.

    Attributes
    ----------
    reason : str
        One of `REASONS`.
    fields : tuple of str
        Paths of the fields at fault (`heart_rate_bpm`, `leads[].samples`), as the schema names them; never values.
    """

    def __init__(self, reason: str, *fields: str) -> None:
        super().__init__(f"{reason}: {', '.join(fields)}" if fields else reason)
        self.reason = reason
        self.fields = fields

    def __reduce__(self) -> tuple[type["BadEvent"], tuple[str, ...]]:
        return type(self), (self.reason, *self.fields)
