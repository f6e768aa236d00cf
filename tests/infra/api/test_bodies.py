"""What clients send: a slip of the pen is refused and named, never taken for nothing."""

from __future__ import annotations

import pytest

from wardstream.infra.api.bodies import ChangedSubscription, Invalid, NewSubscription, decoded
from wardstream.schemas.subscriptions import Wanted


@pytest.mark.parametrize("kind", [NewSubscription, ChangedSubscription])
@pytest.mark.parametrize(
    ("raw", "detail", "fields"),
    [
        (b'{"units":["4B"]}', "no such field", ("units",)),
        (b'{"wanted":{"unit":["4B"]}}', "no such field", ("wanted.unit",)),
        (b'{"wanted":{"units":"4B"}}', "wrong_type", ("wanted.units",)),
        (b'{"%s":1}' % (b"x" * 999), "no such field", ("x" * 64,)),
        (b"[]", "wrong_type", ()),
        (b"{", "malformed_json", ()),
    ],
)
def test_what_is_no_subscription_is_refused_by_name(
    kind: type[NewSubscription], raw: bytes, detail: str, fields: tuple[str, ...]
) -> None:
    with pytest.raises(Invalid) as caught:
        decoded(kind, raw)
    assert (caught.value.detail, caught.value.fields) == (detail, fields)


def test_filters_are_kept_as_they_are_told() -> None:
    body = decoded(NewSubscription, b'{"wanted":{"units":["4B"],"priorities":["high"]}}')
    assert body.wanted.wanted() == Wanted(units=("4B",), priorities=("high",))
