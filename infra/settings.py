"""Every setting of wardstream: read from the environment here and nowhere else.

A setting `x` is the variable `WARDSTREAM_X`. Settings are checked together when they are loaded, so that a mistake
shows at start with the name of the variable, not at the first message; messages never repeat a value, which may be a
secret. Passwords and keys may come from files (`WARDSTREAM_SASL_PASSWORD_FILE`), which is how Kubernetes and Docker
mount them.
"""

from __future__ import annotations

import difflib
import os
import re
import ssl
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any, Literal, Self

import pydantic_settings
from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from wardstream import models
from wardstream.infra.addresses import broker_addresses, host_of, is_address, is_loopback
from wardstream.infra.observability.settings import ObservabilitySettings
from wardstream.infra.secrets import PREFIX as PREFIX
from wardstream.infra.secrets import Password, key, keys, one_of, secret
from wardstream.infra.secrets import SettingsError as SettingsError

# Where the package's own models are: beside the sources in a checkout, whose installed files are links to them.
_REPOSITORY = Path(models.__file__).resolve().parent / "repository"
SHARED_DATA = f"{PREFIX}SHARED_DATA"  # where the tests find recorded patients


class Settings(ObservabilitySettings):
    """What an installation chooses; how its processes are watched, say the settings of its base.

    Attributes
    ----------
    home : Path
        Folder for what wardstream keeps by itself (local Kafka: `kafka/`); below the current folder by default.
    broker_url : str or None
        `kafka://host:port[,host:port…]`. None: no cluster of your own; `demo` and `kafka start` then bring one.
    security_protocol, sasl_mechanism, sasl_username, sasl_password, sasl_password_file
        As in every Kafka client. PLAIN sends the password itself, so without TLS it is accepted on loopback only.
    ssl_cafile, ssl_certfile, ssl_keyfile, ssl_keyfile_password
        PEM files: the authority that signed the brokers (the system's when not set), and our own certificate.
    dead_letter_key, dead_letter_key_file
        32 bytes in base64: encrypts the raw bytes of dead letters.
    feeds_file : Path or None
        TOML: the HL7 v2 senders, see `infra/gateways/feeds.py`.
    pseudonym_key, pseudonym_key_file
        32 bytes in base64: turns record numbers into pseudonyms. Another key makes every patient a stranger.
    identity_key, identity_key_file
        32 bytes in base64: encrypts names on `identities.v1`. The file may hold several, one a line: the first seals,
        all open. None: no names are kept.
    http_listen : str
        `host:port` of `serve http`.
    http_tls_cert, http_tls_key
        PEM files: certificate chain and key of `serve http`.
    api_listen : str
        `host:port` of `serve api`.
    api_tls_cert, api_tls_key
        PEM files: certificate chain and key of `serve api`.
    delivery_key, delivery_key_file
        32 bytes in base64: encrypts what signs webhooks, on `subscriptions.v1`. The file may hold several, one a line:
        the first seals, all open. None: no subscription has a webhook.
    webhook_networks : tuple of networks
        Where webhooks may go, as a JSON list of CIDRs; none by default, and nothing is posted.
    webhook_cafile : Path or None
        PEM: who signed the receivers' certificates; None: whom the system trusts.
    webhook_retry_h : float
        How long a transition is tried, from the publication of what caused it on; but five times at least.
    tokens_file : Path or None
        Who may use gateways and API: `wardstream tokens` writes it. None: they ask for none, on loopback only.
    token, token_file
        Who we are ourselves, for commands that show names.
    spool_mib : int
        Bound of what `serve mllp` keeps on disk (in `home`) while Kafka is away, in MiB.
    lanes : int
        Partitions of every topic when it is created. Afterwards the topics say how many lanes there are.
    replication : int
        Replicas of every topic when it is created: 3 in production, 1 on a single broker.
    app_id : str
        Names the consumer group, the transactions and the changelog.
    clock : {"live", "feed"}
        Who writes `ticks.v1`: a worker from the wall clock, or the feed (replay, simulator).
    triton_url : str or None
        `host:port` of a Triton server's gRPC (a Triton of your own must run with `--model-control-mode=explicit` for
        models to be deployed). None: no model is asked, and what a model would say is `degraded`; `demo` then brings
        a server of its own.
    triton_deadline_ms : int
        For one batch, all in all; later it is `degraded`.
    models : Path
        Folder of the models that are served (Triton's model repository); by default the package's own.
    never_carried : frozenset of str
        Parts of NEWS2 that none of the feeds carries, as a JSON list (`["consciousness"]`): their absence alone does
        not keep an alert open. They are still named as missing.
    risk_outcomes, risk_horizon_h, risk_grace_h
        Outcomes (JSON list of `kind`) of which the risk model learns the probability, within how many hours they
        count, and in how many hours after that they may become known. Empty: no hour waits for its label.
    alert_horizon_h : float
        Within how many hours an outcome makes an alert a true one, where no prediction with a horizon of its own raised
        it. Which outcomes, and how late they may be known, say `risk_outcomes` (empty: what the risk model learns by
        default) and `risk_grace_h`.
    flow_file : Path or None
        TOML: time zone, special days and units of the hospital, see `infra/flow_site.py`.
    risk_keys_file : Path or None
        Public keys of learners whose snapshots may be opened, one a line in base64; None: `learner.pub` in `home`.
    imaging_folders : tuple of Path
        Below which image files may be read, as a JSON list; none by default.
    imaging_hosts : frozenset of str
        `host` or `host:port` of https stores that may be asked, as a JSON list.
    imaging_s3_endpoint, imaging_s3_buckets, imaging_s3_region, imaging_s3_access_key, imaging_s3_secret_key(_file)
        The one S3-compatible store, and which of its buckets may be read.
    imaging_saliency_folder : Path or None
        Where saliency pictures go; None: beside the image, where that is a file.
    imaging_ages : tuple of int
        Completed years of age, youngest and oldest, for which the chest model may be used. It was made for 1 to 5;
        every finding says so where a site has widened that.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, extra="ignore", frozen=True, hide_input_in_errors=True, validate_default=True
    )

    home: Path = Path(".wardstream")
    broker_url: str | None = None
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    sasl_password_file: Path | None = None
    ssl_cafile: Path | None = None
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    ssl_keyfile_password: SecretStr | None = None
    dead_letter_key: SecretStr | None = None
    dead_letter_key_file: Path | None = None
    feeds_file: Path | None = None
    pseudonym_key: SecretStr | None = None
    pseudonym_key_file: Path | None = None
    identity_key: SecretStr | None = None
    identity_key_file: Path | None = None
    http_listen: str = "127.0.0.1:8080"
    http_tls_cert: Path | None = None
    http_tls_key: Path | None = None
    api_listen: str = "127.0.0.1:8081"
    api_tls_cert: Path | None = None
    api_tls_key: Path | None = None
    delivery_key: SecretStr | None = None
    delivery_key_file: Path | None = None
    webhook_networks: tuple[IPv4Network | IPv6Network, ...] = ()
    webhook_cafile: Path | None = None
    webhook_retry_h: float = Field(default=24.0, ge=0, le=8760)
    tokens_file: Path | None = None
    token: SecretStr | None = None
    token_file: Path | None = None
    spool_mib: int = Field(default=1024, ge=1, le=1 << 20)
    lanes: int = Field(default=4, ge=1, le=1024)
    replication: int = Field(default=3, ge=1, le=9)
    app_id: str = Field(default="wardstream", pattern=r"^[A-Za-z0-9._-]{1,64}$")
    clock: Literal["live", "feed"] = "live"
    triton_url: str | None = None
    triton_deadline_ms: int = Field(default=250, ge=10, le=10_000)
    models: Path = _REPOSITORY
    never_carried: frozenset[str] = frozenset()
    risk_outcomes: frozenset[str] = frozenset()
    risk_horizon_h: float = Field(default=12.0, gt=0, le=8760)
    risk_grace_h: float = Field(default=36.0, ge=0, le=8760)
    alert_horizon_h: float = Field(default=24.0, gt=0, le=8760)
    flow_file: Path | None = None
    risk_keys_file: Path | None = None
    imaging_folders: tuple[Path, ...] = ()
    imaging_hosts: frozenset[str] = frozenset()
    imaging_s3_endpoint: str | None = None
    imaging_s3_buckets: frozenset[str] = frozenset()
    imaging_s3_region: str = "us-east-1"
    imaging_s3_access_key: str | None = None
    imaging_s3_secret_key: SecretStr | None = None
    imaging_s3_secret_key_file: Path | None = None
    imaging_saliency_folder: Path | None = None
    imaging_ages: tuple[int, int] = (1, 5)

    @field_validator("home", "models")
    @classmethod
    def _absolute(cls, folder: Path) -> Path:
        return folder.expanduser().absolute()

    @field_validator("triton_url")
    @classmethod
    def _triton_url(cls, url: str | None) -> str | None:
        if url is not None and not is_address(url):
            raise ValueError("must be host:port, of gRPC, without a scheme")
        return url

    @field_validator("http_listen", "api_listen")
    @classmethod
    def _listen(cls, address: str) -> str:
        if not is_address(address, lowest_port=0):
            raise ValueError("must be host:port")
        return address

    @field_validator("broker_url")
    @classmethod
    def _broker_url(cls, url: str | None) -> str | None:
        if url is not None:
            broker_addresses(url)
        return url

    @model_validator(mode="after")
    def _together(self) -> Self:
        one_of(self.sasl_password, self.sasl_password_file, "SASL_PASSWORD")
        one_of(self.imaging_s3_secret_key, self.imaging_s3_secret_key_file, "IMAGING_S3_SECRET_KEY")
        if bool(self.imaging_s3_access_key) != bool(self.imaging_s3_secret_key or self.imaging_s3_secret_key_file):
            raise ValueError(f"{PREFIX}IMAGING_S3_ACCESS_KEY and _SECRET_KEY belong together: set both or neither")
        if not 0 <= self.imaging_ages[0] <= self.imaging_ages[1] <= 130:
            raise ValueError(f"{PREFIX}IMAGING_AGES must be [youngest, oldest], in years")
        endpoint = self.imaging_s3_endpoint
        if endpoint is not None and not endpoint.startswith("https://"):
            host = endpoint.removeprefix("http://").rstrip("/")
            if not (endpoint.startswith("http://") and is_loopback(host_of(host if ":" in host else f"{host}:80"))):
                raise ValueError(f"{PREFIX}IMAGING_S3_ENDPOINT must be https://…; http is for loopback only")
        one_of(self.dead_letter_key, self.dead_letter_key_file, "DEAD_LETTER_KEY")
        one_of(self.pseudonym_key, self.pseudonym_key_file, "PSEUDONYM_KEY")
        one_of(self.identity_key, self.identity_key_file, "IDENTITY_KEY")
        one_of(self.delivery_key, self.delivery_key_file, "DELIVERY_KEY")
        one_of(self.token, self.token_file, "TOKEN")
        for certificate, its_key in (
            ("http_tls_cert", "http_tls_key"),
            ("api_tls_cert", "api_tls_key"),
            ("ssl_certfile", "ssl_keyfile"),
        ):
            if (getattr(self, certificate) is None) != (getattr(self, its_key) is None):
                names = f"{PREFIX}{certificate.upper()} and {PREFIX}{its_key.upper()}"
                raise ValueError(f"{names} belong together: set both or neither")
        if self.uses_sasl:
            missing = [
                name
                for name, present in (
                    ("SASL_MECHANISM", self.sasl_mechanism),
                    ("SASL_USERNAME", self.sasl_username),
                    ("SASL_PASSWORD (or SASL_PASSWORD_FILE)", self.sasl_password or self.sasl_password_file),
                )
                if not present
            ]
            if missing:
                wanted = ", ".join(PREFIX + name for name in missing)
                raise ValueError(f"{PREFIX}SECURITY_PROTOCOL={self.security_protocol} needs {wanted}")
            if self.sasl_mechanism == "PLAIN" and not self.uses_tls and not self._on_loopback():
                raise ValueError("PLAIN without TLS shows the password to the network: use SASL_SSL or SCRAM")
        elif self.sasl_username or self.sasl_password or self.sasl_password_file or self.sasl_mechanism:
            # Else a forgotten security_protocol would go to the cluster unauthenticated without a word.
            raise ValueError(f"SASL is set, so {PREFIX}SECURITY_PROTOCOL must be SASL_SSL or SASL_PLAINTEXT")
        if not self.uses_tls and (self.ssl_cafile or self.ssl_certfile):
            raise ValueError(f"TLS files are set, so {PREFIX}SECURITY_PROTOCOL must be SSL or SASL_SSL")
        return self

    @property
    def uses_sasl(self) -> bool:
        """Whether clients authenticate themselves by SASL."""
        return self.security_protocol.startswith("SASL_")

    @property
    def uses_tls(self) -> bool:
        """Whether connections are encrypted."""
        return self.security_protocol.endswith("SSL")

    @property
    def bootstrap_servers(self) -> list[str]:
        """`host:port` of each broker of `broker_url`.

        Raises
        ------
        SettingsError
            There is no `broker_url`.
        """
        if self.broker_url is None:
            raise SettingsError(
                f"{PREFIX}BROKER_URL is not set. `wardstream kafka start` starts a local Kafka and prints its address."
            )
        return broker_addresses(self.broker_url)

    def dead_letter_key_bytes(self) -> bytes | None:
        """The key that encrypts the raw bytes of dead letters, or None when none is set.

        Raises
        ------
        SettingsError
            The file cannot be read, or the key is not 32 bytes in base64.
        """
        return key(secret(self.dead_letter_key, self.dead_letter_key_file, "DEAD_LETTER_KEY"), "DEAD_LETTER_KEY")

    def pseudonym_key_bytes(self) -> bytes | None:
        """The key of the pseudonyms, or None when none is set; raises as `dead_letter_key_bytes`."""
        return key(secret(self.pseudonym_key, self.pseudonym_key_file, "PSEUDONYM_KEY"), "PSEUDONYM_KEY")

    def identity_keys(self) -> tuple[bytes, ...]:
        """The keys of `identities.v1`: the first seals, all open; none when none is set.

        Raises
        ------
        SettingsError
            The file cannot be read, or a line is not 32 bytes in base64.
        """
        return keys(secret(self.identity_key, self.identity_key_file, "IDENTITY_KEY"), "IDENTITY_KEY")

    def delivery_keys(self) -> tuple[bytes, ...]:
        """The keys of webhooks' secrets, as `identity_keys`."""
        return keys(secret(self.delivery_key, self.delivery_key_file, "DELIVERY_KEY"), "DELIVERY_KEY")

    def own_token(self) -> str | None:
        """The token we show; raises SettingsError where its file cannot be read."""
        return secret(self.token, self.token_file, "TOKEN")

    def imaging_s3_secret(self) -> str | None:
        """The secret key of the S3-compatible store.

        Raises
        ------
        SettingsError
            Its file cannot be read.
        """
        return secret(self.imaging_s3_secret_key, self.imaging_s3_secret_key_file, "IMAGING_S3_SECRET_KEY")

    def _on_loopback(self) -> bool:
        return self.broker_url is not None and all(is_loopback(host_of(a)) for a in broker_addresses(self.broker_url))


