"""Every span and attribute name, once, with unit and meaning; metrics stand in `measures`.

A batch has a span; a record never does. What a record needs is a link from the span of its batch.
"""

from __future__ import annotations

from enum import StrEnum


class SpanName(StrEnum):
    """Names of spans: hops of a row first, in the order it takes them."""

    INGEST_COMMIT = "ingest.commit"  # one transaction of the group commit, linked to the calls whose rows it took
    CDC_DELIVER = "cdc.deliver"  # from the commit of a write to its ledger row in Kafka
    OLAP_DECODE = "olap.decode"  # one poll of Kafka decoded
    OLAP_INSERT = "olap.insert"  # one insert into one ClickHouse table, linked to the write batches in it
    OLAP_VISIBLE = "olap.visible"  # the moment a proven watermark covered the linked write batches
    QUERY_CHOOSE = "query.choose"  # the choice of a source
    QUERY_READ = "query.read"  # one read from one source
    LAG_BEAT = "lag.beat"  # one beat from its fence to its commit
    LAG_PROBE = "lag.probe"  # one poll of one copy


class Attribute(StrEnum):
    """Names of the attributes of spans and of the fields of log lines."""

    RPC_SYSTEM = "rpc.system.name"  # always grpc
    RPC_METHOD = "rpc.method"  # package.Service/Method
    RPC_STATUS = "rpc.response.status_code"  # name of the gRPC status code
    ERROR_TYPE = "error.type"  # reason of the error, in UPPER_SNAKE_CASE
    TENANT = "atlas.tenant_id"
    REQUEST = "atlas.request_id"  # UUID of a write
    ROWS = "atlas.rows"  # rows in the batch
    CALLS = "atlas.calls"  # calls whose rows the batch took
    BYTES = "atlas.bytes"  # encoded bytes of the batch
    SHARD = "atlas.shard"  # 0 to 9
    TABLE = "atlas.table"
    TOPIC = "atlas.kafka.topic"
    OFFSET = "atlas.kafka.offset"  # the last offset of the batch
    EPOCH = "atlas.epoch"  # source epoch, 1 to 255
    LSN = "atlas.lsn"  # position in the write-ahead log, as PostgreSQL writes it
    BEAT = "atlas.beat"  # number of the beat
    SOURCE = "atlas.source"  # copy that answered: primary, replica, olap, lake
    STALENESS_MS = "atlas.staleness_ms"  # proven bound in milliseconds; absent: unknown
    FALLBACKS = "atlas.fallbacks"  # number of sources passed over
    WAIT_MS = "atlas.wait_ms"  # time in a queue, milliseconds
