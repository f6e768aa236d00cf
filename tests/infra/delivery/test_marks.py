"""How far a subscription is, whatever the order in which its deliveries end."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wardstream.infra.delivery.marks import Marks


@given(st.data())
def test_the_position_is_the_first_that_is_not_done(data: st.DataObject) -> None:
    marks = Marks(3)
    offset, left = 3, set[int]()
    for step in data.draw(st.lists(st.sampled_from(("take", "skip", "done")), max_size=60)):
        if step == "take":
            marks.take(offset)
            left.add(offset)
            offset += 1
        elif step == "skip":
            offset += data.draw(st.integers(1, 3))
            marks.read_to(offset)
        elif left:
            done = data.draw(st.sampled_from(sorted(left)))
            left.remove(done)
            marks.done(done)
        assert marks.read == offset
        assert marks.position == min(left, default=offset)
        assert len(left) <= marks.held <= offset - 3
    for done in sorted(left, reverse=True):
        marks.done(done)
    assert (marks.position, marks.held) == (offset, 0)
