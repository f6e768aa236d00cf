"""Settings: what is refused, and that no secret shows."""

from __future__ import annotations

import base64
import ssl
from pathlib import Path
from typing import Any

import pytest

from wardstream.infra.kafka.security import Security
from wardstream.infra.settings import SettingsError, kafka_client_options, load_settings

SECRET = "correct-horse"
SASL: dict[str, Any] = {
    "broker_url": "kafka://kafka.example:9093",
    "security_protocol": "SASL_SSL",
    "sasl_mechanism": "SCRAM-SHA-512",
    "sasl_username": "ward",
    "sasl_password": SECRET,
}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BROKER_URL", "SECURITY_PROTOCOL", "SASL_USERNAME", "SASL_PASSWORD", "HOME"):
        monkeypatch.delenv(f"WARDSTREAM_{name}", raising=False)


def test_plain_by_default() -> None:
    options = kafka_client_options(load_settings(broker_url="kafka://a:9092,b:9093, kafka://[::1]:9094"))
    assert options == {
        "bootstrap_servers": ["a:9092", "b:9093", "[::1]:9094"],
        "security_protocol": "PLAINTEXT",
    }


def test_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDSTREAM_BROKER_URL", "kafka://a:9092")
    monkeypatch.setenv("WARDSTREAM_LANES", "7")
    settings = load_settings()
    assert settings.bootstrap_servers == ["a:9092"]
    assert settings.lanes == 7


