"""The real job as a user of Faust would write it on wardstream's models. Arguments: broker, id, input, output.

State in tables of bytes: the patient and its hourly bins, as the models' own codec writes them.
No validation by Faust: raw bytes, our decoder.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import Any

import faust

from tests.bench.jobs.scoring import decode, score
from wardstream.models.bins import Bins
from wardstream.models.patient import Patient, PatientCodec

BROKER, NAME, INPUT, OUTPUT = sys.argv[1:5]


PATIENTS = PatientCodec()

app = faust.App(NAME, broker=f"kafka://{BROKER}", store="memory://", topic_partitions=4, web_enabled=False)
vitals = app.topic(INPUT, key_type=str, value_type=bytes, value_serializer="raw")
scores = app.topic(OUTPUT, key_type=str, value_type=bytes, value_serializer="raw")
patients: Any = app.Table("patients", default=bytes, key_type=str, value_type=bytes, partitions=4)
bins: Any = app.Table("bins", key_type=str, value_type=bytes, partitions=4)
names: Any = app.Table("names", default=list, key_type=str, partitions=4)


class _TableRows:
    """A patient's bins in the table `bins`, a row each."""

    def __init__(self, patient: str) -> None:
        self._patient = patient

    def get(self, name: str) -> bytes | None:
        row: bytes | None = bins.get(f"{self._patient}/{name}")
        return row

    def put(self, name: str, row: bytes | None) -> None:
        key = f"{self._patient}/{name}"
        if row is None:
            bins.pop(key)
            names[self._patient] = [known for known in names[self._patient] if known != name]
            return
        if key not in bins:
            names[self._patient] = [*names[self._patient], name]
        bins[key] = row

    def names(self) -> Iterable[str]:
        known: list[str] = names[self._patient]
        return known


@app.agent(vitals)
async def on_vitals(stream: Any) -> None:
    async for key, raw in stream.items():
        event = decode(raw)
        row = patients[key]
        patient = PATIENTS.decode(row) if row else Patient()
        answer = score(patient, Bins(_TableRows(key)), event)
        patients[key] = PATIENTS.encode(patient)
        await scores.send(key=key, value=answer)


if __name__ == "__main__":
    logging.getLogger("aiokafka").setLevel(logging.WARNING)  # Faust leaves its debug messages on: 2 % of lanes' time
    faust.Worker(app, loglevel="warning", redirect_stdouts=False).execute_from_commandline()
