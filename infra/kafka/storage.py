"""Data folders, made ready for Kafka once, before its first start."""

from __future__ import annotations

import re
import subprocess
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Sequence

from wardstream.infra.kafka.node import KafkaDown, Node
from wardstream.infra.kafka.process import end, spawn_java

_META = "meta.properties"  # written last: without it the folder is not formatted


def format_storage(nodes: Sequence[Node], jvm: Sequence[str], users: Sequence[str], deadline: float) -> None:
    """Format those data folders that are not, all at the same time.

    Parameters
    ----------
    nodes
        All brokers of the cluster; each has its `server.properties`.
    jvm
        Java's options, with the classpath.
    users
        What StorageTool must know of SCRAM users; only heard when the cluster is made.
    deadline
        On the monotonic clock.

    Raises
    ------
    KafkaDown
        It fails, or takes too long.
    """
    unformatted = [node for node in nodes if not (node.data / _META).exists()]
    cluster_id = _cluster_id(nodes)
    running: list[subprocess.Popen[bytes]] = []
    try:
        for node in unformatted:
            options = ["--cluster-id", cluster_id, "--config", str(node.properties), *users]
            running.append(spawn_java([*jvm, "kafka.tools.StorageTool", "format", *options], node.log))
        for node, process in zip(unformatted, running, strict=True):
            if process.wait(max(0.0, deadline - time.monotonic())) != 0:
                raise KafkaDown(f"broker {node.id}: the data folder cannot be formatted\n{node.tail()}")
    except subprocess.TimeoutExpired:
        raise KafkaDown("the data folders were not formatted in time") from None
    finally:
        end(running, grace_s=0)


def _cluster_id(nodes: Sequence[Node]) -> str:
    for node in nodes:
        meta = node.data / _META
        if meta.exists() and (found := re.search(r"^cluster\.id=(\S+)$", meta.read_text("utf-8"), re.MULTILINE)):
            return found.group(1)
    # As Kafka writes ids; it takes none that begins with a dash.
    return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
