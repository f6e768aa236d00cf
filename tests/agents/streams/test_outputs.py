"""Outputs: where a row goes, and what is refused."""

from __future__ import annotations

import pytest

from wardstream.agents.streams.outputs import MAX_ROW_BYTES, Outputs, Row, RowTooLarge


def test_rows_keep_their_order_and_go_to_the_lane_unless_their_topic_has_other_keys() -> None:
    outputs = Outputs(3, lambda topic, key: len(key) if topic == "beds" else None)
    first, second, bed, placed, keyless = (
        Row(b"a", b"1"),
        Row(b"b", b"2"),
        Row(b"12345", b""),
        Row(b"p", b""),
        Row(None, b""),
    )
    outputs.write("scores", first)
    outputs.write("beds", bed)
    outputs.write("scores", second)
    outputs.write("ticks", placed, 0)
    outputs.write("beds", keyless)
    assert outputs.rows == {
        ("scores", 3): [first, second],
        ("beds", 5): [bed],
        ("ticks", 0): [placed],
        ("beds", 3): [keyless],
    }


def test_a_row_that_kafka_would_refuse_is_refused_here() -> None:
    outputs = Outputs(0)
    outputs.write("scores", Row(b"k", bytes(MAX_ROW_BYTES - 1)))
    for row in (Row(b"k", bytes(MAX_ROW_BYTES)), Row(b"k", b"", None, (("h", bytes(MAX_ROW_BYTES)),))):
        with pytest.raises(RowTooLarge):
            outputs.write("scores", row)
    assert len(outputs.rows["scores", 0]) == 1
