"""What a site has of what a policy names: models that serve, and units that have been heard of.

What it has not is worth a warning and no mistake: a model may be deployed, and a ward opened, after the policy.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final, get_args

from aiokafka import TopicPartition

from wardstream.infra.api.history import Reader
from wardstream.infra.failure import Failure
from wardstream.infra.kafka.topics import describe_topics
from wardstream.infra.model_controls import RISK
from wardstream.infra.model_store import Store
from wardstream.models import chest_xray, sepsis
from wardstream.models.alerts.policy import PatientKind, Policy
from wardstream.schemas.admissions import TOPIC, Admission
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import decoder_of

LOOK_BACK_DAYS: Final = 30
_BEHIND: Final = {
    ("prediction", sepsis.NAME): sepsis.NAME,
    ("finding", chest_xray.FINDING): chest_xray.NAME,
}
"""Which model of the repository says what a condition is of; `risk` is learned on the stream, and is in none."""
_decode = decoder_of(Admission)


def strangers(policy: Policy, models: Path, units: Collection[str] | None) -> Iterator[str]:
    """What the site does not have, a sentence each.

    Parameters
    ----------
    models : Path
        The model repository.
    units : collection of str or None
        Units that have been heard of; None: that is not known, and no unit is a stranger.
    """
    for name, rule in policy.conditions.items():
        if rule.kind not in ("prediction", "finding") or rule.of == RISK:
            continue
        model = _BEHIND.get((rule.kind, rule.of or ""))
        if model is None:
            yield f"conditions.{name}: no model here says {rule.of}: it will never be raised"
        elif Store(models, model).serving() is None:
            yield f"conditions.{name}: no version of {model} serves: until one does it is not raised"
    if units is None:
        return
    named = [name for name, rules in policy.units.items() if any(_is_wards(rule.kind) for rule in rules.values())]
    quiet = {name for one in policy.quiet for name in one.units}
    for unit in sorted({*named, *quiet}.difference(units)):
        yield f"{unit}: no patient has come to such a unit in {LOOK_BACK_DAYS} days"


async def units_heard(options: Mapping[str, Any]) -> set[str]:
    """The units to which patients have come lately.

    Raises
    ------
    Failure
        There is no such topic.
    KafkaError, TimeoutError
        The cluster does not answer.
    """
    present = await describe_topics(options, [TOPIC.name])
    if not present:
        raise Failure(f"no topic {TOPIC.name}: `wardstream topics create` makes it")
    parts = [TopicPartition(TOPIC.name, one.number) for one in present[TOPIC.name].partitions]
    found = set[str]()
    async with aclosing(Reader(options, parts)) as reader:
        await reader.open()
        reader.seek(await reader.begin(int((time.time() - LOOK_BACK_DAYS * 86400) * 1000)))
        end = await reader.end()
        while any(map(int.__lt__, await reader.position(), end)):
            for record in await reader.records():
                try:
                    unit = _decode(record.value).unit
                except BadEvent:  # a dead letter
                    continue
                if unit is not None:
                    found.add(unit)
    return found


def _is_wards(kind: str) -> bool:
    return kind in get_args(PatientKind)
