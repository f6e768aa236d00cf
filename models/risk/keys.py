"""Names of the keys that sign snapshots."""

from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def key_id(key: Ed25519PublicKey) -> str:
    """A short name of a public key: the beginning of its SHA-256."""
    return sha256(key.public_bytes_raw()).hexdigest()[:16]
