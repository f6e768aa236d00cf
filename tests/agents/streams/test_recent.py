"""Exactly the last 128 ids of a patient are known, also after a restore."""

from __future__ import annotations

import random
from uuid import UUID, uuid1

from hypothesis import given, settings
from hypothesis import strategies as st

from wardstream.agents.streams.recent import CAPACITY, Recent, digest


def remembered(recent: Recent, items: list[bytes]) -> set[bytes]:
    return {item for item in items if item in recent}


@settings(max_examples=60)
@given(count=st.integers(0, 3 * CAPACITY), cuts=st.lists(st.integers(1, 40), max_size=20), seed=st.integers(0, 2**16))
def test_last_ids_after_writing_and_restoring_rows_in_any_order(count: int, cuts: list[int], seed: int) -> None:
    rng = random.Random(seed)
    items = [digest(UUID(int=rng.getrandbits(128))) for _ in range(count)]
    recent, rows, at = Recent(), dict[int, bytes](), 0
    for cut in [*cuts, count]:  # each cut is a batch: the blocks it changed are written once
        changed = recent.add(items[at : at + cut])
        rows |= {block: recent.block(block) for block in changed}
        at += cut
    last = set(items[max(0, count - CAPACITY) :])
    assert remembered(recent, items) == last
    shuffled = list(rows.items())
    rng.shuffle(shuffled)
    restored = Recent()
    for block, row in shuffled:
        restored.restore(block, row)
    assert remembered(restored, items) == last
    assert len(restored) == len(recent) == min(count, CAPACITY)
    more = [digest(UUID(int=rng.getrandbits(128))) for _ in range(CAPACITY // 2)]
    for item in more:  # and it goes on where it was
        restored.add([item])
    everything = items + more
    assert remembered(restored, everything) == set(everything[-CAPACITY:])


def test_a_block_holds_sixteen_ids() -> None:
    recent = Recent()
    assert [recent.add([digest(UUID(int=i))]) for i in range(CAPACITY + 1)] == [
        *({i // 16} for i in range(CAPACITY)),
        {0},
    ]
    assert len(recent.block(3)) == 8 + 16 * 8


def test_no_match_across_two_digests() -> None:
    recent = Recent()
    first, second = bytes(range(8)), bytes(range(8, 16))
    recent.add([first, second])
    assert first[3:] + second[:3] not in recent
    assert first in recent
    assert second in recent


def test_ids_made_at_the_same_time_differ() -> None:
    ids = [uuid1(node=1, clock_seq=1) for _ in range(1000)]
    assert len({digest(event_id) for event_id in ids}) == 1000


def test_ids_put_together_of_small_numbers_differ() -> None:
    """An interface may make ids of an order and its part, or of a time: whatever bits they share, they are others."""
    composed = [UUID(int=order << 64 | part) for order in range(1000, 1020) for part in range(50)]
    timed = [
        UUID(f"{low:08x}-0000-{mid:04x}-8000-123456789abc") for low in range(0, 1 << 32, 1 << 25) for mid in (0, 1)
    ]
    assert len({digest(event_id) for event_id in composed + timed}) == len(composed) + len(timed)
