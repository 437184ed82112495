"""Azure VM noise: archives of CSV files, one file per test and machine size, rows out of order in time."""

from __future__ import annotations

import csv
import io
import tarfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import IO, BinaryIO

from atlaskit.model import ValueType

from atlas_cli.sets.batches import DataFault, DataSet, TenantWrite, Write

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def names_of(path: str) -> tuple[str, str]:
    """Return tenant and attribute key of a CSV file: `azure/<region>-<size>` and `<suite>/<test>/<unit>`.

    Raises DataFault when a part of the path is missing.
    """
    parts = dict(part.split("=", 1) for part in path.removesuffix(".csv").split("/") if "=" in part)
    try:
        tenant = f"azure/{parts['vm_region']}-{parts['vm_sku']}"
        return tenant, f"{parts['test_suite']}/{parts['test_name']}/{parts['unit']}"
    except KeyError as missing:
        raise DataFault(f"{path}: the path has no {missing}") from missing


def microseconds(text: str) -> int:
    """Return a time without a zone, read as UTC, in microseconds since 1970."""
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - EPOCH) // MICROSECOND


def read(raw: BinaryIO, name: str) -> Iterator[TenantWrite]:
    """Yield each row of each CSV file of an archive, in the order in which they lie there."""
    with tarfile.open(fileobj=raw, mode="r|gz") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.name.endswith(".csv") else None
            if content is not None:
                tenant, key = names_of(member.name)
                yield from _rows(content, tenant, key, f"{name}: {member.name}")


def _rows(content: IO[bytes], tenant: str, key: str, place: str) -> Iterator[TenantWrite]:
    rows = csv.reader(io.TextIOWrapper(io.BytesIO(content.read()), "utf-8", newline=""))
    header = next(rows)
    if header != ["value", "runtime", "starttime", "VM_id"]:
        raise DataFault(f"{place}: the header is {header}, not value, runtime, starttime, VM_id")
    for line, row in enumerate(rows, start=2):
        try:
            value, _, started, machine = row
            write = Write(machine, "vm", key, microseconds(started), ValueType.DOUBLE, float(value))
        except ValueError as wrong:
            raise DataFault(f"{place}: row {line}: {wrong}") from wrong
        yield TenantWrite(tenant, write)


AZURE = DataSet(
    name="azure",
    title="Azure VM noise",
    suffix=".tar.gz",
    ordered=False,
    key_quota=1_000,
    rooted=False,
    read=read,
)
