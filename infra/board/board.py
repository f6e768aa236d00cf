"""The board of this process: the ward's tables, and what of them is told, encoded once for all streams."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Final
from uuid import UUID

import msgspec

from wardstream.agents.metrics import BOARD_BEHIND, BOARD_FLUSH, BOARD_PATIENTS, BOARD_STREAMS, BOARD_TILES, Meters
from wardstream.infra.api.hub import NotReady
from wardstream.infra.api.ring import Row
from wardstream.infra.board.shelf import Shelf
from wardstream.infra.board.state import Clock, Ward
from wardstream.infra.board.tiles import encode, tile
from wardstream.schemas.alerts import ENDED, Alert

FLUSH_S: Final = 1.0
ENDED_S: Final = 600.0
"""How long the end of an alert can be told to streams that come back."""
_FORGET_S: Final = 60.0
_READY_S: Final = 20.0

_encode_alert = msgspec.json.Encoder().encode


class Board:
    """Tables and what is told of them.

    Parameters
    ----------
    wall : callable
        Seconds since 1970.
    meters : Meters or None
        Where it counts; None: in some of its own.

    Attributes
    ----------
    epoch : str
        Names this process's versions: those of another one mean nothing here.
    version : int
        Of the newest change.
    """

    def __init__(self, wall: Callable[[], float] = time.time, meters: Meters | None = None) -> None:
        self.meters = meters or Meters()
        self.clock = Clock(wall)
        self.ward = Ward(self.clock)
        self.epoch, self.version = secrets.token_hex(4), 0
        self.tiles, self.alerts = Shelf[str](), Shelf[UUID]()
        self.behind_s: float | None = None  # how old what was read last is; None: not read yet, or not known
        self.source_ok = False
        self.closing = False
        self.told: list[Callable[[], None]] = []  # called when there is a new version
        self._heard: dict[UUID, Row] = {}
        self._ended: dict[UUID, float] = {}
        self._again: dict[str, float] = {}  # patients whose tile changes by itself, and when
        self._ready = asyncio.Event()

    def begin(self) -> None:
        """All that there was has been read."""
        self.ward.forget()
        self.flush()
        self._ready.set()

    async def ready(self) -> None:
        """Wait for `begin`.

        Raises
        ------
        NotReady
            It has not come in time.
        """
        try:
            async with asyncio.timeout(_READY_S):
                await self._ready.wait()
        except TimeoutError:
            raise NotReady from None

    def hear(self, row: Row) -> None:
        """Take a transition of an alert in."""
        alert_id = row.alert.alert_id
        if not self.ward.hear(row):
            return
        if row.alert.state in ENDED and self.alerts.get(alert_id) is None:
            self._heard.pop(alert_id, None)  # it came and went, or had ended when we came: nobody was told
        else:
            self._heard[alert_id] = row

    def look(self) -> None:
        """Set the gauges."""
        self.meters.set(BOARD_PATIENTS, len(self.ward.patients))
        self.meters.set(BOARD_STREAMS, len(self.told))
        if self.behind_s is not None:
            self.meters.set(BOARD_BEHIND, self.behind_s)

    def flush(self) -> bool:
        """Build what has changed, and give it the next version; whether anything has."""
        began = time.monotonic()
        try:
            return self._flush()
        finally:
            self.meters.observe(BOARD_FLUSH, time.monotonic() - began)

    def _flush(self) -> bool:
        now, version = self.clock.now, self.version + 1
        due = {patient_id for patient_id, at in self._again.items() if at <= now}
        changed, self.ward.changed = self.ward.changed | due, set()
        news = [self._tile(patient_id, version, now) for patient_id in changed]
        self.meters.count(BOARD_TILES, by=sum(news))
        heard, self._heard = self._heard, {}
        news += [self._alert(row, version) for row in heard.values()]
        wall = self.clock.wall()
        for alert_id in [alert_id for alert_id, at in self._ended.items() if at < wall - ENDED_S]:
            del self._ended[alert_id]
            news.append(self.alerts.remove(alert_id, version))
        if not any(news):
            return False
        self.version = version
        for tell in self.told:
            tell()
        return True

    def close(self) -> None:
        """End all streams."""
        self.closing = True
        for tell in self.told:
            tell()

    async def run(self) -> None:
        """Flush each second and forget each minute until cancelled."""
        forgotten = self.clock.wall()
        while True:
            await asyncio.sleep(FLUSH_S)
            if not self._ready.is_set():
                continue
            if self.clock.wall() - forgotten >= _FORGET_S:
                forgotten = self.clock.wall()
                self.ward.forget()
            self.flush()

    def _tile(self, patient_id: str, version: int, now: float) -> bool:
        self._again.pop(patient_id, None)
        patient = self.ward.patients.get(patient_id)
        if patient is None or patient.place is None:
            return self.tiles.remove(patient_id, version)
        everybody = tile(patient, self.ward.controls, now, operator=False)
        raw = encode(everybody)
        silent = any(silent for _, silent in patient.answers) or any(
            life.row.silent and life.open for life in patient.alerts.values()
        )
        for_operators = encode(tile(patient, self.ward.controls, now, operator=True)) if silent else raw
        if everybody.comfort_until is not None:
            self._again[patient_id] = everybody.comfort_until.timestamp()
        return self.tiles.put(patient_id, everybody.unit, raw, for_operators, version)

    def _alert(self, row: Row, version: int) -> bool:
        alert = row.alert
        if alert.state not in ENDED:
            self._ended.pop(alert.alert_id, None)
        else:
            self._ended[alert.alert_id] = self.clock.wall()
        raw = told(alert, row.silent)
        return self.alerts.put(alert.alert_id, alert.unit, None if row.silent else raw, raw, version)


def told(alert: Alert, silent: bool) -> bytes:
    """An alert as the list of alerts has it, and whether its model is silent."""
    return (b'{"silent":true,' if silent else b'{"silent":false,') + _encode_alert(alert)[1:]