def test_triton(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WARDSTREAM_TRITON_URL", "[::1]:8001")
    monkeypatch.setenv("WARDSTREAM_MODELS", str(tmp_path))
    settings = load_settings()
    assert (settings.triton_url, settings.triton_deadline_ms, settings.models) == ("[::1]:8001", 250, tmp_path)


def test_the_models_are_those_of_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a checkout: of the sources, where a deployment is to put them, not of the links that an install makes."""
    for name in ("TRITON_URL", "MODELS"):
        monkeypatch.delenv(f"WARDSTREAM_{name}", raising=False)
    settings = load_settings()
    assert settings.triton_url is None
    assert settings.models == Path(__file__).resolve().parents[2] / "models" / "repository"
    assert (settings.models / "README.md").is_file()


def test_tls_and_sasl_reach_the_client() -> None:
    options = kafka_client_options(load_settings(**SASL))
    assert options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert options["sasl_plain_username"] == "ward"
    assert options["sasl_plain_password"] == SECRET
    context = options["ssl_context"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_authority_from_a_file(tmp_path: Path) -> None:
    security = Security(tmp_path)
    options = kafka_client_options(load_settings(**SASL, ssl_cafile=security.cafile))
    (authority,) = options["ssl_context"].get_ca_certs()
    assert (("commonName", "wardstream local authority"),) in authority["subject"]


def test_password_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(SECRET + "\n")
    options = kafka_client_options(load_settings(**(SASL | {"sasl_password": None, "sasl_password_file": file})))
    assert options["sasl_plain_password"] == SECRET


def test_no_secret_is_ever_printed() -> None:
    settings = load_settings(**SASL, dead_letter_key=SECRET)
    options = kafka_client_options(settings)
    assert SECRET not in repr(settings) + str(settings) + repr(options) + str(options)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sasl_username": None}, "WARDSTREAM_SASL_USERNAME"),
        ({"sasl_password": None}, "WARDSTREAM_SASL_PASSWORD"),
        ({"sasl_mechanism": None}, "WARDSTREAM_SASL_MECHANISM"),
        ({"sasl_mechanism": "GSSAPI"}, "WARDSTREAM_SASL_MECHANISM"),
        ({"sasl_password_file": "somewhere"}, "WARDSTREAM_SASL_PASSWORD_FILE"),
        ({"security_protocol": "PLAINTEXT"}, "WARDSTREAM_SECURITY_PROTOCOL"),
        ({"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN"}, "TLS"),
        ({"ssl_certfile": "cert.pem"}, "WARDSTREAM_SSL_KEYFILE"),
        ({"broker_url": "kafka.example:9093"}, "WARDSTREAM_BROKER_URL"),
        ({"broker_url": "kafka://kafka.example"}, "WARDSTREAM_BROKER_URL"),
        ({"broker_url": f"kafka://ward:{SECRET}@kafka.example:9093"}, "WARDSTREAM_BROKER_URL"),
        ({"lanes": 0}, "WARDSTREAM_LANES"),
        ({"app_id": "a b"}, "WARDSTREAM_APP_ID"),
        ({"triton_url": "triton.example"}, "WARDSTREAM_TRITON_URL"),
        ({"triton_url": "http://triton.example:8001"}, "WARDSTREAM_TRITON_URL"),
        ({"triton_url": f"ward:{SECRET}@triton.example:8001"}, "WARDSTREAM_TRITON_URL"),
        ({"triton_url": "triton.example:65536"}, "WARDSTREAM_TRITON_URL"),
        ({"triton_deadline_ms": 9}, "WARDSTREAM_TRITON_DEADLINE_MS"),
        ({"triton_deadline_ms": 10_001}, "WARDSTREAM_TRITON_DEADLINE_MS"),
    ],
)
def test_mistakes_are_named_without_values(changes: dict[str, Any], named: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load_settings(**(SASL | changes))
    assert named in str(refused.value)
    assert SECRET not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__


def test_forgotten_protocol_is_not_taken_as_plain() -> None:
    with pytest.raises(SettingsError, match="WARDSTREAM_SECURITY_PROTOCOL"):
        load_settings(broker_url="kafka://a:9092", sasl_username="ward")


def test_password_in_the_clear_only_on_loopback() -> None:
    clear = SASL | {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN"}
    assert load_settings(**(clear | {"broker_url": "kafka://127.0.0.1:9092,localhost:9093"})).uses_sasl


def test_without_broker() -> None:
    with pytest.raises(SettingsError, match="WARDSTREAM_BROKER_URL is not set"):
        kafka_client_options(load_settings())


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(SettingsError, match="WARDSTREAM_SSL_CAFILE"):
        kafka_client_options(load_settings(**SASL, ssl_cafile=missing))
    with pytest.raises(SettingsError, match="WARDSTREAM_SASL_PASSWORD_FILE"):
        kafka_client_options(load_settings(**(SASL | {"sasl_password": None, "sasl_password_file": missing})))


def test_dead_letter_key(tmp_path: Path) -> None:
    key = bytes(range(32))
    file = tmp_path / "key"
    file.write_bytes(base64.b64encode(key) + b"\n")
    assert load_settings().dead_letter_key_bytes() is None
    assert load_settings(dead_letter_key_file=file).dead_letter_key_bytes() == key
    for bad in (base64.b64encode(key[:31]).decode(), "not base64!"):
        with pytest.raises(SettingsError, match="32 bytes in base64"):
            load_settings(dead_letter_key=bad).dead_letter_key_bytes()


def test_a_misspelt_variable_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDSTREAM_CLOK", "feed")
    with pytest.raises(SettingsError, match="WARDSTREAM_CLOK is no setting; WARDSTREAM_CLOCK is"):
        load_settings()


def test_a_list_that_is_no_json_is_told_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WARDSTREAM_NEVER_CARRIED", "consciousness")
    with pytest.raises(SettingsError, match="WARDSTREAM_NEVER_CARRIED is not valid JSON"):
        load_settings()


def test_imaging(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_settings().imaging_ages == (1, 5)
    monkeypatch.setenv("WARDSTREAM_IMAGING_AGES", "[0, 17]")
    monkeypatch.setenv("WARDSTREAM_IMAGING_FOLDERS", '["/srv/images"]')
    assert load_settings().imaging_ages == (0, 17)
    for name, value in (
        ("AGES", "[5, 1]"),
        ("AGES", "[1, 200]"),
        ("S3_ENDPOINT", "http://images.example"),
        ("S3_ENDPOINT", "ftp://localhost"),
        ("S3_ACCESS_KEY", "key"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(f"WARDSTREAM_IMAGING_{name}", value)
            with pytest.raises(SettingsError, match=f"IMAGING_{name}"):
                load_settings()
    monkeypatch.setenv("WARDSTREAM_IMAGING_S3_ENDPOINT", "http://127.0.0.1:9000")
    monkeypatch.setenv("WARDSTREAM_IMAGING_S3_ACCESS_KEY", "key")
    monkeypatch.setenv("WARDSTREAM_IMAGING_S3_SECRET_KEY", "secret")
    assert load_settings().imaging_s3_secret() == "secret"


def test_keys_are_checked_and_not_repeated(tmp_path: Path) -> None:
    keys = [base64.b64encode(bytes([number]) * 32).decode() for number in range(2)]
    file = tmp_path / "identity.key"
    file.write_text("\n".join(keys) + "\n")
    assert load_settings(identity_key_file=file).identity_keys() == (bytes(32), bytes([1]) * 32)
    assert load_settings(identity_key=keys[0]).identity_keys() == (bytes(32),)
    assert load_settings().identity_keys() == ()
    assert load_settings(pseudonym_key=keys[1]).pseudonym_key_bytes() == bytes([1]) * 32
    for broken in (lambda: load_settings(identity_key=SECRET).identity_keys(),
                   lambda: load_settings(pseudonym_key=SECRET).pseudonym_key_bytes()):  # fmt: skip
        with pytest.raises(SettingsError, match="must be 32 bytes in base64") as refused:
            broken()
        assert SECRET not in str(refused.value)
    with pytest.raises(SettingsError, match="not both"):
        load_settings(identity_key=keys[0], identity_key_file=file)


@pytest.mark.parametrize("address", ["8080", "host", "host:", "host:70000", ":8080"])
def test_where_to_listen_is_an_address(address: str) -> None:
    with pytest.raises(SettingsError, match="WARDSTREAM_HTTP_LISTEN: must be host:port"):
        load_settings(http_listen=address)
    assert load_settings(http_listen="[::1]:0").http_listen == "[::1]:0"


def test_a_certificate_needs_its_key(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="HTTP_TLS_CERT and WARDSTREAM_HTTP_TLS_KEY belong together"):
        load_settings(http_tls_cert=tmp_path / "x.pem")
