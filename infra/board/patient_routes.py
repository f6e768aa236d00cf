"""The board's routes about one patient: who may see whom, and what is noted before anything is shown."""

from __future__ import annotations

from typing import Annotated, Final, Protocol
from uuid import UUID

from fastapi import FastAPI, Request, Response
from msgspec import Meta

from wardstream.infra.api.access import Door
from wardstream.infra.api.app import read_body
from wardstream.infra.api.bodies import Body, Invalid, decoded
from wardstream.infra.board.board import Board
from wardstream.infra.board.chart import LONGEST_H, chart
from wardstream.infra.board.looks import Looks, Names
from wardstream.infra.board.patient import Patient
from wardstream.infra.board.routes import NO_STORE, Handler, audience, said
from wardstream.infra.board.tiles import encode
from wardstream.infra.gateways.auth import Principal
from wardstream.infra.gateways.http import Refused
from wardstream.schemas.envelope import PatientId
from wardstream.schemas.findings import Finding
from wardstream.schemas.imaging import Imaging

MOST_NAMES: Final = 64
_NOBODY: Final = "there is no such patient, or it is not for this token"
_NO_PICTURE: Final = "there is no such picture"


class Wanted(Body, frozen=True, kw_only=True):
    """Whose names are wanted."""

    patients: Annotated[tuple[PatientId, ...], Meta(min_length=1, max_length=MOST_NAMES)]


class Shows(Protocol):
    """What shows pictures; `pictures.Pictures` does, where its packages are installed."""

    def may_show(self, uri: str) -> bool: ...
    async def film(self, image: Imaging, finding: Finding) -> bytes: ...
    async def saliency(self, finding: Finding) -> bytes: ...


class PatientRoutes:
    """What the page asks for of one patient.

    Parameters
    ----------
    door, board
        As `Routes` has them.
    looks, names, pictures
        What notes looks, opens names and shows films; pictures None: none can be shown here.
    """

    def __init__(self, door: Door, board: Board, looks: Looks, names: Names, pictures: Shows | None) -> None:
        self._door, self._board, self._looks, self._names, self._pictures = door, board, looks, names, pictures

    def mount(self, app: FastAPI) -> None:
        """Add the routes to the API's application."""
        patient, finding = "/v1/board/patients/{patient_id}", "/v1/board/findings/{finding_id}"
        routes: list[tuple[str, str, Handler]] = [
            ("GET", patient, self.patient),
            ("GET", f"{patient}/name", self.name),
            ("GET", f"{patient}/looks", self.looks),
            ("POST", "/v1/board/names", self.names),
            ("GET", f"{finding}/image", self.image),
            ("GET", f"{finding}/saliency", self.saliency),
        ]
        for method, path, handler in routes:
            app.add_api_route(path, handler, methods=[method], response_class=Response, include_in_schema=False)

    async def patient(self, request: Request) -> Response:
        who = self._door.reader(request.headers)
        hours = _hours(request)
        patient = await self._seen(request.path_params["patient_id"], who)
        await self._looks.note(who, "patient_shown", [patient.patient_id])
        to = audience(who, [])
        shown = None if self._pictures is None else self._pictures.may_show
        rest = chart(patient, hours, self._board.clock.now, to, shown or (lambda _: False))
        item = self._board.tiles.get(patient.patient_id)
        tile = (None if item is None else item.told(to)) or b"null"
        return Response(b'{"tile":%b,' % tile + encode(rest)[1:], 200, NO_STORE, "application/json")

    async def name(self, request: Request) -> Response:
        who = self._may_name(request)
        patient = await self._seen(request.path_params["patient_id"], who)
        await self._looks.note(who, "identity_shown", [patient.patient_id])
        found = await self._names.of(patient)
        if found is None:
            raise Refused(404, "nobody has told this patient's name")
        return said(found)

    async def names(self, request: Request) -> Response:
        who = self._may_name(request)
        wanted = decoded(Wanted, await read_body(request))
        await self._board.ready()
        to = audience(who, [])
        known = [self._board.ward.patients.get(one) for one in dict.fromkeys(wanted.patients)]
        seen = [one for one in known if one is not None and to.sees(one.unit)]
        await self._looks.note(who, "identity_shown", [one.patient_id for one in seen])
        found = {one.patient_id: await self._names.of(one) for one in seen}
        return said({"names": {key: name for key, name in found.items() if name is not None}})

    async def looks(self, request: Request) -> Response:
        who = self._door.reader(request.headers)
        if not who.roles & {"clinician", "operator"}:
            raise Refused(403, "only the roles clinician and operator see who looked")
        patient = await self._seen(request.path_params["patient_id"], who)
        return said({"looks": self._looks.of(patient.patient_id)})

    async def image(self, request: Request) -> Response:
        patient, finding = await self._finding(request)
        image = patient.images.get(finding.caused_by)
        if image is None or self._pictures is None:
            raise Refused(404, _NO_PICTURE)
        return Response(await self._pictures.film(image, finding), 200, NO_STORE, "image/png")

    async def saliency(self, request: Request) -> Response:
        _, finding = await self._finding(request)
        if self._pictures is None:
            raise Refused(404, _NO_PICTURE)
        return Response(await self._pictures.saliency(finding), 200, NO_STORE, "image/png")

    async def _finding(self, request: Request) -> tuple[Patient, Finding]:
        """A finding and whose it is, for who may see the patient; the look is noted."""
        who = self._door.reader(request.headers)
        await self._board.ready()
        try:
            found = self._board.ward.finding(UUID(request.path_params["finding_id"]))
        except ValueError:
            found = None
        if found is None or not audience(who, []).sees(found[0].unit):
            raise Refused(404, _NO_PICTURE)
        await self._looks.note(who, "patient_shown", [found[0].patient_id])
        return found

    async def _seen(self, patient_id: str, who: Principal) -> Patient:
        await self._board.ready()
        patient = self._board.ward.patients.get(patient_id)
        if patient is None or not audience(who, []).sees(patient.unit):
            raise Refused(404, _NOBODY)
        return patient

    def _may_name(self, request: Request) -> Principal:
        who = self._door.clinician(request.headers)
        if not self._names.known:
            raise Refused(404, "there is no key to names here")
        return who


def _hours(request: Request) -> int:
    """How far back somebody asks, hours."""
    asked = request.query_params.get("hours", str(LONGEST_H))
    if not asked.isdecimal() or not asked.isascii() or not 1 <= int(asked[:4]) <= LONGEST_H:
        raise Invalid("out_of_bounds", ("hours",))
    return int(asked)
