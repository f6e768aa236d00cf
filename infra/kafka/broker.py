"""A real Apache Kafka on this machine, in KRaft mode, for the demo and the tests.

    with Cluster(Path(".wardstream/kafka/demo")) as cluster:
        AIOKafkaProducer(**cluster.client_options())

Data stays in the folder, and a later cluster on it goes on with that, at the same address where it is still free.
"""

from __future__ import annotations

import fcntl
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from wardstream.infra.kafka.asking import alive, ask
from wardstream.infra.kafka.jars import jars_folder, verify
from wardstream.infra.kafka.node import KafkaDown, Node
from wardstream.infra.kafka.ports import Ports
from wardstream.infra.kafka.private_files import write_private
from wardstream.infra.kafka.process import end, spawn_java
from wardstream.infra.kafka.properties import LOG4J2, server_properties
from wardstream.infra.kafka.quorum import quorum_leader
from wardstream.infra.kafka.security import Security
from wardstream.infra.kafka.storage import format_storage
from wardstream.infra.settings import PREFIX, Settings, kafka_client_options, load_settings

START_DEADLINE_S = 240.0  # measured: 3 s for one, 7 s for three, on two cores; 90 s with ten others at work there
STOP_GRACE_S = 10.0
_JVM = (
    # The first compiler only: on two cores it halves the CPU time of a broker's first minutes, and takes nothing away
    # from the throughput that Python clients can ask for (measured: 260,000 records/s from one producer).
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",  # no files outside the folder
    "-XX:+ExitOnOutOfMemoryError",
    "--sun-misc-unsafe-memory-access=allow",  # else a warning at each start
)
_HEAP = "-Xmx512m"


