"""Settings of the query router."""

from __future__ import annotations

from datetime import timedelta

from atlaskit.config import Address, ServiceSettings, Span
from pydantic import Field, PositiveFloat, PositiveInt, SecretStr


class Settings(ServiceSettings):
    """What the router needs to know; the variable of a field is its name in upper case after `ATLAS_`."""

    postgres_dsn: SecretStr  # the primary, as role atlas_reader
    replica_dsn: SecretStr  # a streaming replica, as the same role
    clickhouse_url: SecretStr  # http://user:password@host:port/database
    lag_monitor: Address  # the lag monitor; without its readings nothing can be proven

    primary_connections: PositiveInt = 8  # reads of the primary at a time
    replica_connections: PositiveInt = 16  # reads of the replica at a time
    clickhouse_connections: PositiveInt = 8  # reads of ClickHouse at a time
    # Reads at a time, and a second, that may fall back onto the primary; beyond either RESOURCE_EXHAUSTED. Dashboards
    # may have all of it, every other use case half. Below `primary_connections`, so that alerts find one.
    fallback_cap: PositiveInt = 6
    fallback_rate: PositiveFloat = 250.0
    fallback_rest: Span = timedelta(seconds=1)  # after a refusal half of the cap holds until none was refused for this
    lag_interval: Span = Field(default=timedelta(milliseconds=40), gt=timedelta(0))  # between questions to the monitor
    lag_limit: Span = timedelta(seconds=1)  # a reading older than this since its question is unknown
    lag_silence: Span = timedelta(seconds=3)  # a stream silent for this long is opened anew
    token_patience: Span = timedelta(milliseconds=100)  # wait for a copy to reach a token before the next is asked
    position_waiters: PositiveInt = (
        1024  # reads that wait for a token at a copy, each, or for a reading; one more is refused
    )
    replica_watch_interval: Span = timedelta(milliseconds=10)  # between looks at the replica while reads wait for it
    olap_watch_interval: Span = timedelta(milliseconds=40)  # the same for ClickHouse, where a look costs some 5 ms
    watch_limit: Span = timedelta(seconds=1)  # the longest a look may take
    statement_limit: Span = timedelta(seconds=60)  # the longest any statement may take at a store
    page_token_key: SecretStr | None = None  # seals page tokens; the same on all routers. Unset: new at every start
