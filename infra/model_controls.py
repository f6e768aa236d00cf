"""What operators decide about models: read from model-controls.v1 and risk-models.v1, changed one at a time, audited.

A change is a transaction of a producer whose id is that of the table: opening it fences another one that may be under
way, and only then is the table read. So nobody's change is lost under another's. The audit comes first: what cannot be
written there is not done.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import IllegalOperation, KafkaError, ProducerFenced
from msgspec.structs import replace

from wardstream.agents.streams.producer import read_changelog
from wardstream.infra.audit import write_audit
from wardstream.infra.failure import Failure
from wardstream.schemas.audit import What
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import check, decoder_of, encode
from wardstream.schemas.model_controls import TOPIC as CONTROLS
from wardstream.schemas.model_controls import Approval, ModelControl
from wardstream.schemas.risk_models import TOPIC as MODELS
from wardstream.schemas.risk_models import RiskModel

RISK = "risk"
LEARNER = "learner"  # the learner's own newest snapshot on risk-models.v1
KEPT = 20  # approved snapshots that can be gone back to
MAX_REQUEST_BYTES = 4 << 20
_DEADLINE_S = 30.0
_CLOSE_S = 5.0

decode_control = decoder_of(ModelControl)
decode_model = decoder_of(RiskModel)


class Decision(NamedTuple):
    """A change: how things stand after it, what it is on the audit and of what, and the snapshot it approves."""

    control: ModelControl
    what: What
    about: str
    snapshot: RiskModel | None = None


class Tables(NamedTuple):
    """What has been decided, by model, and the snapshots, by name. What is not of this version is left out."""

    controls: dict[str, ModelControl]
    models: dict[str, RiskModel]


def tables_of(controls: Mapping[bytes, bytes], models: Mapping[bytes, bytes]) -> Tables:
    """Rows, decoded. A row whose key is not its name is none."""
    found = Tables({}, {})
    for key, row in controls.items():
        with contextlib.suppress(BadEvent):
            control = decode_control(row)
            if control.name.encode() == key:
                found.controls[control.name] = control
    for key, row in models.items():
        with contextlib.suppress(BadEvent):
            model = decode_model(row)
            if model.name.encode() == key:
                found.models[model.name] = model
    return found


async def read_tables(options: Mapping[str, Any]) -> Tables:
    """Both tables as they are.

    Raises
    ------
    KafkaError, TimeoutError
        The cluster does not answer.
    """
    return tables_of(await read_changelog(CONTROLS.name, 0, options), await read_changelog(MODELS.name, 0, options))


async def decide(
    options: Mapping[str, Any], app_id: str, who: str, why: str, decision: Callable[[Tables], Decision]
) -> ModelControl:
    """Change how things stand with a model; returns how they stand then.

    Parameters
    ----------
    who, why : str
        For the audit, and for the table.
    decision : callable
        Says from the tables what is to be; may raise Failure.

    Raises
    ------
    Failure
        Another change came between, or what is wanted cannot be. `AuditError` is one.
    BadEvent
        Who, why or a unit is not valid.
    KafkaError, TimeoutError
        The cluster does not answer.
    """
    producer = AIOKafkaProducer(
        **options,
        transactional_id=f"{app_id}-model-controls",
        max_request_size=MAX_REQUEST_BYTES,
        request_timeout_ms=15_000,
    )
    try:
        async with asyncio.timeout(_DEADLINE_S):
            await producer.start()
        now = datetime.now(UTC)
        wanted = decision(await read_tables(options))
        control = replace(wanted.control, at=now, who=who, why=why)
        check(control)
        await write_audit(options, app_id, at=now, who=who, what=wanted.what, why=why, model=wanted.about)
        async with asyncio.timeout(_DEADLINE_S), producer.transaction():
            if wanted.snapshot is not None:
                name = wanted.snapshot.name
                await producer.send_and_wait(MODELS.name, encode(wanted.snapshot), name.encode(), 0)
            await producer.send_and_wait(CONTROLS.name, encode(control), control.name.encode(), 0)
        return control
    except ProducerFenced:
        raise Failure("another change came between: look how things stand, and try again") from None
    finally:
        with contextlib.suppress(KafkaError, IllegalOperation, TimeoutError, OSError):
            async with asyncio.timeout(_CLOSE_S):
                await producer.stop()


def standing(tables: Tables, name: str) -> ModelControl:
    """How things stand with a model; of one that nothing has been decided about: nothing."""
    found = tables.controls.get(name)
    return found or ModelControl(name=name, at=datetime.now(UTC), who="nobody", why="nothing has been decided")


def approve(tables: Tables, approval: Approval, snapshot: RiskModel, what: What) -> Decision:
    """Have a snapshot answer; it is kept under a name of its own, which nobody writes again."""
    before = standing(tables, RISK)
    others = [one for one in before.approved if (one.snapshot, one.kind) != (approval.snapshot, approval.kind)]
    control = replace(before, serving=approval, approved=(*others, approval)[-KEPT:])
    return Decision(
        control, what, f"{RISK} {approval.version} {approval.kind}", replace(snapshot, name=approval.snapshot)
    )


def roll_back(tables: Tables, version: str | None) -> Decision:
    """Have what answered before answer again, or the newest approved one of a version.

    What was approved after it is withdrawn: only who names its version has it answer again, no later step back, and no
    worker that must refuse what is approved.

    Raises
    ------
    Failure
        There is none.
    """
    before = standing(tables, RISK)
    place: int | None
    if version is not None:
        places = [place for place, one in enumerate(before.approved) if one.version == version]
        if not places:
            raise Failure(f"version {version} has never been approved, or too long ago")
        place = places[-1]
    elif before.serving is None:
        raise Failure("nothing answers: there is nothing to go back from")
    else:
        now = before.approved.index(before.serving) if before.serving in before.approved else 0
        place = max((place for place in range(now) if not before.approved[place].withdrawn), default=None)
    last = -1 if place is None else place
    approved = tuple(
        replace(one, withdrawn=number > last or (one.withdrawn and number != last))
        for number, one in enumerate(before.approved)
    )
    wanted = None if place is None else approved[place]
    about = f"{RISK} none" if wanted is None else f"{RISK} {wanted.version} {wanted.kind}"
    return Decision(replace(before, serving=wanted, approved=approved), "model_rolled_back", about)


def freeze(tables: Tables, frozen: bool) -> Decision:
    """Have learning rest, or go on."""
    control = replace(standing(tables, RISK), frozen=frozen)
    return Decision(control, "model_frozen" if frozen else "model_unfrozen", RISK)


def silence(tables: Tables, name: str, units: tuple[str, ...]) -> Decision:
    """Silence a model in some units; in none that are named: everywhere."""
    before = standing(tables, name)
    if units:
        control = replace(before, silent_units=tuple(sorted({*before.silent_units, *units})))
    else:
        control = replace(before, silent=True)
    return Decision(control, "model_silenced", _about(name, units))


def unsilence(tables: Tables, name: str, units: tuple[str, ...]) -> Decision:
    """Have a model be heard in some units; in none that are named: everywhere.

    Raises
    ------
    Failure
        It is silent everywhere: no unit can be taken out of that.
    """
    before = standing(tables, name)
    if units and before.silent:
        raise Failure(f"{name} is silent everywhere: have it be heard everywhere, then silence the other units")
    left = tuple(unit for unit in before.silent_units if unit not in units) if units else ()
    return Decision(replace(before, silent=False, silent_units=left), "model_unsilenced", _about(name, units))


def _about(name: str, units: tuple[str, ...]) -> str:
    return f"{name} in {', '.join(units) if units else 'all units'}"[:128]
