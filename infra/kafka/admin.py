"""A connection for administration that says why it cannot be had.

aiokafka's admin client (0.14.0) negotiates versions with the broker for each request; on Kafka 4.4 it creates, lists,
describes and extends topics (tested on the real broker). What is missing there: it does not raise the errors of
`create_topics`, asks for topics by name in a way that creates them where brokers allow that (so we always ask for all),
and has neither topic ids nor the quorum's leader.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import KafkaConnectionError, KafkaError, SaslAuthenticationFailed, UnsupportedSaslMechanismError

from wardstream.infra.failure import Failure

_TIMEOUT_MS = 15_000
_WITHOUT_CAUSE = "no answer (is it running, and does the security protocol match?)"


class ClusterUnreachable(Failure):
    """No broker lets us in; the text says where we tried and why."""


@asynccontextmanager
async def admin(options: Mapping[str, Any]) -> AsyncIterator[AIOKafkaAdminClient]:
    """Connect with the options of `kafka_client_options`; close at the end.

    Raises
    ------
    ClusterUnreachable
        Within 15 s a broker address.
    """
    client = AIOKafkaAdminClient(**options, request_timeout_ms=_TIMEOUT_MS)
    try:
        try:
            await client.start()
        except KafkaConnectionError:
            where = ", ".join(f"{host}:{port}" for host, port, _ in collect_hosts(options["bootstrap_servers"], False))
            raise ClusterUnreachable(f"Kafka at {where}: {await _why(options)}") from None
        yield client
    finally:
        await client.close()


async def _why(options: Mapping[str, Any]) -> str:
    """Ask the first address again: the client itself tells the reason only to the log."""
    host, port, _ = collect_hosts(options["bootstrap_servers"], False)[0]
    others = {name: value for name, value in options.items() if name != "bootstrap_servers"}
    try:
        connection = await create_conn(host, port, request_timeout_ms=_TIMEOUT_MS, **others)
    except SaslAuthenticationFailed:
        return "the brokers refuse this name and password"
    except UnsupportedSaslMechanismError:
        return f"the brokers do not take the SASL mechanism {options.get('sasl_mechanism')}"
    except (KafkaError, OSError, TimeoutError) as error:
        return str(error) or _WITHOUT_CAUSE
    connection.close()
    return _WITHOUT_CAUSE
