"""What the settings of every service share: how they are read, how a span is written, how faults are told."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from atlaskit.errors import ConfigurationWrong

PREFIX = "ATLAS_"
_SPAN = re.compile(r"\A(\d+(?:\.\d+)?)\s*(us|ms|s|m|h|d)?\Z")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_span(text: object) -> object:
    """Return the timedelta that `250ms`, `20s`, `20`, `5m`, `1h` or `7d` names; anything else as it came."""
    match = _SPAN.match(text.strip()) if isinstance(text, str) else None
    return timedelta(seconds=float(match[1]) * _SECONDS[match[2] or "s"]) if match else text


def parse_address(text: str) -> str:
    """Return the address unchanged if it is `host:port` with a port of 0 to 65535. Raises ValueError otherwise."""
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError("must be host:port, such as 127.0.0.1:50051; port 0 takes a free one")
    return text


def _not_negative(span: timedelta) -> timedelta:
    if span < timedelta(0):
        raise ValueError("must not be negative")
    return span


Span = Annotated[timedelta, BeforeValidator(parse_span), AfterValidator(_not_negative)]
Address = Annotated[str, AfterValidator(parse_address)]


class LogLevel(StrEnum):
    """The least severe line that is written."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class IdentityMode(StrEnum):
    """Whether a call must say who it comes from and for which tenant it acts."""

    OPTIONAL = "optional"  # one that says nothing acts for the tenant that it names
    REQUIRED = "required"  # one that says nothing is refused


class ServiceSettings(BaseSettings):
    """The settings that every service has. The variable of a field is its name in upper case after `ATLAS_`."""

    # No source but the arguments: the environment is read by `load`, in `__main__`, and nowhere else.
    model_config = SettingsConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    address: Address = "127.0.0.1:0"  # where the gRPC server listens; port 0 takes a free one
    port_file: Path | None = None  # the bound port is written here once the service is ready
    drain: Span = timedelta(seconds=20)  # running calls may end in this time; shorter than the pod's grace period
    probe_period: Span = timedelta(
        0
    )  # pause between "not ready" and refusing calls: what a balancer needs to look away
    log_level: LogLevel = LogLevel.INFO
    otlp_endpoint: str | None = None  # such as http://jaeger:4317 (gRPC); unset: no export over the network
    metrics_address: Address | None = None  # where Prometheus may ask for /metrics; unset: nothing is measured
    trace_file: Path | None = None  # spans as JSON lines; only read when there is no `otlp_endpoint`
    trace_sample_ratio: float = Field(
        default=0.01, ge=0.0, le=1.0
    )  # share of new traces recorded; a caller's choice wins

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


S = TypeVar("S", bound=ServiceSettings)


def variable_of(field: str) -> str:
    """Return the name of the variable that sets this field."""
    return PREFIX + field.upper()


def load(settings: type[S], environ: Mapping[str, str]) -> S:
    """Return the settings that the environment names.

    `ATLAS_NAME_FILE` names a file that holds the value of `ATLAS_NAME`, as secrets are mounted; spaces around it are
    not part of it. An empty variable counts as unset. Raises ConfigurationWrong naming every fault at once, without the
    values: one of them may be a password.
    """
    found = {field: _value_of(field, environ) for field in settings.model_fields}
    try:
        return settings.model_validate({field: text for field, text in found.items() if text})
    except ValidationError as wrong:
        raise ConfigurationWrong(_told(wrong)) from None


def _value_of(field: str, environ: Mapping[str, str]) -> str:
    name = variable_of(field)
    text, path = environ.get(name, ""), environ.get(f"{name}_FILE", "")
    if not path:
        return text
    if text:
        raise ConfigurationWrong(f"  {name}: is set, and {name}_FILE as well; unset one of them")
    try:
        return Path(path).read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not text"
        raise ConfigurationWrong(f"  {name}_FILE: cannot read {path}: {reason}") from None


def _told(wrong: ValidationError) -> str:
    lines = []
    for fault in wrong.errors(include_url=False, include_context=False, include_input=False):
        names = [str(part) for part in fault["loc"]]
        told = (
            "is not set and has no default"
            if fault["type"] == "missing"
            else fault["msg"].removeprefix("Value error, ")
        )
        lines.append(f"  {variable_of(names[0]) if names else 'settings'}: {told}")
    return f"{len(lines)} of the settings cannot work:\n" + "\n".join(lines)
