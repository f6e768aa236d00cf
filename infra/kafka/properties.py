"""The `server.properties` of a local broker.

What differs from Kafka's defaults is for one machine (small pools and buffers), for tests (no waiting for the first
rebalance, short sessions allowed, timed-out transactions aborted within a second) or because wardstream relies on it
(no auto-created topics, no unclean election). The rest, timestamps and retention too, is as in production.
"""

from __future__ import annotations

from collections.abc import Mapping

from wardstream.infra.kafka.node import Node

BROKER_SESSION_MS = 6000
_INTERNAL_PARTITIONS = 4

# In log4j2's properties format: YAML would load a parser at each start.
LOG4J2 = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601}{UTC}Z %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
"""


def server_properties(node: Node, nodes: tuple[Node, ...], listener: Mapping[str, str]) -> str:
    """Write the configuration of `node`.

    Parameters
    ----------
    node
        Whose configuration.
    nodes
        All brokers, `node` among them.
    listener
        What the clients' listener needs; its protocol is at `security.inter.broker.protocol`.
    """
    replicas = min(3, len(nodes))
    min_isr = 2 if replicas == 3 else 1
    protocol = listener["security.inter.broker.protocol"]
    # Who comes through a proxy is sent through it again; brokers and everybody else connect directly.
    listen = advertise = protocols = ""
    if node.proxy is not None:
        listen, advertise = f",PROXIED://{node.proxied_address}", f",PROXIED://{node.proxy}"
        protocols = f",PROXIED:{protocol}"
    properties: dict[str, object] = {
        "process.roles": "broker,controller",
        "node.id": node.id,
        "controller.quorum.voters": ",".join(f"{n.id}@{n.controller_address}" for n in nodes),
        "listeners": f"{protocol}://{node.address},CONTROLLER://{node.controller_address}{listen}",
        "advertised.listeners": f"{protocol}://{node.address}{advertise}",
        "controller.listener.names": "CONTROLLER",
        # The controllers' own listener is open, on loopback: this broker is for one machine and its user.
        "listener.security.protocol.map": f"{protocol}:{protocol},CONTROLLER:PLAINTEXT{protocols}",
        "log.dirs": node.data,
        # topics
        "auto.create.topics.enable": "false",
        "default.replication.factor": replicas,
        "min.insync.replicas": min_isr,
        "unclean.leader.election.enable": "false",
        # internal topics
        "offsets.topic.num.partitions": _INTERNAL_PARTITIONS,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.num.partitions": _INTERNAL_PARTITIONS,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": min_isr,
        "share.coordinator.state.topic.num.partitions": _INTERNAL_PARTITIONS,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": min_isr,
        # failures are noticed soon
        "broker.session.timeout.ms": BROKER_SESSION_MS,
        "broker.heartbeat.interval.ms": 1000,
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": 1000,
        # one machine
        "num.network.threads": 2,
        "num.io.threads": 4,
        "background.threads": 2,
        "log.cleaner.dedupe.buffer.size": 16 * 1024 * 1024,
        **listener,
    }
    return "".join(f"{name}={value}\n" for name, value in properties.items())
