"""Change events as the connector flattens them: JSON without a schema, numbers of 64 bits plain, decimals as text."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any
from uuid import UUID


@dataclass(frozen=True)
class KafkaRecord:
    """One record of a partition."""

    offset: int
    value: bytes | None
    timestamp: int = 1_700_000_000_000


def event(table: str, row: dict[str, Any], operation: str = "c") -> bytes:
    """Return an event of a table. A Python float is written as its shortest text, which is what Java writes too."""
    flattened = {**row, "__op": operation, "__table": table, "__lsn": 1, "__deleted": str(operation == "d").lower()}
    return json.dumps(flattened, ensure_ascii=False).encode()


def history_row(version: int, shard: int = 0, **changed: Any) -> dict[str, Any]:
    """Return a row of `entity_attributes`: an INT64 unless told otherwise."""
    row: dict[str, Any] = {
        "tenant_id": 1,
        "entity_id": 7,
        "attribute_id": 3,
        "shard": shard,
        "value_type": 1,
        "deletion": 0,
        "event_time": "2024-02-29T23:59:59.999999Z",
        "created_at": "2026-01-01T00:00:00Z",
        "row_version": version,
        "asset_type_id": None,
        "source_type_id": None,
        "value_int": 5,
        "value_uint": None,
        "value_double": None,
        "value_bool": None,
        "value_text": None,
        "value_bytes": None,
    }
    return {**row, **changed}


def base64_of(value: bytes) -> str:
    """Return bytes as the connector writes them."""
    return base64.b64encode(value).decode()


def beat_row(monitor: UUID, number: int, shard: int = 0) -> dict[str, Any]:
    """Return a row of a `<table>_beat`."""
    return {"place": 0, "shard": shard, "monitor": str(monitor), "beat": number, "epoch": 1, "lsn": 1000 + number}
