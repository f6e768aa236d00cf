"""The partitioner against Kafka's own test vectors and another implementation."""

import doctest

import pytest
from aiokafka.partitioner import murmur2 as aiokafka_murmur2
from hypothesis import given
from hypothesis import strategies as st

import wardstream.schemas.partition
from wardstream.schemas.partition import murmur2, partition_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [  # org.apache.kafka.common.utils.UtilsTest.testMurmur2
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ],
)
def test_kafkas_vectors(text: str, expected: int) -> None:
    assert murmur2(text.encode()) == expected
    assert partition_of(text, 7) == (expected & 0x7FFFFFFF) % 7


@given(st.binary(max_size=200))
def test_as_aiokafka(data: bytes) -> None:
    assert murmur2(data) & 0xFFFFFFFF == aiokafka_murmur2(data) & 0xFFFFFFFF


@given(st.text(alphabet=st.characters(codec="utf-8"), min_size=1), st.integers(1, 1000))
def test_partition_exists(patient_id: str, partitions: int) -> None:
    assert 0 <= partition_of(patient_id, partitions) < partitions


def test_patients_are_spread_evenly() -> None:
    counts = [0] * 8
    for number in range(8000):
        counts[partition_of(f"p-{number:06d}", 8)] += 1
    assert min(counts) > 850
    assert max(counts) < 1150


def test_example_in_the_docstring() -> None:
    assert doctest.testmod(wardstream.schemas.partition).failed == 0
