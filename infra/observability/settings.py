"""The settings of what watches a process; `infra.settings.Settings` is these and all others."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings

from wardstream.infra.addresses import is_address
from wardstream.infra.secrets import PREFIX

LogFormat = Literal["text", "json"]


class ObservabilitySettings(BaseSettings):
    """How a process is watched.

    Attributes
    ----------
    metrics_listen : str or None
        `host:port` of `/metrics`, `/healthz` and `/readyz` of this process; port 0: any that is free. None: nothing
        listens.
    metrics_tls_cert, metrics_tls_key
        PEM files: certificate chain and key of it.
    log_format : {"text", "json"}
        How services log.
    traces_url : str or None
        Where OpenTelemetry's collector takes traces (OTLP over HTTP). None: nothing is traced.
    traces_share : float
        Of what comes in at a gateway, how much is traced: 0 to 1.
    """

    metrics_listen: str | None = None
    metrics_tls_cert: Path | None = None
    metrics_tls_key: Path | None = None
    log_format: LogFormat = "text"
    traces_url: str | None = None
    traces_share: float = Field(default=0.01, ge=0, le=1)

    @field_validator("metrics_listen")
    @classmethod
    def _metrics_listen(cls, address: str | None) -> str | None:
        if address is not None and not is_address(address, lowest_port=0):
            raise ValueError("must be host:port")
        return address

    @field_validator("traces_url")
    @classmethod
    def _traces_url(cls, url: str | None) -> str | None:
        parts = urlsplit(url or "http://none")
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or parts.password:
            raise ValueError("must be as http://127.0.0.1:4318/v1/traces, without a password")
        return url

    @model_validator(mode="after")
    def _certificate_and_key(self) -> Self:
        if (self.metrics_tls_cert is None) != (self.metrics_tls_key is None):
            names = f"{PREFIX}METRICS_TLS_CERT and {PREFIX}METRICS_TLS_KEY"
            raise ValueError(f"{names} belong together: set both or neither")
        return self
