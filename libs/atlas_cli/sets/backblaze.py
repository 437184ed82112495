"""Backblaze drive snapshots: one CSV a day, one row per drive, mostly empty cells."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import BinaryIO

from atlaskit.model import Scalar, ValueType

from atlas_cli.sets.batches import DataFault, DataSet, TenantWrite, Write

MAKERS = {
    "Hitachi": "hitachi",
    "HGST": "hgst",
    "WDC": "wdc",
    "TOSHIBA": "toshiba",
    "SAMSUNG": "samsung",
    "ST": "seagate",
}
FAILURE = {"0": False, "1": True}


def tenant_of(model: str) -> str:
    """Return the tenant of a drive: its maker, from the start of the model."""
    for prefix, maker in MAKERS.items():
        if model.startswith(prefix):
            return f"backblaze/{maker}"
    raise DataFault(f"model {model!r} begins with none of {', '.join(MAKERS)}")


def typed(column: str, text: str) -> tuple[ValueType, Scalar]:
    """Return the value of a cell that is not empty, with its type."""
    if column == "model":
        return ValueType.STRING, text
    if column == "failure":
        return ValueType.BOOL, FAILURE[text]
    return ValueType.INT64, int(text)


def read(raw: BinaryIO, name: str) -> Iterator[TenantWrite]:
    """Yield each filled cell after `serial_number`; the empty ones are no observations."""
    with gzip.open(raw) as unpacked:
        rows = csv.reader(io.TextIOWrapper(unpacked, "utf-8", newline=""))
        header = next(rows)
        if header[:3] != ["date", "serial_number", "model"]:
            raise DataFault(f"{name}: the header begins with {header[:3]}, not with date, serial_number, model")
        for line, row in enumerate(rows, start=2):
            try:
                yield from _writes(header, row)
            except (ValueError, KeyError, IndexError, DataFault) as wrong:
                raise DataFault(f"{name}: row {line}: {wrong!r}") from wrong


def _writes(header: list[str], row: list[str]) -> Iterator[TenantWrite]:
    day = datetime.fromisoformat(row[0]).replace(tzinfo=UTC)
    event_time_us = int(day.timestamp()) * 1_000_000
    tenant, serial = tenant_of(row[2]), row[1]
    for column, text in zip(header[2:], row[2:], strict=True):
        if text:
            yield TenantWrite(tenant, Write(serial, "disk", column, event_time_us, *typed(column, text)))


BACKBLAZE = DataSet(
    name="backblaze",
    title="Backblaze drive snapshots",
    suffix=".csv.gz",
    ordered=False,
    key_quota=1_000,
    rooted=False,
    read=read,
)
