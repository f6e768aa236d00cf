"""Reads scores.v1 as it grows, `read_committed`, and notes when each output came. Imports nothing of wardstream.

    python -m tests.faults.tail BOOTSTRAP FILE

A line of the file: when (the machine's monotonic clock, s), lane, id of the event that caused it. Standard output has
a line of JSON twice a second: for each lane when the last output came and how old its cause was then, in seconds. Ends
when standard input does.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from pathlib import Path

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError

TOPIC = "scores.v1"
REPORT_S = 0.5
# A regular expression takes a tenth of the time that parsing the whole record does.
CAUSE = re.compile(rb'"caused_by":"([0-9a-f-]{36})"')


async def follow(bootstrap: str, file: Path, ended: asyncio.Event) -> None:
    consumer = AIOKafkaConsumer(
        TOPIC,
        bootstrap_servers=bootstrap,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        fetch_max_wait_ms=100,
        # A paused broker answers nothing: it is the lanes' patience that is measured, not this reader's.
        request_timeout_ms=3_000,
        metadata_max_age_ms=3_000,
    )
    async with asyncio.timeout(60):
        await consumer.start()
    reported, state = 0.0, dict[int, tuple[float, float]]()
    try:
        with file.open("a", encoding="ascii") as output:
            while not ended.is_set():
                try:
                    got = await consumer.getmany(timeout_ms=100, max_records=10_000)
                except KafkaError as error:
                    print(json.dumps({"error": type(error).__name__}), flush=True)
                    await asyncio.sleep(0.2)
                    continue
                now = time.monotonic()
                for tp, records in got.items():
                    for record in records:
                        found = CAUSE.search(record.value)
                        output.write(f"{now:.3f} {tp.partition} {found[1].decode() if found else '-'}\n")
                    state[tp.partition] = (now, time.time() - records[-1].timestamp / 1000)
                if now - reported > REPORT_S:
                    reported = now
                    output.flush()
                    print(json.dumps({"lanes": {str(lane): one for lane, one in state.items()}}), flush=True)
    finally:
        await asyncio.wait_for(consumer.stop(), 10)


async def main() -> None:
    ended, loop = asyncio.Event(), asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    following = asyncio.ensure_future(follow(sys.argv[1], Path(sys.argv[2]), ended))
    eof = asyncio.ensure_future(reader.read())
    await asyncio.wait({following, eof}, return_when=asyncio.FIRST_COMPLETED)
    ended.set()
    eof.cancel()
    await following


if __name__ == "__main__":
    asyncio.run(main())
