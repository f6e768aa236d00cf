"""The board's part of `wardstream serve api`: what it is made of, what runs, and its routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from importlib.util import find_spec
from typing import Any, Final

from fastapi import FastAPI

from wardstream.infra.api.app import Api
from wardstream.infra.api.hub import Hub
from wardstream.infra.api.orders import Orders
from wardstream.infra.board.board import Board
from wardstream.infra.board.flows import Flows
from wardstream.infra.board.looks import Looks, Names
from wardstream.infra.board.models import Models
from wardstream.infra.board.pages import files
from wardstream.infra.board.patient_routes import PatientRoutes
from wardstream.infra.board.reading import DAY_S, Reading, Take
from wardstream.infra.board.routes import Parts, Routes
from wardstream.infra.board.system import LOOK_BACK_S, Systems
from wardstream.infra.settings import Settings
from wardstream.schemas.audit import TOPIC as AUDIT
from wardstream.schemas.audit import AuditRecord
from wardstream.schemas.flow import TOPIC as FLOW
from wardstream.schemas.identities import TOPIC as IDENTITIES
from wardstream.schemas.metrics import TOPIC as METRICS
from wardstream.schemas.notices import TOPIC as NOTICES
from wardstream.schemas.risk_models import TOPIC as SNAPSHOTS

_WHOLE: Final = float("inf")
_IMAGING: Final = ("obstore", "PIL", "pydicom")  # of the extra `imaging`


class Boards:
    """All boards of this process.

    Parameters
    ----------
    client : mapping
        Kafka's client options.
    hub, orders
        Of the API: alerts come from the one, the other writes to the audit, too.
    """

    def __init__(self, settings: Settings, client: Mapping[str, Any], hub: Hub, orders: Orders) -> None:
        self._hub = hub
        self.board = Board(meters=hub.meters)
        ward = self.board.ward
        keys = settings.identity_keys()
        self._names = Names(client, keys)
        self._looks = Looks(client, settings.app_id, orders.turn, hub.meters)
        systems, flows, models = Systems(self.board.clock.wall), Flows(), Models(ward, settings.models)
        self._parts = Parts(systems, flows, models, files(), bool(keys))

        def audited(record: AuditRecord, _: str) -> None:
            self._looks.deed(record)
            models.deed(record)

        others: dict[str, tuple[float, Take]] = {
            METRICS.name: (LOOK_BACK_S, lambda one, _: systems.take(one)),
            FLOW.name: (3 * DAY_S, lambda one, _: flows.take(one)),
            SNAPSHOTS.name: (_WHOLE, lambda one, _: models.snapshot(one)),
            NOTICES.name: (30 * DAY_S, lambda one, _: models.notice(one)),
            AUDIT.name: (7 * DAY_S, audited),
        }
        if keys:
            others[IDENTITIES.name] = _WHOLE, lambda one, key: ward.identity(key, one)
        self._reading = Reading(client, self.board, systems.feeds.hear, others)
        self._pictures = None
        if all(find_spec(name) for name in _IMAGING):
            from wardstream.infra.board.pictures import Pictures  # its packages are an extra

            self._pictures = Pictures(settings)
        hub.listeners.append(self.board.hear)
        self.bodies: tuple[Callable[[], Awaitable[None]], ...] = (self._reading.run, self.board.run, systems.run)

    def mount(self, api: Api, app: FastAPI) -> None:
        """Add the routes to the API's application."""
        Routes(api.door, api.streams, self._hub, self.board, self._parts).mount(app)
        PatientRoutes(api.door, self.board, self._looks, self._names, self._pictures).mount(app)

    async def close(self) -> None:
        """End all streams, and what is held."""
        self.board.close()
        if self._pictures is not None:
            await self._pictures.close()
