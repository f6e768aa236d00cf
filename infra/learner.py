"""The one learner: training-examples.v1 in its order, one example at a time; snapshots to risk-models.v1.

What it has learned from is part of its snapshot, under one signature: after a kill it goes on from the last snapshot
and learns the rest once more, to the same bits. So no example is learned twice or left out, and a snapshot too few
costs time only. Its producer is transactional with the learner's own id: opening it fences another learner that may
still run, before the newest snapshot is read; the other's next snapshot fails, and it ends.

It never begins anew by itself: where there is a snapshot that it must not open, it ends with the reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from wardstream.agents.streams.producer import FENCED, read_changelog
from wardstream.infra.failure import Failure
from wardstream.models.risk.champion import Settings
from wardstream.models.risk.features import VERSION
from wardstream.models.risk.learner import Learner
from wardstream.models.risk.learning import learnable
from wardstream.models.risk.snapshots import Signed, SnapshotRefused, key_id, opened, signed
from wardstream.models.risk.target import Target
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import decoder_of, encode
from wardstream.schemas.risk_models import TOPIC as MODELS
from wardstream.schemas.risk_models import RiskModel
from wardstream.schemas.training_examples import TOPIC as EXAMPLES
from wardstream.schemas.training_examples import TrainingExample

log = logging.getLogger(__name__)

NAME = "learner"
DEADLINE_S = 30.0
CLOSE_S = 5.0
AT_ONCE = 200  # examples, then other tasks have their turn
SNAPSHOT_EXAMPLES = 1_000
SNAPSHOT_S = 30.0
MAX_REQUEST_BYTES = 4 << 20
_PART = TopicPartition(EXAMPLES.name, 0)
_decode_example = decoder_of(TrainingExample)
_decode_model = decoder_of(RiskModel)


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
    """

    def __init__(
        self, client: Mapping[str, Any], app_id: str, key: Ed25519PrivateKey, target: Target, settings: Settings
    ) -> None:
        self._client = client
        self._key = key
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
        try:
            await self._open()
            while not stop.is_set():
                await self._learn_some()
                if self.position - max(self._saved, 0) >= SNAPSHOT_EXAMPLES or monotonic() > self._save_at:
                    await self._save()
            await self._save()
        except FENCED:
            raise LearnerError("another learner has taken over") from None
        finally:
            for end in (self._consumer.stop, self._producer.stop):
                with contextlib.suppress(KafkaError, TimeoutError, OSError):
                    async with asyncio.timeout(CLOSE_S):
                        await end()

    async def _open(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            await self._producer.start()  # before the snapshot is read: nobody writes another one from now on
        rows = await read_changelog(MODELS.name, 0, self._client)
        row = rows.get(NAME.encode())
        if row is not None:
            self._go_on_from(row)
        async with asyncio.timeout(DEADLINE_S):
            await self._consumer.start()
            self._consumer.assign([_PART])
            begin = (await self._consumer.beginning_offsets([_PART]))[_PART]
            end = (await self._consumer.end_offsets([_PART]))[_PART]
        if not begin <= self.position <= end and (row is not None or begin > 0):
            raise LearnerError(f"{EXAMPLES.name} goes from {begin} to {end}, and {self.position} is next to be learned")
        self._consumer.seek(_PART, self.position)
        self._save_at = monotonic() + SNAPSHOT_S
        log.info("learning from offset %d on, after %d examples", self.position, self.learner.examples)

    def _go_on_from(self, row: bytes) -> None:
        public = self._key.public_key()
        try:
            model = _decode_model(row)
            snapshot = Signed(key_id=model.key_id, signature=model.signature, payload=model.payload)
            self.learner, positions = opened(snapshot, {key_id(public): public})
            self.position = self._saved = positions[EXAMPLES.name]
        except (BadEvent, KeyError):
            raise LearnerError(f"{NAME} on {MODELS.name} is no snapshot of a learner") from None
        except SnapshotRefused as refused:
            raise LearnerError(f"{NAME} on {MODELS.name}: {refused}") from None
        if self.learner.target != self._target:
            raise LearnerError(f"{NAME} on {MODELS.name} has learned another target than the one that is set")

    async def _learn_some(self) -> None:
        async with asyncio.timeout(DEADLINE_S):
            found = await self._consumer.getmany(_PART, timeout_ms=500, max_records=AT_ONCE)
        for record in found.get(_PART, ()):
            self.take(record.offset, record.value)
        await asyncio.sleep(0)

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
        async with asyncio.timeout(DEADLINE_S), self._producer.transaction():
            await self._producer.send_and_wait(MODELS.name, encode(model), NAME.encode(), 0)
        self._saved = self.position
        log.info("snapshot %s, up to offset %d, %d bytes", model.version, self.position, len(snapshot.payload))
