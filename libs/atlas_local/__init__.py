"""The embedded stack: PostgreSQL with a replica, Kafka, Connect with Debezium, ClickHouse's engine; one machine."""

from atlas_local.errors import (
    DataDirectoryClosed,
    DataDirectoryInUse,
    DiskFull,
    DownloadRefused,
    LocalStackError,
    PartFailed,
    PortTaken,
    UnsupportedPlatform,
)
from atlas_local.migrations import apply_migrations
from atlas_local.stack import LocalStack, StackOptions, local_stack

__all__ = [
    "DataDirectoryClosed",
    "DataDirectoryInUse",
    "DiskFull",
    "DownloadRefused",
    "LocalStack",
    "LocalStackError",
    "PartFailed",
    "PortTaken",
    "StackOptions",
    "UnsupportedPlatform",
    "apply_migrations",
    "local_stack",
]