class Cluster:
    """One or three brokers, each a controller too, numbered from 1.

    Parameters
    ----------
    folder
        Where data, configuration and logs live; made when absent. One cluster at a time.
    brokers
        1, or 3 with replication 3 and 2 in-sync replicas.
    security
        How clients are let in; None: plain, from loopback only.
    jars
        Folder of Kafka's jars; where `wardstream kafka fetch` puts them by default.
    proxies
        `host:port` of a proxy for each broker, or none: clients that come through one are sent through them from
        then on. They are to connect to `proxied_servers`.

    Raises
    ------
    JarError
        At start: a jar is missing or is not the recorded one.
    KafkaDown
        At start: the brokers did not answer within the deadline.
    """

    def __init__(
        self,
        folder: Path,
        brokers: int = 1,
        *,
        security: Security | None = None,
        jars: Path | None = None,
        proxies: Sequence[str] = (),
    ) -> None:
        if brokers not in (1, 3):
            raise ValueError("a local cluster has 1 or 3 brokers")
        if proxies and (len(proxies) != brokers or security is not None):
            raise ValueError("a proxy for each broker, and none for secured ones")
        self.folder = folder.absolute()
        self.jars = (jars or jars_folder(load_settings())).absolute()
        self.security = security
        self._count = brokers
        self._proxies = tuple(proxies)
        self._nodes: tuple[Node, ...] = ()
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._paused: set[int] = set()
        self._ports: Ports | None = None
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def bootstrap_servers(self) -> list[str]:
        """`host:port` of every broker, running or not."""
        return [node.address for node in self._nodes]

    @property
    def proxied_servers(self) -> list[str]:
        """Where each proxy is to connect; empty without proxies."""
        return [node.proxied_address for node in self._nodes if node.proxy is not None]

    @property
    def broker_url(self) -> str:
        """The same as `WARDSTREAM_BROKER_URL` wants it."""
        return "kafka://" + ",".join(self.bootstrap_servers)

    def environment(self) -> dict[str, str]:
        """The variables that let another process in; the password goes by file."""
        return {PREFIX + name.upper(): str(value) for name, value in self._settings().items()}

    def settings(self, **overrides: Any) -> Settings:
        """Settings that let us in; `overrides` win."""
        return load_settings(**(self._settings() | overrides))

    def client_options(self) -> dict[str, Any]:
        """Keyword arguments that let an aiokafka client in."""
        return kafka_client_options(self.settings())

    def start(self, i: int | None = None) -> None:
        """Start all brokers, or broker `i` again after `kill` or `stop`; returns when all but paused ones answer."""
        deadline = time.monotonic() + START_DEADLINE_S
        try:
            if i is None:
                verify(self.jars)
                self._prepare()
                users = [] if self.security is None else self.security.format_arguments()
                format_storage(self._nodes, self._jvm(), users, deadline)
            for node in self._nodes if i is None else [self._node(i)]:
                self._spawn(node)
            self._await_ready(deadline)
        except BaseException:
            if i is None:
                self.stop()
            raise

    def stop(self, i: int | None = None) -> None:
        """Stop all brokers, or broker `i`: SIGTERM, then SIGKILL when it takes too long. None is left."""
        if i is not None:
            end([self._process(i)], grace_s=STOP_GRACE_S)
            return
        end(list(self._processes.values()), grace_s=STOP_GRACE_S)
        self._processes.clear()
        self._paused.clear()
        if self._ports is not None:
            self._ports.close()
            self._ports = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def kill(self, i: int) -> None:
        """End broker `i` as a power cut would (SIGKILL)."""
        process = self._process(i)
        process.kill()
        process.wait()

    def pause(self, i: int) -> None:
        """Stop broker `i` in its tracks (SIGSTOP): its connections stay open, and nothing answers."""
        self._process(i).send_signal(signal.SIGSTOP)
        self._paused.add(i)

    def resume(self, i: int) -> None:
        """Let a paused broker go on (SIGCONT)."""
        self._process(i).send_signal(signal.SIGCONT)
        self._paused.discard(i)

    def check(self) -> None:
        """Raise `KafkaDown` when a broker has ended that should run."""
        for i, process in self._processes.items():
            if process.poll() is not None:
                raise KafkaDown(f"broker {i} ended\n{self._node(i).tail()}")

    def pid(self, i: int) -> int:
        """Process id of broker `i`."""
        return self._process(i).pid

    def controller(self) -> int:
        """Which broker is the active controller now (the metadata answer of a KRaft broker names any broker)."""
        return ask(lambda: quorum_leader(self.client_options()))

    def log(self, i: int) -> Path:
        """Log file of broker `i`: warnings and errors."""
        return self._node(i).log

    def _settings(self) -> dict[str, Any]:
        mine: dict[str, Any] = {"broker_url": self.broker_url, "replication": self._count}
        if self.security is not None:
            mine |= {
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": self.security.mechanism,
                "sasl_username": self.security.username,
                "sasl_password_file": self.security.password_file,
                "ssl_cafile": self.security.cafile,
            }
        return mine

    def _node(self, i: int) -> Node:
        return self._nodes[i - 1]

    def _process(self, i: int) -> subprocess.Popen[bytes]:
        return self._processes[i]

    def _prepare(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = (self.folder / ".lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise KafkaDown(f"Another Kafka is running in {self.folder}") from None
        held = len(list(self.folder.glob("broker-*")))
        if held not in (0, self._count):
            raise KafkaDown(f"{self.folder} holds a cluster of {held}, not {self._count}: use another folder")
        self._ports = Ports(self.folder / "ports", 2 * self._count + len(self._proxies))
        ports = iter(self._ports.numbers)
        self._nodes = tuple(
            Node(i, self.folder / f"broker-{i}", next(ports), next(ports)) for i in range(1, self._count + 1)
        )
        if self._proxies:
            self._nodes = tuple(
                replace(node, proxied_port=next(ports), proxy=proxy)
                for node, proxy in zip(self._nodes, self._proxies, strict=True)
            )
        listener = {"security.inter.broker.protocol": "PLAINTEXT"}
        if self.security is not None:
            listener = self.security.listener()
        (self.folder / "log4j2.properties").write_text(LOG4J2, encoding="ascii")
        for node in self._nodes:
            node.data.mkdir(parents=True, exist_ok=True)
            text = server_properties(node, self._nodes, listener)
            write_private(node.properties, text.encode())

    def _spawn(self, node: Node) -> None:
        previous = self._processes.get(node.id)
        if previous is not None and previous.poll() is None:
            raise RuntimeError(f"broker {node.id} is running")
        arguments = [_HEAP, *self._jvm(), "kafka.Kafka", str(node.properties)]
        self._processes[node.id] = spawn_java(arguments, node.log)
        self._paused.discard(node.id)

    def _jvm(self) -> list[str]:
        return [*_JVM, "-cp", f"{self.jars}/*", f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}"]

    def _await_ready(self, deadline: float) -> None:
        expected = {i for i, process in self._processes.items() if process.poll() is None} - self._paused
        while True:
            for i in expected:
                if self._processes[i].poll() is not None:
                    raise KafkaDown(f"broker {i} ended while starting\n{self._node(i).tail()}")
            left = deadline - time.monotonic()
            if left <= 0:
                tails = "\n".join(self._node(i).tail() for i in sorted(expected))
                raise KafkaDown(f"the brokers did not answer within {START_DEADLINE_S:.0f} s\n{tails}")
            if all(_accepts(self._node(i).client_port) for i in expected) and expected <= self._alive(left):
                return
            time.sleep(0.05)

    def _alive(self, timeout_s: float) -> set[int]:
        return ask(lambda: alive(self.client_options(), timeout_s))


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
