"""What operators have been told and has not ended, from the topic itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from wardstream.infra.kafka.reading import records
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.notices import TOPIC, Notice


async def open_notices(options: Mapping[str, Any]) -> list[Notice]:
    """The notices that are open, the oldest first.

    Raises
    ------
    Failure
        There is no such topic.
    KafkaError, TimeoutError
        The cluster does not answer.
    """
    found: dict[UUID, Notice] = {}
    ended: set[UUID] = set()
    decode = decoder_of(Notice)
    async for record in records(options, TOPIC.name):
        try:
            notice = decode(record.value)
        except BadEvent:
            continue  # not of this version
        if notice.transition == "resolved":
            ended.add(notice.notice_id)
        else:
            found[notice.notice_id] = notice
    return sorted((found[name] for name in found.keys() - ended), key=lambda notice: notice.raised_at)
