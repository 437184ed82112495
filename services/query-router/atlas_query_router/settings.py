"""Settings of the query router."""

from __future__ import annotations

from datetime import timedelta

from atlaskit.config import Address, IdentityMode, ServiceSettings, Span
from pydantic import Field, PositiveFloat, PositiveInt, SecretStr


class Settings(ServiceSettings):
    """What the router needs to know; the variable of a field is its name in upper case after `ATLAS_`."""

    postgres_dsn: SecretStr  # the primary, as role atlas_reader
    replica_dsn: SecretStr  # a streaming replica, as the same role
    clickhouse_url: SecretStr  # http://user:password@host:port/database
    clickhouse_tenants_setting: str = ""  # in which a query names tenants to the row policies; empty: there are none
    lag_monitor: Address  # the lag monitor; without its readings nothing can be proven

    identity: IdentityMode = IdentityMode.OPTIONAL  # required: a call says who it comes from and for which tenant
    grants_age: Span = timedelta(seconds=10)  # a revoked grant to read across tenants ends within this
    # Operational reads (of entities and their histories) and analytical ones (aggregates, and what describes many
    # entities) have connections of their own at each store, so that neither class waits for the other.
    primary_connections: PositiveInt = 8  # operational reads of the primary at a time
    replica_connections: PositiveInt = 16  # operational reads of the replica at a time
    clickhouse_connections: PositiveInt = 8  # operational statements in ClickHouse at a time
    primary_analytical_connections: PositiveInt = 2  # analytical reads of the primary at a time
    replica_analytical_connections: PositiveInt = 4  # the same of the replica
    clickhouse_analytical_connections: PositiveInt = 8  # analytical statements in ClickHouse at a time
    # Reads of one tenant: so many run at the stores at a time, so many more wait; one more is RESOURCE_EXHAUSTED.
    tenant_operational_reads: PositiveInt = 32
    tenant_operational_waiting: PositiveInt = 256
    tenant_analytical_reads: PositiveInt = 4
    tenant_analytical_waiting: PositiveInt = 32
    # What one query in ClickHouse may read and hold; beyond either RESOURCE_EXHAUSTED, QUERY_TOO_COSTLY.
    operational_rows: PositiveInt = 100_000_000
    operational_memory: PositiveInt = 2 * 1024**3  # bytes
    analytical_rows: PositiveInt = 10_000_000_000
    analytical_memory: PositiveInt = 8 * 1024**3  # bytes
    operational_limit: Span = timedelta(seconds=15)  # the longest a statement of an operational read may take
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
    statement_limit: Span = timedelta(seconds=60)  # the same of an analytical read; whatever a deadline allows
    page_token_key: SecretStr | None = None  # seals page tokens; the same on all routers. Unset: new at every start
