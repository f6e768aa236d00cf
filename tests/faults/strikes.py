"""The faults. Each strikes, holds on, and puts everything back; what it did is told to the ledger.

`hold` shortens what may be short: waits that a timeout of Kafka's gives their meaning (a session, above all) are kept.
"""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.faults.fleet import Worker
from tests.faults.proxy import Trouble
from tests.faults.reading import snapshot
from tests.faults.scene import BROKERS, Scene
from tests.faults.traffic import TOPICS
from wardstream.infra.kafka.node import KafkaDown

SESSION_S = 10.0  # of a worker in its group
BROKER_SESSION_S = 6.0
RESENT_S = 3.0
DISK_NODE = 3  # whose disk can be full


@dataclass
class Told:
    """What a fault did: to what, and when what lanes need was away on purpose (monotonic)."""

    target: str
    away: tuple[float, float] | None = None


Strike = Callable[[Scene, Random, float], Told]


def kill_worker(scene: Scene, rng: Random, hold: float) -> Told:
    worker = rng.choice(scene.fleet.running)
    scene.strike(lambda: scene.fleet.kill(worker))
    resent = scene.tell(do="resend", seconds=RESENT_S)["resent"]
    time.sleep(hold * rng.uniform(0, 5))
    scene.fleet.start()
    return Told(f"{worker.name}, {resent} events resent")


def terminate_worker(scene: Scene, rng: Random, hold: float) -> Told:
    worker = rng.choice(scene.fleet.running)
    scene.strike(lambda: _ask(worker))
    code = scene.fleet.terminate(worker)[0]
    took = time.monotonic() - scene.struck
    time.sleep(hold * rng.uniform(0, 5))
    scene.fleet.start()
    return Told(f"{worker.name}, ended with {code} after {took:.1f} s")


def _ask(worker: Worker) -> None:
    worker.wanted = False
    worker.process.send_signal(signal.SIGTERM)


def stop_worker(scene: Scene, rng: Random, hold: float) -> Told:
    worker = rng.choice(scene.fleet.running)
    stopped_s = SESSION_S + rng.uniform(1, 2 + 8 * hold)
    scene.strike(lambda: scene.fleet.stop(worker))
    time.sleep(stopped_s)
    scene.fleet.resume(worker)
    return Told(f"{worker.name} for {stopped_s:.1f} s")


def _broker(scene: Scene, rng: Random) -> int:
    """A broker other than the active controller; one that leads inputs, for one that has just come back does not."""
    others = set(range(1, BROKERS + 1)) - {scene.cluster.controller()}
    return rng.choice(sorted(others & scene.leaders() or others))


def _kill_broker(scene: Scene, rng: Random, hold: float, broker: int) -> Told:
    down_s = rng.uniform(2, 3) + hold * rng.uniform(0, 12)
    scene.strike(lambda: scene.cluster.kill(broker))
    time.sleep(down_s)
    resent = scene.tell(do="resend", seconds=RESENT_S)["resent"]
    scene.cluster.start(broker)
    return Told(f"broker {broker} for {down_s:.1f} s, {resent} events resent")


def _pause_broker(scene: Scene, rng: Random, hold: float, broker: int) -> Told:
    paused_s = BROKER_SESSION_S + rng.uniform(1, 2 + 8 * hold)
    scene.strike(lambda: scene.cluster.pause(broker))
    time.sleep(paused_s)
    scene.cluster.resume(broker)
    return Told(f"broker {broker} for {paused_s:.1f} s")


def kill_broker(scene: Scene, rng: Random, hold: float) -> Told:
    return _kill_broker(scene, rng, hold, _broker(scene, rng))


def pause_broker(scene: Scene, rng: Random, hold: float) -> Told:
    return _pause_broker(scene, rng, hold, _broker(scene, rng))


def kill_controller(scene: Scene, rng: Random, hold: float) -> Told:
    return _kill_broker(scene, rng, hold, scene.cluster.controller())


def pause_controller(scene: Scene, rng: Random, hold: float) -> Told:
    return _pause_broker(scene, rng, hold, scene.cluster.controller())


def rebalance(scene: Scene, rng: Random, hold: float) -> Told:
    """Two more workers, then two fewer, whichever."""
    added: list[Worker] = []
    scene.strike(lambda: added.append(scene.fleet.start()))
    time.sleep(hold * rng.uniform(0, 4))
    added.append(scene.fleet.start())
    time.sleep(4 + hold * rng.uniform(0, 6))
    removed = rng.sample(scene.fleet.running, 2)
    for worker in removed:
        scene.fleet.terminate(worker)
        time.sleep(hold * rng.uniform(0, 3))
    names = ["+" + worker.name for worker in added] + ["-" + worker.name for worker in removed]
    return Told(" ".join(names))


def rolling_upgrade(scene: Scene, rng: Random, hold: float) -> Told:
    """Workers that do not know one topic yet, replaced one by one by such that do. (It begins by going back.)"""
    topic = rng.choice(["labs.v1", "outcomes.v1"])
    first, older, newer = scene.fleet.running, list[Worker](), list[Worker]()
    scene.strike(lambda: older.append(scene.fleet.start("--without", topic)))
    older += [scene.fleet.start("--without", topic) for _ in first[1:]]
    _replace(scene, first, older, rng, hold)
    time.sleep(1 + hold * rng.uniform(0, 4))  # the topic is there, and read by nobody
    for worker in older:
        newer.append(scene.fleet.start())
        _replace(scene, [worker], newer[-1:], rng, hold)
    return Told(f"{len(older)} workers, {topic}")


