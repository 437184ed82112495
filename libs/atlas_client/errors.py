"""What a caller is told when a call fails, or is not made."""

from __future__ import annotations

from datetime import timedelta

from atlas.freshness.v1 import freshness_pb2
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2 as details_pb2  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from grpc import StatusCode, aio
from grpc_status import rpc_status

from atlas_client.freshness import Freshness, freshness_of


class CallFailed(Exception):
    """A call was refused or failed.

    `reason` is for machines, in UPPER_SNAKE_CASE; `field` the path of the field at fault or empty; `retry_after` None
    where a retry does not help or no time is known; `freshness` the certificate, where one came with the refusal.
    """

    def __init__(
        self,
        code: StatusCode,
        reason: str,
        message: str,
        *,
        field: str = "",
        retry_after: timedelta | None = None,
        metadata: dict[str, str] | None = None,
        freshness: Freshness | None = None,
    ) -> None:
        super().__init__(f"{reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.field = field
        self.retry_after = retry_after
        self.metadata = metadata or {}
        self.freshness = freshness

    @classmethod
    def of(cls, error: aio.AioRpcError) -> CallFailed:
        """Return what the service said. A status without details gets the name of its code as the reason."""
        try:
            status = rpc_status.from_call(error) or Status()  # type: ignore[arg-type]  # it has the methods that are read
        except (ValueError, DecodeError):
            status = Status()
        info, bad = details_pb2.ErrorInfo(), details_pb2.BadRequest()
        retry, freshness = details_pb2.RetryInfo(), freshness_pb2.Freshness()
        kinds: tuple[Message, ...] = (info, bad, retry, freshness)
        present = {kind.DESCRIPTOR.name for detail in status.details for kind in kinds if detail.Unpack(kind)}
        return cls(
            error.code(),
            info.reason or error.code().name,
            error.details() or "",
            field=bad.field_violations[0].field if bad.field_violations else info.metadata.get("field", ""),
            retry_after=retry.retry_delay.ToTimedelta() if "RetryInfo" in present else None,
            metadata=dict(info.metadata),
            freshness=freshness_of(freshness) if "Freshness" in present else None,
        )


class FilterError(ValueError):
    """An expression cannot be a filter. `line` and `column` count characters from 1; the text says what to write."""

    def __init__(self, problem: str, line: int, column: int) -> None:
        super().__init__(f"line {line}, column {column}: {problem}")
        self.problem = problem
        self.line = line
        self.column = column


class FilterNotInstalled(ImportError):
    """A filter in text needs a library that comes with an extra."""

    def __init__(self) -> None:
        super().__init__(
            "where= needs the library that reads CEL: pip install 'atlas-telemetry[client]' brings it; "
            "predicate= takes the contract's Predicate without it",
            name="cel_expr_python",
        )
