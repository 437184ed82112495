"""A filter in text, for those who have the library that reads it."""

from __future__ import annotations

from atlas.query.v1 import query_service_pb2 as pb

from atlas_client.errors import FilterNotInstalled


def predicate_where(where: str) -> pb.Predicate:
    """Return the predicate of a CEL expression. Raises FilterError for what is no filter, FilterNotInstalled."""
    try:
        from atlas_client.filters import predicate_of  # noqa: PLC0415  # a 14 MB library, for those who filter by text
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "cel_expr_python":
            raise
        raise FilterNotInstalled from missing
    return predicate_of(where)
