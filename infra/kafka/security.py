"""A SASL_SSL listener for a local cluster, to try and test what a hospital's own cluster asks of its clients.

An authority and a certificate for 127.0.0.1 are made at each start. Passwords are made once and kept beside the data,
because SCRAM credentials live in the cluster's metadata. The brokers talk to each other over the same listener. The
controllers' listener stays open on loopback: this is a cluster for one machine and its user, not for a network.
"""

from __future__ import annotations

import hashlib
import ipaddress
import secrets
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from wardstream.infra.kafka.private_files import write_private

Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]

USERNAME = "wardstream"
_BROKER = "broker"
_VALID = timedelta(days=397)
_ITERATIONS = 8192  # at least 4096, Kafka's minimum


class Security:
    """How clients are let into a local cluster: over TLS, with a name and a password.

    Parameters
    ----------
    folder
        Where certificates and passwords are kept, readable by their owner only.
    mechanism
        How the password is proved.

    Attributes
    ----------
    cafile : Path
        Certificate of the authority that clients must trust.
    username : str
        The one user.
    password_file : Path
        The user's password, made here.
    """

    def __init__(self, folder: Path, mechanism: Mechanism = "SCRAM-SHA-256") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.mechanism: Mechanism = mechanism
        self.username = USERNAME
        self.cafile = folder / "ca.pem"
        self.password_file = _password_file(folder, USERNAME)
        self._broker_password_file = _password_file(folder, _BROKER)
        self._keystore = folder / "broker.pem"
        authority, certificate, key = _certificates()
        self.cafile.write_bytes(authority)
        write_private(self._keystore, key + certificate)

    def listener(self) -> dict[str, str]:
        """What `server.properties` says about the listener; passwords among it."""
        prefix = f"listener.name.sasl_ssl.{self.mechanism.lower()}."
        return {
            "security.inter.broker.protocol": "SASL_SSL",
            "sasl.mechanism.inter.broker.protocol": self.mechanism,
            "sasl.enabled.mechanisms": self.mechanism,
            prefix + "sasl.jaas.config": self._jaas(),
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._keystore),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.cafile),
        }

    def format_arguments(self) -> list[str]:
        """What StorageTool must know to let the users in; no passwords, which the process list would show."""
        if self.mechanism == "PLAIN":
            return []
        arguments = []
        for name, file in self._users():
            salt = secrets.token_bytes(24)
            algorithm = self.mechanism.removeprefix("SCRAM-").replace("-", "")
            salted = hashlib.pbkdf2_hmac(algorithm, file.read_bytes(), salt, _ITERATIONS)
            fields = f'salt="{b64encode(salt).decode()}",saltedpassword="{b64encode(salted).decode()}"'
            arguments += ["--add-scram", f"{self.mechanism}=[name={name},iterations={_ITERATIONS},{fields}]"]
        return arguments

    def _users(self) -> tuple[tuple[str, Path], ...]:
        return (self.username, self.password_file), (_BROKER, self._broker_password_file)

    def _jaas(self) -> str:
        module, known = "scram.ScramLoginModule", ""
        if self.mechanism == "PLAIN":
            module = "plain.PlainLoginModule"
            known = "".join(f' user_{name}="{file.read_text()}"' for name, file in self._users())
        own = f'username="{_BROKER}" password="{self._broker_password_file.read_text()}"'
        return f"org.apache.kafka.common.security.{module} required {own}{known};"


def _password_file(folder: Path, name: str) -> Path:
    file = folder / f"{name}.password"
    if not file.exists():
        write_private(file, secrets.token_urlsafe(24).encode())
    return file


def _certificates() -> tuple[bytes, bytes, bytes]:
    """An authority, a certificate that it signed for 127.0.0.1, and that one's key, in PEM."""
    now = datetime.now(UTC)

    def builder(subject: str, public_key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(_name(subject))
            .issuer_name(_name("wardstream local authority"))
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + _VALID)
        )

    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority_id = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    authority = (
        builder("wardstream local authority", authority_key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage("key_cert_sign", "crl_sign"), critical=True)
        .add_extension(authority_id, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    certificate = (
        builder("wardstream local broker", key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage("digital_signature"), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority_id), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return authority.public_bytes(Encoding.PEM), certificate.public_bytes(Encoding.PEM), private


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _usage(*wanted: str) -> x509.KeyUsage:
    every = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    return x509.KeyUsage(**{name: name in wanted for name in every})
