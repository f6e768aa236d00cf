"""Which partition a patient's events are in: Kafka's default partitioner, in Python.

`murmur2` is the hash of `org.apache.kafka.common.utils.Utils`, which every client but librdkafka uses for keys (that
one uses CRC32 unless told `partitioner=murmur2_random`). Here without a client library, because schemas import none,
and without a cache: who asks often keeps the answer with the patient.
"""

from struct import unpack_from
from typing import Final

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Return the 32-bit MurmurHash2 of `data` as Java has it: signed.

    Examples
    --------
    >>> murmur2(b"foobar")
    -790332482
    """
    length = len(data)
    words = length // 4
    h = _SEED ^ length
    for k in unpack_from(f"<{words}I", data):
        k = k * _M & _MASK
        k = (k ^ k >> 24) * _M & _MASK
        h = (h * _M & _MASK) ^ k
    if tail := data[4 * words :]:
        h = (h ^ int.from_bytes(tail, "little")) * _M & _MASK
    h = (h ^ h >> 13) * _M & _MASK
    h ^= h >> 15
    return h - (1 << 32) if h & 0x80000000 else h


def partition_of(patient_id: str, partitions: int) -> int:
    """Return the partition (lane) of a patient.

    Parameters
    ----------
    patient_id : str
        The key; hashed as UTF-8.
    partitions : int
        Partitions of every topic about patients; at least 1.
    """
    return (murmur2(patient_id.encode()) & 0x7FFFFFFF) % partitions
