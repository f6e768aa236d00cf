"""The table of subscriptions: what its rows hold, and changes that come at the same time."""

from __future__ import annotations

import asyncio
from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from tests.reading import read_all
from tests.workers import create_topics, worker_environment
from wardstream.infra.api.bodies import Secret
from wardstream.infra.audit import verify_audit
from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.subscriptions import Change, SecretError, Secrets, change, new_secret, read_table, table_of
from wardstream.schemas.audit import AuditRecord
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import decoder_of, encode
from wardstream.schemas.subscriptions import Subscription, Wanted, Webhook

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ONE = Subscription(name="one", at=NOW, made_at=NOW, who="m.garcia", scope=("4B",), wanted=Wanted(priorities=("high",)))
OLD, NEW = bytes(32), bytes(range(32))


def test_a_new_secret_is_base64_that_every_library_takes() -> None:
    one, other = new_secret(), new_secret()
    assert len(b64decode(one.removeprefix("whsec_"), validate=True)) == 32
    assert one != other
    assert msgspec.convert(one, Secret) == one
    for none in (one.removeprefix("whsec_"), "whsec_" + "-" * 32, "whsec_short", one + "\n"):
        with pytest.raises(msgspec.ValidationError):
            msgspec.convert(none, Secret)


def test_secrets_are_bound_to_their_subscription_and_key() -> None:
    sealed = Secrets([OLD]).seal("one", "whsec_invented")
    assert b"invented" not in sealed
    assert Secrets([NEW, OLD]).open("one", sealed) == "whsec_invented"
    for secrets, name, what in (
        (Secrets([OLD]), "two", sealed),
        (Secrets([NEW]), "one", sealed),
        (Secrets([OLD]), "one", sealed[:-1] + bytes([sealed[-1] ^ 1])),
    ):
        with pytest.raises(SecretError, match=name) as refused:
            secrets.open(name, what)
        assert "invented" not in str(refused.value)


def test_rows_that_are_none_are_left_out() -> None:
    hook = replace(ONE, name="two", webhook=Webhook(url="https://example.org/x", secret=b"\x00\xff"))
    rows = {b"one": encode(ONE), b"two": encode(hook), b"three": encode(ONE), b"four": b"{"}
    assert table_of(rows) == {"one": ONE, "two": hook}


@pytest.mark.connected
async def test_changes_at_the_same_time_are_all_kept_and_audited(own_kafka: Cluster, tmp_path: Path) -> None:
    create_topics(worker_environment(own_kafka, tmp_path))
    options = own_kafka.client_options()

    async def make(name: str) -> None:
        def decide(table: dict[str, Subscription], now: datetime) -> Change:
            return Change(name, replace(ONE, name=name, made_at=now), "subscription_made")

        await change(options, "wardstream", "m.garcia", "made by API", decide)

    await asyncio.gather(*(make(f"s{number}") for number in range(2)))
    table = await read_table(options)
    assert sorted(table) == ["s0", "s1"]
    assert all(row.at == row.made_at > NOW for row in table.values())
    await change(
        options, "wardstream", "m.garcia", "ended by API", lambda t, _: Change("s1", None, "subscription_ended")
    )
    assert sorted(await read_table(options)) == ["s0"]

    with pytest.raises(BadEvent, match="scope"):
        await change(
            options,
            "wardstream",
            "m.garcia",
            "made by API",
            lambda t, now: Change("bad", replace(ONE, name="bad", made_at=now, scope=("",)), "subscription_made"),
        )
    head = await verify_audit(options)
    found = (await read_all(",".join(own_kafka.bootstrap_servers), ["audit.v1"]))["audit.v1"]
    entries = [decoder_of(AuditRecord)(record.value) for record in found]
    about = [(entry.what, entry.about) for entry in entries]
    assert ("subscription_ended", "s1") in about
    assert {name for what, name in about if what == "subscription_made"} == {"s0", "s1"}  # and none of `bad`
    assert head.records == len(entries)