def load_settings(**overrides: Any) -> Settings:
    """Read the environment; `overrides` win over it.

    Raises
    ------
    SettingsError
        One line a problem, naming the variable.
    """
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {SHARED_DATA}
    for name in sorted(name for name in os.environ.keys() - known if name.startswith(PREFIX)):
        close = difflib.get_close_matches(name, known, 1)
        raise SettingsError(f"{name} is no setting" + (f"; {close[0]} is" if close else ""))
    try:
        return Settings(**overrides)
    except pydantic_settings.SettingsError as error:  # of a field that is written as JSON
        field = re.search(r'field "(\w+)"', str(error))
        name = PREFIX + field[1].upper() if field else f"a {PREFIX} variable"
        raise SettingsError(f"{name} is not valid JSON") from None
    except ValidationError as error:
        lines = []
        for problem in error.errors(include_input=False, include_url=False):
            name = "_".join(str(part) for part in problem["loc"]).upper()
            text = problem["msg"].removeprefix("Value error, ")
            lines.append(f"{PREFIX}{name}: {text}" if name else text)
        raise SettingsError("\n".join(lines)) from None  # the original holds the inputs, secrets among them


def kafka_client_options(settings: Settings) -> dict[str, Any]:
    """Keyword arguments that every aiokafka client takes: where the cluster is and how to be let in.

    Raises
    ------
    SettingsError
        There is no `broker_url`, or a certificate or password file cannot be read.
    """
    options: dict[str, Any] = {
        "bootstrap_servers": settings.bootstrap_servers,
        "security_protocol": settings.security_protocol,
    }
    if settings.uses_tls:
        options["ssl_context"] = _ssl_context(settings)
    if settings.uses_sasl:
        options["sasl_mechanism"] = settings.sasl_mechanism
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = Password(
            secret(settings.sasl_password, settings.sasl_password_file, "SASL_PASSWORD") or ""
        )
    return options


def _ssl_context(settings: Settings) -> ssl.SSLContext:
    def ask() -> str:  # without it OpenSSL would ask at the terminal, and a service would hang
        if settings.ssl_keyfile_password is None:
            raise SettingsError(f"{PREFIX}SSL_KEYFILE is encrypted: set {PREFIX}SSL_KEYFILE_PASSWORD")
        return settings.ssl_keyfile_password.get_secret_value()

    try:
        context = ssl.create_default_context(cafile=settings.ssl_cafile)
        if settings.ssl_certfile is not None:
            context.load_cert_chain(settings.ssl_certfile, settings.ssl_keyfile, password=ask)
    except SettingsError:
        raise
    except OSError as error:  # ssl.SSLError is one too
        names = f"{PREFIX}SSL_CAFILE, {PREFIX}SSL_CERTFILE or {PREFIX}SSL_KEYFILE"
        raise SettingsError(f"{names} cannot be used: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
