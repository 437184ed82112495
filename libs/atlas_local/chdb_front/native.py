"""Blocks of format Native as a client of a given protocol revision expects them.

The engine writes them as for revision 0: no block info, no mark of custom serialization.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

# From this revision on each column says, in one byte, whether its serialization is a custom one (never, here).
CUSTOM_SERIALIZATION_REVISION = 54454
# is_overflows = 0, bucket_num = -1, end: what a block says about itself from revision 1 on.
BLOCK_INFO = b"\x01\x00\x02\xff\xff\xff\xff\x00"

_WIDTHS = {
    "Nothing": 1, "Bool": 1, "UUID": 16, "IPv4": 4, "IPv6": 16, "Date": 2, "Date32": 4, "DateTime": 4, "DateTime64": 8,
    "Time": 4, "Time64": 8, "Enum8": 1, "Enum16": 2, "BFloat16": 2, "Point": 16,
    **{f"{kind}{bits}": bits // 8 for kind in ("Int", "UInt") for bits in (8, 16, 32, 64, 128, 256)},
    **{f"Float{bits}": bits // 8 for bits in (32, 64)},
    **{f"Decimal{bits}": bits // 8 for bits in (32, 64, 128, 256)},
}  # fmt: skip
_DECIMAL_STEPS = ((9, 4), (18, 8), (38, 16), (76, 32))


class UnknownType(ValueError):
    """A column's type whose bytes cannot be measured, so its block cannot be rewritten."""


@dataclass(slots=True)
class _Cursor:
    data: bytes
    at: int = 0

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self.data[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def number(self) -> int:
        self.at += 8
        return int.from_bytes(self.data[self.at - 8 : self.at], "little")

    def text(self) -> str:
        size = self.varint()
        self.at += size
        return self.data[self.at - size : self.at].decode()


def one_block(block: bytes, revision: int) -> bytes:
    """Return one block of the engine as this revision writes it, which before custom serialization costs nothing."""
    if revision <= 0 or not block:
        return block
    if revision < CUSTOM_SERIALIZATION_REVISION:
        return BLOCK_INFO + block
    return many_blocks(block, revision)


def many_blocks(blocks: bytes, revision: int) -> bytes:
    """Return blocks that stand one after another as this revision writes them. Raises UnknownType."""
    return blocks if revision <= 0 else b"".join(_rewritten(blocks, revision))


def _rewritten(blocks: bytes, revision: int) -> Iterator[bytes]:
    cursor = _Cursor(blocks)
    custom = b"\x00" if revision >= CUSTOM_SERIALIZATION_REVISION else b""
    while cursor.at < len(blocks):
        start = cursor.at
        columns, rows = cursor.varint(), cursor.varint()
        yield BLOCK_INFO + blocks[start : cursor.at]
        for _ in range(columns):
            start = cursor.at
            cursor.text()
            kind = cursor.text()
            yield blocks[start : cursor.at] + custom
            start = cursor.at
            if rows:
                cursor.at += 8 * kind.count("LowCardinality(")  # their versions stand before all values of the column
                _skip(cursor, kind, rows)
            yield blocks[start : cursor.at]


def _skip(cursor: _Cursor, kind: str, rows: int) -> None:
    """Move past `rows` values of this type."""
    name, inner = _parts(kind)
    if width := _width(name, inner):
        cursor.at += width * rows
    elif step := _SKIPS.get(name):
        step(cursor, inner, rows)
    else:
        raise UnknownType(
            f"type {kind} cannot be sent in format Native at this protocol revision; choose another format"
        )


def _parts(kind: str) -> tuple[str, list[str]]:
    """Return the name of a type and its arguments, names of tuple elements taken off."""
    name, opened, rest = kind.partition("(")
    return name, _arguments(rest[:-1]) if opened else []


def _arguments(text: str) -> list[str]:
    found, depth, start = [], 0, 0
    for token in re.finditer(r"'(?:[^'\\]|\\.)*'|[(),]", text):
        if token[0] == "(":
            depth += 1
        elif token[0] == ")":
            depth -= 1
        elif token[0] == "," and depth == 0:
            found.append(text[start : token.start()].strip())
            start = token.end()
    return [*found, text[start:].strip()]


def _width(name: str, inner: list[str]) -> int:
    if name == "FixedString":
        return int(inner[0])
    if name == "Decimal":
        return next(width for digits, width in _DECIMAL_STEPS if int(inner[0]) <= digits)
    if name.startswith("Interval"):
        return 8
    return _WIDTHS.get(name, 0)


def _skip_string(cursor: _Cursor, _inner: list[str], rows: int) -> None:
    for _ in range(rows):
        size = cursor.varint()  # first, since it moves the cursor itself
        cursor.at += size


def _skip_nullable(cursor: _Cursor, inner: list[str], rows: int) -> None:
    cursor.at += rows
    _skip(cursor, inner[0], rows)


def _skip_array(cursor: _Cursor, inner: list[str], rows: int) -> None:
    cursor.at += 8 * (rows - 1)  # ends of the arrays; the last one is the number of elements
    if total := cursor.number():
        _skip(cursor, inner[0], total)


def _skip_tuple(cursor: _Cursor, inner: list[str], rows: int) -> None:
    for element in inner:
        named = re.match(r"(?:[A-Za-z_]\w*|`[^`]*`)\s+(.+)", element)
        _skip(cursor, named[1] if named else element, rows)


def _skip_map(cursor: _Cursor, inner: list[str], rows: int) -> None:
    _skip_array(cursor, [f"Tuple({', '.join(inner)})"], rows)


def _skip_low_cardinality(cursor: _Cursor, inner: list[str], _rows: int) -> None:
    index_width = 1 << (cursor.number() & 0xFF)
    name, arguments = _parts(inner[0])
    if keys := cursor.number():
        _skip(cursor, arguments[0] if name == "Nullable" else inner[0], keys)
    indexes = cursor.number()
    cursor.at += index_width * indexes


_SKIPS: dict[str, Callable[[_Cursor, list[str], int], None]] = {
    "String": _skip_string,
    "Nullable": _skip_nullable,
    "Array": _skip_array,
    "Tuple": _skip_tuple,
    "Map": _skip_map,
    "LowCardinality": _skip_low_cardinality,
}
