"""flow.v1 as a table: the last record of each unit and hour; and a unit's forecaster from the changelog, to ask it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from wardstream.agents.closing import MODEL, inflows_of, learnt, snapshot_of
from wardstream.agents.flow import HOSPITAL
from wardstream.agents.streams.producer import read_changelog
from wardstream.agents.streams.state import LaneState
from wardstream.infra.failure import Failure
from wardstream.infra.flow_app import FLOW_SUFFIX
from wardstream.infra.kafka.reading import records
from wardstream.infra.preflight import changelog_name
from wardstream.infra.settings import Settings, kafka_client_options
from wardstream.infra.view.fan import Shown
from wardstream.models.flow.census import MOVEMENTS, Census
from wardstream.models.flow.emergency import Emergency
from wardstream.models.flow.site import FlowCodec, FlowRow, Site
from wardstream.models.flow.unit import Delay, Outlook, Unit
from wardstream.schemas.bad_event import BadEvent
from wardstream.schemas.decode import decoder_of
from wardstream.schemas.flow import TOPIC, Flow

_decode = decoder_of(Flow)
_AN_HOUR = timedelta(hours=1)


class Board:
    """What units last said.

    Attributes
    ----------
    hours
        By unit and hour the last record, without its forecast.
    forecasts
        The newest of each unit.
    newest
        The end of the newest hour.
    next
        The offset to read on from.
    """

    def __init__(self) -> None:
        self.hours: dict[str, dict[datetime, Flow]] = {}
        self.forecasts: dict[str, Flow] = {}
        self.newest: datetime | None = None
        self.next = 0

    def add(self, value: bytes | None) -> None:
        """Take in a record; one that this version does not understand is left out."""
        try:
            flow = _decode(value)
        except BadEvent:
            return
        self.newest = flow.observed_at if self.newest is None else max(self.newest, flow.observed_at)
        self.hours.setdefault(flow.unit, {})[flow.hour_from] = replace(flow, ahead=(), course=(), peak_h=None)
        newest = self.forecasts.get(flow.unit)
        if flow.ahead and (newest is None or flow.hour_from >= newest.hour_from):
            self.forecasts[flow.unit] = flow

    def now(self) -> list[Shown]:
        """Each unit's last hour as it is known now, with the forecast that was made of it, if one was.

        Those that ended are left out. Of the hour that is being told now not all units may have come yet.
        """
        found = []
        for unit, hours in sorted(self.hours.items()):
            last, said = hours[max(hours)], self.forecasts.get(unit)
            if last.ended:
                continue
            late = self.newest is not None and self.newest - last.observed_at > _AN_HOUR
            if said is not None and said.observed_at == last.observed_at and not late:
                last = replace(last, staffed=said.staffed, peak_h=said.peak_h, course=said.course, ahead=said.ahead)
            found.append(Shown(last, None if last.ahead or said is None else said.observed_at))
        return found

    def census(self, unit: str) -> list[tuple[datetime, int]]:
        """Census at the end of each hour, as it is known now."""
        return [(flow.observed_at, flow.census) for _, flow in sorted(self.hours[unit].items())]


async def read_board(options: Mapping[str, Any]) -> Board:
    """Everything that is on flow.v1 now.

    Raises
    ------
    Failure
        There is no such topic.
    KafkaError, TimeoutError
        The cluster does not answer.
    """
    board = Board()
    async for record in records(options, TOPIC.name):
        board.add(record.value)
        board.next = record.offset + 1
    return board


class Asked:
    """The forecasters of a hospital as they were when the last hour was closed. Asking changes nothing."""

    def __init__(self, state: LaneState[FlowRow], site: Site) -> None:
        hospital = state.decoded(HOSPITAL)
        if hospital.closed is None:
            raise Failure("no hour has been closed yet")
        self.hour = hospital.closed
        self._site, self._state = site, state
        models = {name: snapshot_of(_Kept(state.children(name), MODEL)) for name in (HOSPITAL, *hospital.units)}
        self.units = {name: learnt(models[name], site, Unit) for name in hospital.units if models[name] is not None}
        self._emergency = learnt(models[HOSPITAL], site, Emergency)

    def movements(self, unit: str) -> dict[str, int]:
        """Who came to a unit and left it in the hour that was closed last, by kind."""
        series = Census(_Kept(self._state.children(unit), "")).series(self.hour, 1)
        return dict(zip(MOVEMENTS, map(int, series.movements[0]), strict=True))

    def outlook(self, unit: str, delay: Delay | None = None) -> Outlook:
        """What is expected of a unit from the last closed hour on.

        Raises
        ------
        Failure
            There is no such unit, or nothing is known of it.
        """
        if unit not in self.units:
            raise Failure(f"no forecast of {unit}; units are {', '.join(sorted(self.units)) or 'not known yet'}")
        if self.units[unit].present is None:
            raise Failure(f"no forecast of {unit}: it is silent, and nobody knows who is there")
        inflows = inflows_of(self._emergency, self._site, self.units, self.hour)
        return self.units[unit].forecast(self.hour, inflows.get(unit, ()), delay)


class _Kept:
    """Rows of one kind among a unit's rows."""

    def __init__(self, rows: Mapping[str, bytes], kind: str) -> None:
        self._rows = {name.removeprefix(kind): row for name, row in rows.items() if name.startswith(kind)}

    def get(self, name: str) -> bytes | None:
        return self._rows.get(name)

    def put(self, name: str, row: bytes | None) -> None:
        raise TypeError("what is asked is not changed")

    def names(self) -> list[str]:
        return list(self._rows)


async def ask(settings: Settings, site: Site) -> Asked:
    """The forecasters, from the changelog of their lane.

    Raises
    ------
    Failure
        No hour has been closed yet.
    KafkaError, TimeoutError
        The cluster does not answer, or no worker of the group has ever run.
    """
    rows = await read_changelog(changelog_name(f"{settings.app_id}{FLOW_SUFFIX}", 1), 0, kafka_client_options(settings))
    return Asked(LaneState(FlowCodec(), rows), site)
