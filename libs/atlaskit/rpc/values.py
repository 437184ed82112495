"""Values in messages: which field of AttributeValue holds which type."""

from __future__ import annotations

from typing import Final

from atlaskit.model import ValueType

TYPE_OF: Final = {
    "int64_value": ValueType.INT64,
    "uint64_value": ValueType.UINT64,
    "double_value": ValueType.DOUBLE,
    "bool_value": ValueType.BOOL,
    "string_value": ValueType.STRING,
    "bytes_value": ValueType.BYTES,
}
FIELD_OF: Final = {kind: field for field, kind in TYPE_OF.items()}