def _replace(scene: Scene, before: list[Worker], after: list[Worker], rng: Random, hold: float) -> None:
    for worker, successor in zip(before, after, strict=True):
        scene.fleet.ready(successor)
        time.sleep(hold * rng.uniform(0, 3))
        scene.fleet.terminate(worker)


def cut_network(scene: Scene, rng: Random, hold: float) -> Told:
    """One worker from all brokers, all workers from one broker, or everybody from everything, for over a session."""
    everywhere, workers = frozenset(range(BROKERS)), scene.fleet.running
    worker, broker = rng.choice(workers), rng.choice(sorted(scene.leaders())) - 1
    variant, reset = rng.choice(["worker", "broker", "all"]), rng.random() < 0.5
    cut_s = SESSION_S + rng.uniform(1, 2 + 6 * hold)
    trouble, target = {
        "worker": (Trouble(everywhere, frozenset({worker.pid}), cut=True), worker.name),
        "broker": (Trouble(frozenset({broker}), cut=True), f"broker {broker + 1} from workers"),
        "all": (Trouble(everywhere, cut=True), "all workers from all brokers"),
    }[variant]
    scene.strike(lambda: scene.proxies.afflict(trouble))
    begun = time.monotonic()
    time.sleep(cut_s)
    scene.proxies.mend(reset=reset)
    away = (begun, time.monotonic()) if variant == "all" else None
    return Told(f"{target} for {cut_s:.1f} s, {'reset' if reset else 'went on'}", away)


def slow_link(scene: Scene, rng: Random, hold: float) -> Told:
    """Workers and one broker, or all of them, with a round trip of some tenths of a second."""
    broker, delay_s = rng.choice(sorted(scene.leaders())) - 1, rng.uniform(0.05, 0.2)
    everywhere = rng.random() < 0.5
    brokers = frozenset(range(BROKERS)) if everywhere else frozenset({broker})
    slow_s = 6 + hold * rng.uniform(4, 14)
    scene.strike(lambda: scene.proxies.afflict(Trouble(brokers, delay_s=(delay_s / 2, delay_s))))
    time.sleep(slow_s)
    scene.proxies.mend()
    where = "all brokers" if everywhere else f"broker {broker + 1}"
    return Told(f"{where}: up to {delay_s * 2000:.0f} ms a round trip for {slow_s:.1f} s")


def full_disk(scene: Scene, rng: Random, hold: float) -> Told:
    """Of one broker: it ends, as Kafka does without a disk to write to; there is room again, and it comes back."""
    pid = scene.cluster.pid(DISK_NODE)
    scene.strike(lambda: scene.disk.fill(pid))
    until, ended = time.monotonic() + 30, False
    while time.monotonic() < until and not ended:
        time.sleep(0.2)
        try:
            scene.cluster.check()
        except KafkaDown:
            ended = True
    took = time.monotonic() - scene.struck
    time.sleep(hold * rng.uniform(0, 8))
    if not ended:
        scene.cluster.kill(DISK_NODE)
    scene.disk.free()
    scene.cluster.start(DISK_NODE)
    return Told(
        f"broker {DISK_NODE} ({scene.disk.kind}), {f'ended after {took:.1f} s' if ended else 'had to be killed'}"
    )


def recreate_topic(scene: Scene, rng: Random, hold: float) -> Told:
    """One of the inputs, when all that is in it has been applied; what it held is kept for the checker."""
    topic = rng.choice(TOPICS)
    scene.tell(do="pause", topic=topic)
    if not scene.quiet((topic,)):
        raise RuntimeError(f"{topic} is not read to its end")
    file = scene.folder / f"snapshot-{len(scene.snapshots)}.ndjson"
    held = asyncio.run(snapshot(scene.bootstrap, topic, file))
    scene.snapshots.append(file)
    scene.strike(lambda: scene.delete_topic(topic))
    time.sleep(hold * rng.uniform(0, 4))
    scene.create_topics()
    away = (scene.struck, time.monotonic())
    scene.tell(do="resume", topic=topic)
    return Told(f"{topic}, which held {held} records", away)


def outage_hour(scene: Scene, rng: Random, hold: float) -> Told:
    """No workers for an hour of the stream's time; then they find its events and its ticks."""
    ends = rng.choice(["killed", "terminated"])
    begun = time.monotonic()
    workers = scene.fleet.running

    def blow() -> None:
        for worker in workers:
            if ends == "killed":
                scene.fleet.kill(worker)
            else:
                _ask(worker)

    scene.strike(blow)
    if ends == "terminated":
        scene.fleet.terminate(*workers)
    scene.fleet.skew_s = scene.tell(do="hour")["skew_s"]
    for _ in workers:
        scene.fleet.start()
        time.sleep(hold * rng.uniform(0, 2))
    away = (begun, time.monotonic())
    # The live clock writes its ticks when a worker is there again: who is measured before that was never found silent.
    scene.settle(1)
    if not scene.quiet(("ticks.v1",)):
        raise RuntimeError("the ticks are not read to their end")
    scene.tell(do="speak")
    return Told(f"{len(workers)} workers {ends}", away)


STRIKES: dict[str, Strike] = {
    strike.__name__: strike
    for strike in (
        kill_worker,
        terminate_worker,
        stop_worker,
        kill_broker,
        pause_broker,
        kill_controller,
        pause_controller,
        rebalance,
        rolling_upgrade,
        cut_network,
        slow_link,
        full_disk,
        recreate_topic,
        outage_hour,
    )
}
