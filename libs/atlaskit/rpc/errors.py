"""The one place where errors become statuses, and statuses errors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from atlas.freshness.v1.freshness_pb2 import Freshness
from atlas.ingest.v1.ingest_service_pb2 import BatchError
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2 as details_pb2  # type: ignore[import-untyped]
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]
from grpc import StatusCode, aio
from grpc_status import rpc_status

from atlaskit import errors
from atlaskit.errors import AtlasError
from atlaskit.rpc.certificate import freshness_of

DOMAIN = "atlas"
STATUS: dict[type[AtlasError], StatusCode] = {
    errors.InvalidRequest: StatusCode.INVALID_ARGUMENT,
    errors.TenantUnknown: StatusCode.NOT_FOUND,
    errors.NotFound: StatusCode.NOT_FOUND,
    errors.AlreadyExists: StatusCode.ALREADY_EXISTS,
    errors.RequestIdReused: StatusCode.FAILED_PRECONDITION,
    errors.StateForbids: StatusCode.FAILED_PRECONDITION,
    errors.PermissionDenied: StatusCode.PERMISSION_DENIED,
    errors.IdentityMissing: StatusCode.UNAUTHENTICATED,
    errors.NotBuilt: StatusCode.UNIMPLEMENTED,
    errors.TenantBusy: StatusCode.RESOURCE_EXHAUSTED,
    errors.TooCostly: StatusCode.RESOURCE_EXHAUSTED,
    errors.Overloaded: StatusCode.RESOURCE_EXHAUSTED,
    errors.Unavailable: StatusCode.UNAVAILABLE,
    errors.DeadlinePassed: StatusCode.DEADLINE_EXCEEDED,
    errors.NotFreshEnough: StatusCode.FAILED_PRECONDITION,
    errors.ConfigurationWrong: StatusCode.INTERNAL,
    AtlasError: StatusCode.INTERNAL,
}
UNAVAILABLE_RETRY = timedelta(milliseconds=100)
# A status travels in headers, which peers limit to 8 KiB in all.
MAX_TEXT = 1024
MAX_METADATA_TEXT = 256


@dataclass(frozen=True, slots=True)
class Fault:
    """What a caller is told about an error. `field` is empty and `retry_after` None where there is none."""

    code: StatusCode
    reason: str
    message: str
    field: str
    retry_after: timedelta | None
    metadata: dict[str, str]
    freshness: Freshness | None


def fault_of(error: BaseException) -> Fault:
    """Return what the caller is told. Of an error without a name it is told no more than that: it may hold a secret.

    Of a group of errors, as a task group raises it, the first with a name counts.
    """
    error = next((leaf for leaf in _leaves(error) if isinstance(leaf, AtlasError)), error)
    if not isinstance(error, AtlasError):
        return Fault(
            StatusCode.INTERNAL,
            "INTERNAL",
            "an error without a name occurred; the service's log has it",
            "",
            None,
            {},
            None,
        )
    code = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    retry_after: timedelta | None = getattr(error, "retry_after", None)
    if code is StatusCode.UNAVAILABLE and retry_after is None:
        retry_after = UNAVAILABLE_RETRY
    return Fault(
        code=code,
        reason=error.code if isinstance(error, errors.InvalidRequest) else error.reason,
        message=str(error)[:MAX_TEXT],
        field=getattr(error, "field", "") or error.metadata.get("field", ""),
        retry_after=retry_after,
        metadata={key: text[:MAX_METADATA_TEXT] for key, text in error.metadata.items()},
        freshness=freshness_of(error),
    )


def _leaves(error: BaseException) -> Iterator[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        for part in error.exceptions:
            yield from _leaves(part)
    else:
        yield error


def status_of(fault: Fault) -> Status:
    """Return the status with its details: ErrorInfo always; BadRequest, RetryInfo and Freshness where they apply."""
    status = Status(code=fault.code.value[0], message=fault.message)
    details: list[Message] = [details_pb2.ErrorInfo(reason=fault.reason, domain=DOMAIN, metadata=fault.metadata)]
    if fault.field and fault.code is StatusCode.INVALID_ARGUMENT:
        violation = details_pb2.BadRequest.FieldViolation(
            field=fault.field, description=fault.message, reason=fault.reason
        )
        details.append(details_pb2.BadRequest(field_violations=[violation]))
    if fault.retry_after is not None:
        retry = details_pb2.RetryInfo()
        retry.retry_delay.FromTimedelta(fault.retry_after)
        details.append(retry)
    if fault.freshness is not None:
        details.append(fault.freshness)
    for detail in details:
        status.details.add().Pack(detail)
    return status


def batch_error_of(error: BaseException) -> BatchError:
    """Return the same as a message, for one batch of a stream that is refused while the stream goes on."""
    fault = fault_of(error)
    answer = BatchError(code=fault.code.value[0], reason=fault.reason, message=fault.message, field=fault.field)
    if fault.retry_after is not None:
        answer.retry_delay.FromTimedelta(fault.retry_after)
    return answer


class RemoteError(AtlasError):
    """A peer refused or failed a call. `retry_after` is None where a retry does not help or no time is known."""

    reason = "REMOTE"

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.reason}: {fault.message}")
        self.code = fault.code
        self.remote_reason = fault.reason
        self.message = fault.message
        self.field = fault.field
        self.retry_after = fault.retry_after
        self.remote_metadata = fault.metadata
        self.freshness = fault.freshness


def errors_from(error: aio.AioRpcError) -> RemoteError:
    """Return what a peer said, with its details. A status without details gets the name of its code as the reason."""
    try:
        status = rpc_status.from_call(error) or Status()  # type: ignore[arg-type]  # it has the methods that are read
    except (ValueError, DecodeError):
        status = Status()  # details that contradict the status, or are no Status: the status alone counts
    info, bad = details_pb2.ErrorInfo(), details_pb2.BadRequest()
    retry, freshness = details_pb2.RetryInfo(), Freshness()
    kinds: tuple[Message, ...] = (info, bad, retry, freshness)
    present = {kind.DESCRIPTOR.name for detail in status.details for kind in kinds if detail.Unpack(kind)}
    field = bad.field_violations[0].field if bad.field_violations else info.metadata.get("field", "")
    return RemoteError(
        Fault(
            code=error.code(),
            reason=info.reason or error.code().name,
            message=error.details() or "",
            field=field,
            retry_after=retry.retry_delay.ToTimedelta() if "RetryInfo" in present else None,
            metadata=dict(info.metadata),
            freshness=freshness if "Freshness" in present else None,
        )
    )
