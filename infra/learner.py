"""The one learner: training-examples.v1 in its order, one example at a time; snapshots to risk-models.v1.

What it has learned from is part of its snapshot, under one signature: after a kill it goes on from the last snapshot
and learns the rest once more, to the same bits. So no example is learned twice or left out, and a snapshot too few
costs time only. Its producer is transactional with the learner's own id: opening it fences another learner that may
still run, before the newest snapshot is read; the other's next snapshot fails, and it ends.

It never begins anew by itself: where there is a snapshot that it must not open, it ends with the reason. Told to begin
anew (`wardstream learner --anew WHY`, audited), it learns all examples that are kept; what answers goes on answering.

An operator may freeze it (`model-controls.v1`, followed in a task of its own): it stops between two examples, at most
`FREEZE_S` after the decision is on the topic, writes where it stands, and waits. Nothing is left out: what came
meanwhile is learned when it goes on. What it measures is on metrics.v1, and what has changed on notices.v1: a notice is
written in the transaction of the snapshot that says so, so that a kill loses none and repeats none.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Any
from uuid import UUID

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wardstream.agents.metrics import RISK_DRIFT, RISK_SNAPSHOTS, Meters
from wardstream.agents.streams.producer import FENCED, read_changelog
from wardstream.infra.audit import write_audit
from wardstream.infra.failure import Failure
from wardstream.infra.kafka.closing import close_all
from wardstream.infra.kafka.following import Follower
from wardstream.infra.model_controls import LEARNER as NAME
from wardstream.infra.model_controls import MAX_REQUEST_BYTES, RISK, decode_control, decode_model
from wardstream.infra.notices import open_notices
from wardstream.infra.risk_watch import gauges, notices
from wardstream.models.risk.champion import Settings
from wardstream.models.risk.features import VERSION
from wardstream.models.risk.keys import key_id
from wardstream.models.risk.learner import Learner
from wardstream.models.risk.learning import learnable
from wardstream.models.risk.snapshots import Signed, SnapshotRefused, opened, signed
from wardstream.models.risk.target import Target
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import decoder_of, encode
from wardstream.schemas.model_controls import TOPIC as CONTROLS
from wardstream.schemas.notices import TOPIC as NOTICES
from wardstream.schemas.risk_models import TOPIC as MODELS
from wardstream.schemas.risk_models import RiskModel
from wardstream.schemas.training_examples import TOPIC as EXAMPLES
from wardstream.schemas.training_examples import TrainingExample

log = logging.getLogger(__name__)

DEADLINE_S = 30.0
SAVE_S = 15.0
AT_ONCE = 200  # examples of a poll
TURN = 20  # examples, then other tasks have their turn
SNAPSHOT_EXAMPLES = 1_000
SNAPSHOT_S = 30.0
REST_S = 0.2
FREEZE_S = 2.0  # a poll of the controls, one of the examples, and a handful of these
_PART = TopicPartition(EXAMPLES.name, 0)
_decode_example = decoder_of(TrainingExample)


class LearnerError(Failure):
    """The learner must not go on; the text says why."""


class LearnerService:
    """Learns until it is told to stop.

    Parameters
    ----------
    client : mapping
        Kafka's client options.
    app_id : str
        Names the learner's transactions.
    key : Ed25519PrivateKey
        Signs snapshots.
    target, settings : Target, Settings
        Of a learner that begins anew; one that goes on has those of its snapshot.
    meters : Meters
        Where it measures.
    anew : str or None
        Why what has been learned is to be forgotten; None: it is not.
    """

    def __init__(
        self,
        client: Mapping[str, Any],
        app_id: str,
        key: Ed25519PrivateKey,
        target: Target,
        settings: Settings,
        meters: Meters,
        anew: str | None = None,
    ) -> None:
        self._client = client
        self._app_id = app_id
        self._anew = anew
        self._key = key
        self._meters = meters
        self._controls = Follower(client, (CONTROLS.name,))
        self._frozen = False
        self._raised: dict[UUID, datetime] = {}  # when the notices began that are open
        self._told = 0  # examples up to which changes are on notices.v1
        self.learner = Learner(target, settings)
        self.position = 0
        self._target = target
        self._saved = -1
        self._save_at = 0.0
        self._producer = AIOKafkaProducer(
            **client,
            transactional_id=f"{app_id}-learner",
            max_request_size=MAX_REQUEST_BYTES,
            transaction_timeout_ms=20_000,
            request_timeout_ms=10_000,
        )
        self._consumer = AIOKafkaConsumer(
            **client, isolation_level="read_committed", enable_auto_commit=False, fetch_max_wait_ms=100
        )

    async def run(self, stop: asyncio.Event) -> None:
        """Learn until `stop` is set; then a last snapshot is written.

        Raises
        ------
        LearnerError
            There is a snapshot that must not be opened or is of another target, another learner has taken over, or
            examples are gone that it has not learned from.
        KafkaError, TimeoutError
            The cluster does not answer.
        """
        following: asyncio.Task[None] | None = None
        try:
            await self._open()
            following = asyncio.create_task(self._follow())
            while not stop.is_set():
                if following.done():
                    following.result()  # it ends with what has failed
                if self._frozen:
                    await self._save()
                    await asyncio.sleep(REST_S)
                else:
                    await self._learn_some()
                if self.position - max(self._saved, 0) >= SNAPSHOT_EXAMPLES or monotonic() > self._save_at:
                    await self._save()
            await self._save()
        except FENCED:
            raise LearnerError("another learner has taken over") from None
        finally:
            if following is not None:
                following.cancel()
                await asyncio.wait([following])
            await close_all(self._consumer.stop, self._controls.close, self._producer.stop)

    async def _open(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await self._producer.start()  # before the snapshot is read: nobody writes another one from now on
        await self._controls.open()
        self._obey()
        self._raised = {one.notice_id: one.raised_at for one in await open_notices(self._client)}
        rows = await read_changelog(MODELS.name, 0, self._client)
        row = None if self._anew is not None else rows.get(NAME.encode())
        if self._anew is not None:
            now, why = datetime.now(UTC), self._anew
            await write_audit(
                self._client, self._app_id, at=now, who="learner", what="model_begun_anew", why=why, model=RISK
            )
        if row is not None:
            self._go_on_from(row)
        async with asyncio.timeout(DEADLINE_S):
            await self._consumer.start()
            self._consumer.assign([_PART])
            begin = (await self._consumer.beginning_offsets([_PART]))[_PART]
            end = (await self._consumer.end_offsets([_PART]))[_PART]
        if self._anew is not None:
            self.position = begin
        if not begin <= self.position <= end and (row is not None or begin > 0):
            raise LearnerError(f"{EXAMPLES.name} goes from {begin} to {end}, and {self.position} is next to be learned")
        self._consumer.seek(_PART, self.position)
        self._save_at = monotonic() + SNAPSHOT_S
        log.info("learning from offset %d on, after %d examples", self.position, self.learner.examples)

    def _go_on_from(self, row: bytes) -> None:
        public = self._key.public_key()
        try:
            model = decode_model(row)
            snapshot = Signed(key_id=model.key_id, signature=model.signature, payload=model.payload)
            self.learner, positions = opened(snapshot, {key_id(public): public})
            self.position = self._saved = positions[EXAMPLES.name]
            self._told = self.learner.examples
        except (BadEvent, KeyError):
            raise LearnerError(f"{NAME} on {MODELS.name} is no snapshot of a learner") from None
        except SnapshotRefused as refused:
            raise LearnerError(f"{NAME} on {MODELS.name}: {refused}") from None
        if self.learner.target != self._target:
            raise LearnerError(f"{NAME} on {MODELS.name} has learned another target than the one that is set")

    async def _follow(self) -> None:
        while True:
            if await self._controls.wait():
                self._obey()

    def _obey(self) -> None:
        row = self._controls.rows[CONTROLS.name].get(RISK.encode())
        try:
            frozen = row is not None and decode_control(row).frozen
        except BadEvent as bad:  # of another version, or somebody else's: what was decided before holds
            log.error("%s on %s cannot be read: %s", RISK, CONTROLS.name, bad)
            return
        if frozen != self._frozen:
            log.warning("learning rests from offset %d on" if frozen else "learning goes on from %d", self.position)
        self._frozen = frozen

    async def _learn_some(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            found = await self._consumer.getmany(_PART, timeout_ms=500, max_records=AT_ONCE)
        for number, record in enumerate(found.get(_PART, ())):
            if number % TURN == TURN - 1:
                await asyncio.sleep(0)
            if self._frozen:
                self._consumer.seek(_PART, self.position)  # what was fetched is fetched again
                return
            self.take(record.offset, record.value)
        await asyncio.sleep(0)

    def look(self) -> None:
        """Set the gauges."""
        behind = self._consumer.highwater(_PART) if self._consumer.assignment() else None
        gauges(self._meters, self.learner, None if behind is None else max(0, behind - self.position), self._frozen)

    def take(self, offset: int, value: bytes | None) -> None:
        """Learn from the record at an offset; one that is behind has been learned from."""
        if offset < self.position:
            return
        self.position = offset + 1
        try:
            example = learnable(_decode_example(value), self._target)
        except BadEvent as bad:  # only this project writes there: somebody else has
            log.error("the example at offset %d is none: %s", offset, bad)
            return
        if example is None:
            return
        for change in self.learner.learn(example):
            log.warning("example %d: %s has changed", change.example, change.what)
            self._meters.count(RISK_DRIFT, (change.what,))
            self._save_at = 0.0

    async def _save(self) -> None:
        self._save_at = monotonic() + SNAPSHOT_S
        if self.position == self._saved:
            return
        snapshot = signed(self.learner, {EXAMPLES.name: self.position}, self._key)
        model = RiskModel(
            name=NAME,
            version=f"{VERSION}.{self.learner.examples}",
            at=datetime.now(UTC),
            key_id=snapshot.key_id,
            signature=snapshot.signature,
            payload=snapshot.payload,
        )
        told = notices(self.learner, self._told, model.at, self._raised)
        # Not aborted where it fails: that would wait for Kafka once more. This learner ends, and the next one does it.
        async with asyncio.timeout(SAVE_S):
            await self._producer.begin_transaction()
            await self._producer.send_and_wait(MODELS.name, encode(model), NAME.encode(), 0)
            for notice in told:
                await self._producer.send_and_wait(NOTICES.name, encode(notice), str(notice.notice_id).encode(), 0)
            await self._producer.commit_transaction()
        self._meters.count(RISK_SNAPSHOTS)
        self._saved, self._told = self.position, self.learner.examples
        self._raised |= {notice.notice_id: notice.raised_at for notice in told}
        log.info("snapshot %s, up to offset %d, %d bytes", model.version, self.position, len(snapshot.payload))
