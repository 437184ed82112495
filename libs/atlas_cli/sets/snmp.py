"""SNMP walks: lines of `OID|TAG|VALUE`, one walk of one device per file.

Octets are always BYTES, bit for bit: some are UTF-8, some GBK, some addresses, and nothing in a walk says which.
Object identifiers and IPv4 addresses are STRING in their dotted form, whichever way the walk spells them. Counter64 is
UINT64. The name of the SNMP type travels as `source_type`.
"""

from __future__ import annotations

import bz2
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from ipaddress import IPv4Address
from typing import BinaryIO

from atlaskit.model import Scalar, ValueType

from atlas_cli.sets.batches import DataFault, DataSet, TenantWrite, Write

SUFFIX = ".snmprec.bz2"
EVENT_TIME_US = 1_704_067_200_000_000  # 2024-01-01T00:00:00Z: a walk does not say when it was made
SYS_OBJECT_ID = b"1.3.6.1.2.1.1.2.0"
ENTERPRISES = b"1.3.6.1.4.1."
COLUMN_ARCS = 11
NULL = b"5"


def _hex(text: bytes) -> bytes:
    return bytes.fromhex(text.decode("ascii"))


# Type, name of the SNMP type, and how the text of a value is read, by tag.
TAGS: Mapping[bytes, tuple[ValueType, str, Callable[[bytes], Scalar]]] = {
    b"2": (ValueType.INT64, "int32", int),
    b"4": (ValueType.BYTES, "octets", bytes),
    b"4x": (ValueType.BYTES, "octets", _hex),
    b"6": (ValueType.STRING, "oid", lambda text: text.decode("ascii")),
    b"64": (ValueType.STRING, "ipv4", lambda text: str(IPv4Address(text.decode("ascii")))),
    b"64x": (ValueType.STRING, "ipv4", lambda text: str(IPv4Address(_hex(text)))),
    b"65": (ValueType.INT64, "counter32", int),
    b"66": (ValueType.INT64, "gauge32", int),
    b"67": (ValueType.INT64, "timeticks", int),
    b"68x": (ValueType.BYTES, "opaque", _hex),
    b"70": (ValueType.UINT64, "counter64", int),
}


def typed(tag: bytes, text: bytes) -> tuple[ValueType, Scalar, str]:
    """Return the value of a line with its type and the name of its SNMP type."""
    if tag not in TAGS:
        raise ValueError(f"tag {tag.decode(errors='replace')!r} is not one of this format")
    value_type, source_type, read_text = TAGS[tag]
    return value_type, read_text(text), source_type


def tenant_of(lines: list[tuple[bytes, bytes, bytes]]) -> str:
    """Return the number of the device's enterprise, from its sysObjectID; `unknown` where there is none."""
    found = "unknown"
    for oid, _, text in lines:
        if oid == SYS_OBJECT_ID:
            inside = text.startswith(ENTERPRISES)
            found = text.removeprefix(ENTERPRISES).split(b".", 1)[0].decode("ascii") if inside else "unknown"
    return found


def split_lines(content: bytes) -> list[tuple[bytes, bytes, bytes]]:
    """Return (OID, tag, value) of each line that has them; comments and blank lines have not."""
    parts = (line.removesuffix(b"\r").split(b"|", 2) for line in content.split(b"\n"))
    return [(part[0], part[1], part[2]) for part in parts if len(part) == 3]


def read(raw: BinaryIO, name: str, *, by_row: bool) -> Iterator[TenantWrite]:
    """Yield each value of a walk, in its order; where an OID comes again, the later line is the one to keep.

    `by_row`: the key is the first 11 arcs of the OID, and the rest names a row of the device, an entity of its own.
    """
    lines = split_lines(bz2.decompress(raw.read()))
    device, asset_type = name.removesuffix(SUFFIX), name.split("/", 1)[0]
    tenant = f"{'snmp-rows' if by_row else 'snmp'}/{tenant_of(lines)}"
    for oid, tag, text in lines:
        if tag == NULL:
            continue  # no value, so no observation
        key, entity = oid.decode("ascii"), device
        if by_row:
            arcs = key.split(".")
            key, entity = ".".join(arcs[:COLUMN_ARCS]), f"{device}#{'.'.join(arcs[COLUMN_ARCS:])}"
        try:
            value_type, value, source_type = typed(tag, text)
        except ValueError as wrong:
            raise DataFault(f"{name}: {oid.decode('ascii')}: {wrong}") from wrong
        yield TenantWrite(tenant, Write(entity, asset_type, key, EVENT_TIME_US, value_type, value, source_type))


SNMP = DataSet(
    name="snmp",
    title="SNMP walks, an entity per device",
    suffix=SUFFIX,
    ordered=True,
    key_quota=1_000_000,
    rooted=True,
    read=partial(read, by_row=False),
)
SNMP_ROWS = DataSet(
    name="snmp-rows",
    title="SNMP walks, an entity per table row",
    suffix=SUFFIX,
    ordered=True,
    key_quota=1_000_000,
    rooted=True,
    read=partial(read, by_row=True),
)
