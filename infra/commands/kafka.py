"""`wardstream kafka`: Apache Kafka on this machine."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from wardstream.infra.kafka.broker import Cluster
from wardstream.infra.kafka.jars import KAFKA_VERSION, fetch, jars_folder
from wardstream.infra.kafka.security import Security
from wardstream.infra.settings import load_settings

commands = typer.Typer(no_args_is_help=True, help="Apache Kafka on this machine, from Python packages.")

_LOOK_S = 0.5


@commands.command("fetch")
def fetch_jars() -> None:
    """Fetch Kafka's jars and check them; done in an instant when they are there."""
    folder = jars_folder(load_settings())
    fetch(folder)
    typer.echo(f"Apache Kafka {KAFKA_VERSION} is in {folder}")


@commands.command()
def start(
    brokers: Annotated[int, typer.Option(help="1, or 3 with replication")] = 1,
    folder: Annotated[
        Path | None, typer.Option(help="where its data lie [default: WARDSTREAM_HOME/kafka/local]")
    ] = None,
    secure: Annotated[bool, typer.Option("--secure", help="let clients in by TLS, name and password only")] = False,
) -> None:
    """Run Kafka until Ctrl-C; its data stay for the next time."""
    if brokers not in (1, 3):
        raise typer.BadParameter("1 or 3", param_hint="--brokers")
    settings = load_settings()
    jars = jars_folder(settings)
    fetch(jars)
    folder = folder or settings.home / "kafka" / "local"
    security = Security(folder / "security") if secure else None
    stop = threading.Event()
    with Cluster(folder, brokers, security=security, jars=jars) as cluster:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        for name, value in cluster.environment().items():
            typer.echo(f"export {name}={value}")
        typer.echo("Kafka is running; Ctrl-C stops it.", err=True)
        while not stop.wait(_LOOK_S):
            cluster.check()
    typer.echo("Kafka has stopped.", err=True)
