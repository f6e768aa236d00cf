"""One broker's place: its number, folder, ports and log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wardstream.infra.failure import Failure

_TAIL_LINES = 15


class KafkaDown(Failure):
    """A broker did not start, or not in time, or has ended; the text has the end of its log."""


@dataclass(frozen=True)
class Node:
    """One broker that is a controller too; with a second listener where `proxy` is what its clients connect to."""

    id: int
    folder: Path
    client_port: int
    controller_port: int
    proxied_port: int = 0
    proxy: str | None = None

    @property
    def address(self) -> str:
        """Where clients connect."""
        return f"127.0.0.1:{self.client_port}"

    @property
    def controller_address(self) -> str:
        """Where the other controllers connect."""
        return f"127.0.0.1:{self.controller_port}"

    @property
    def proxied_address(self) -> str:
        """Where the proxy connects."""
        return f"127.0.0.1:{self.proxied_port}"

    @property
    def data(self) -> Path:
        """Kafka's own data."""
        return self.folder / "data"

    @property
    def properties(self) -> Path:
        """Its `server.properties`; may hold passwords."""
        return self.folder / "server.properties"

    @property
    def log(self) -> Path:
        """Its warnings and errors."""
        return self.folder / "kafka.log"

    def tail(self) -> str:
        """The end of the log, for a person who looks for the cause."""
        lines = self.log.read_text("utf-8", errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(f"  broker {self.id}: {line}" for line in lines[-_TAIL_LINES:])
