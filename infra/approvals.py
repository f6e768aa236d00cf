"""What operators have decided about models, as a worker obeys it: which snapshot answers, and where a model is silent.

Both tables are read before the lanes begin, so that a worker that starts answers from its first batch on as it did
before it ended; then they are followed. A snapshot is opened when it is approved: it must be the one that was approved,
bit for bit, signed by a key that is trusted here, and of the target that is set. What must not be opened is refused and
audited, once, and the one before goes on: that in service or, after a restart, the newest that was approved before.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from wardstream.agents import metrics as m
from wardstream.agents.risk import Approved
from wardstream.infra.audit import AuditError, write_audit
from wardstream.infra.kafka.following import Obeyer
from wardstream.infra.model_controls import RISK, tables_of
from wardstream.models.risk.target import CHAMPION, MODELS, Target
from wardstream.schemas.model_controls import TOPIC as CONTROLS
from wardstream.schemas.model_controls import Approval, ModelControl
from wardstream.schemas.risk_models import TOPIC as SNAPSHOTS
from wardstream.schemas.risk_models import RiskModel

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from wardstream.models.risk.learner import Learner

log = logging.getLogger(__name__)

WHO = "worker"  # on the audit


class Trust(NamedTuple):
    """What a snapshot must fit: the target that is set, and the keys that are trusted now, by their short names.

    They are read when they are needed: a learner makes its key when it first runs, and that may be after the worker.
    """

    target: Target
    keys: Callable[[], dict[str, Ed25519PublicKey]]


class _Refused(Exception):
    """Why a snapshot is not served, in a word and in words."""

    def __init__(self, reason: str, said: str) -> None:
        super().__init__(said)
        self.reason = reason


class Approvals(Obeyer):
    """Follows the tables.

    Parameters
    ----------
    client : mapping
        Kafka's client options.
    app_id : str
        Names the audit.
    meters : Meters
        Counts refusals.
    trust : Trust or None
        None: no risk is predicted; only silence is followed.
    """

    def __init__(self, client: Mapping[str, Any], app_id: str, meters: m.Meters, trust: Trust | None) -> None:
        self._client = client
        self._app_id = app_id
        self._meters = meters
        self._trust = trust
        topics = (CONTROLS.name,) if trust is None else (CONTROLS.name, SNAPSHOTS.name)
        super().__init__(client, topics, "what is decided about models")
        self._controls: dict[str, ModelControl] = {}
        self._approval: Approval | None = None
        self._now: Approved | None = None
        self._known: set[tuple[Approval, bytes | None]] = set()  # that were refused
        self._to_audit: list[tuple[str, str]] = []

    def __call__(self) -> Approved | None:
        """The snapshot that answers; None: none does."""
        return self._now

    def is_silent(self, model: str, unit: str | None) -> bool:
        """Whether a model is silent in a unit; None: the unit is not known."""
        control = self._controls.get(model)
        return control is not None and control.is_silent(unit)

    async def step(self) -> None:
        """Wait for changes, obey them, and write what is to be audited; never fails for long."""
        await super().step()
        await self._audit()

    def obey(self) -> None:
        """Look at the rows as they are now."""
        before, self._controls = self._controls, tables_of(self._follower.rows[CONTROLS.name], {}).controls
        if (silent := _silent(self._controls)) != _silent(before):
            log.info("silent from now on: %s", "; ".join(silent) or "no model")
        control = self._controls.get(RISK)
        wanted = None if control is None else control.serving
        if wanted is None or control is None or self._trust is None:
            self._approval = self._now = None
            return
        if wanted == self._approval or self._serve(wanted) or self._now is not None:
            return
        place = control.approved.index(wanted) if wanted in control.approved else len(control.approved)
        for earlier in reversed(control.approved[:place]):
            if not earlier.withdrawn and self._serve(earlier):
                return

    def _serve(self, approval: Approval) -> bool:
        """Have a snapshot answer; False: it is refused."""
        key = approval.snapshot.encode()
        row = self._follower.rows[SNAPSHOTS.name].get(key)
        if (approval, row) in self._known:
            return False
        try:
            found = tables_of({}, {} if row is None else {key: row}).models  # of one row: the others may be large
            learner = self._opened(approval, found.get(approval.snapshot))
        except _Refused as refused:
            log.error("snapshot %s is not served: %s", approval.version, refused)
            self._meters.count(m.SNAPSHOTS_REFUSED, (refused.reason,))
            self._known.add((approval, row))
            self._to_audit.append((f"{RISK} {approval.version} {approval.kind}"[:128], str(refused)))
            return False
        version = approval.version if approval.kind == CHAMPION else f"{approval.version}-{approval.kind}"
        self._approval = approval
        self._now = Approved(version, learner, approval.kind, approval.alert_from)
        log.info("snapshot %s answers", version)
        return True

    def _opened(self, approval: Approval, model: RiskModel | None) -> Learner:
        from wardstream.models.risk.snapshots import Signed, SnapshotRefused, opened  # River and SciPy

        assert self._trust is not None, "without it nothing is served"
        if model is None:
            raise _Refused("missing", "there is no such snapshot, or it cannot be read")
        snapshot = Signed(key_id=model.key_id, signature=model.signature, payload=model.payload)
        if snapshot.digest != approval.digest:
            raise _Refused("other_snapshot", "it is another snapshot than the one that was approved")
        if approval.kind not in MODELS:
            raise _Refused("other_model", "there is no such model in it")
        try:
            learner, _ = opened(snapshot, self._trust.keys())
        except SnapshotRefused as refused:
            raise _Refused(refused.reason, str(refused)) from None
        if learner.target != self._trust.target:
            raise _Refused("other_target", "it has learned another target than the one that is set")
        return learner

    async def _audit(self) -> None:
        while self._to_audit:
            about, why = self._to_audit[0]
            try:
                await write_audit(
                    self._client,
                    self._app_id,
                    at=datetime.now(UTC),
                    who=WHO,
                    what="model_refused",
                    why=why,
                    model=about,
                )
            except AuditError as error:  # later, then
                log.warning("a refused snapshot is not on the audit yet: %s", error)
                return
            self._to_audit.pop(0)


def _silent(controls: Mapping[str, ModelControl]) -> list[str]:
    """Which models are silent, and where."""
    return sorted(
        f"{name} {'everywhere' if one.silent else 'in ' + ', '.join(one.silent_units)}"
        for name, one in controls.items()
        if one.silent or one.silent_units
    )
