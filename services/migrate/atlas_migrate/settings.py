"""What `migrate` is told at its start."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from atlaskit.config import ServiceSettings, Span
from pydantic import Field, SecretStr


class Settings(ServiceSettings):
    """Settings of `migrate`; each is read from `ATLAS_` and its name in upper case."""

    postgres_dsn: SecretStr  # the primary, as the owner of the schema, who may create roles
    clickhouse_url: SecretStr  # http://user:password@host:port/database
    kafka_bootstrap: str  # host:port[,host:port]
    role_passwords: Path  # a folder with a file for each role that logs in, named like it; others keep what they have
    kafka_replication: int = Field(default=1, ge=1, le=9)  # brokers that hold each partition of a topic made here
    connect_url: str = ""  # http://host:port of Kafka Connect; empty: somebody else runs the connector
    database_host: str = ""  # where Connect finds the primary; empty: where this job does
    unavailable_value_placeholder: SecretStr | None = None  # Debezium's word for a value not sent; random
    patience: Span = timedelta(minutes=5)  # for the stores to answer, and for each step
