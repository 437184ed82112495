"""The tree of errors that Atlas raises on purpose.

AtlasError
|-- InvalidRequest        the caller sent something wrong; names the field
|   `-- DeadlineRequired
|-- TenantUnknown
|-- NotFound
|-- AlreadyExists
|-- RequestIdReused       the same request_id with other content
|-- StateForbids          what is asked for does not fit what is there; says which rule
|-- PermissionDenied
|   |-- TenantMismatch    the request names another tenant than the call acts for
|   `-- NotGranted        a read across tenants without a grant for each
|-- IdentityMissing       the call does not say who it comes from, and must
|-- NotBuilt              a part of the contract that has no behaviour yet
|-- Overloaded            full; says when to come again
|-- TenantBusy            one tenant has as many reads as it may have at a time
|-- TooCostly             a query would read or hold more than one may
|-- Unavailable           a store or a peer did not answer
|   |-- EpochNotRegistered
|   `-- OutcomeUnknown    it may or may not have been committed
|-- DeadlinePassed
|-- NotFreshEnough        no source is proven fresh enough
|   |-- TokenLost
|   `-- TokenEpochUnknown
`-- ConfigurationWrong

`reason` is what a machine reads; the text is for people: what, where, what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta


class AtlasError(Exception):
    """Something went wrong that Atlas has a name for."""

    reason: str = "INTERNAL"

    @property
    def metadata(self) -> dict[str, str]:
        """Return the values that the text mentions, for machines."""
        return {}


class InvalidRequest(AtlasError):
    """A field of the request is wrong. `field` is its path; `code` its reason in UPPER_SNAKE_CASE."""

    reason = "INVALID_REQUEST"

    def __init__(self, field: str, message: str, code: str = "INVALID_REQUEST") -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.description = message
        self.code = code

    @property
    def metadata(self) -> dict[str, str]:
        return {"field": self.field} if self.field else {}


class DeadlineRequired(InvalidRequest):
    """The call came without a deadline."""

    def __init__(self) -> None:
        super().__init__("", "the call has no deadline; set one, such as timeout=5 seconds", "DEADLINE_REQUIRED")


class TenantUnknown(AtlasError):
    """No tenant has this id; register it with TenantService.CreateTenant."""

    reason = "TENANT_UNKNOWN"

    def __init__(self, tenant_id: int) -> None:
        super().__init__(f"tenant_id: no tenant {tenant_id} is registered; register it with CreateTenant")
        self.tenant_id = tenant_id

    @property
    def metadata(self) -> dict[str, str]:
        return {"tenant_id": str(self.tenant_id), "field": "tenant_id"}


class StateForbids(AtlasError):
    """What is asked for is well formed, and not possible as things are. `code` is its reason in UPPER_SNAKE_CASE."""

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.reason = code


class NotFound(AtlasError):
    """The thing asked for does not exist in the copy that answered."""

    reason = "NOT_FOUND"


class AlreadyExists(AtlasError):
    """A thing of this name exists with other properties."""

    reason = "ALREADY_EXISTS"


class RequestIdReused(AtlasError):
    """The request_id was used before with other content."""

    reason = "REQUEST_ID_REUSED"


class PermissionDenied(AtlasError):
    """The caller may not do this, whatever else is right about it."""

    reason = "PERMISSION_DENIED"


class TenantMismatch(PermissionDenied):
    """The request names another tenant than the one that the call acts for by its metadata."""

    reason = "TENANT_MISMATCH"

    def __init__(self, acts_for: int, named: int) -> None:
        super().__init__(f"the call acts for tenant {acts_for} (x-atlas-tenant) and its request names tenant {named}")
        self.named = named

    @property
    def metadata(self) -> dict[str, str]:
        return {"tenant_id": str(self.named)}


class NotGranted(PermissionDenied):
    """A read of several tenants needs a grant to its caller for each; `atlas grants add` gives one."""

    reason = "TENANT_NOT_GRANTED"

    def __init__(self, caller: str, tenant_id: int) -> None:
        who = f"caller {caller!r}" if caller else "a caller that does not say who it is (x-atlas-caller)"
        super().__init__(f"{who} has no grant to read tenant {tenant_id} together with others")
        self.tenant_id = tenant_id

    @property
    def metadata(self) -> dict[str, str]:
        return {"tenant_id": str(self.tenant_id)}


class IdentityMissing(AtlasError):
    """This deployment answers only calls that say who they come from and for which tenant they act."""

    reason = "IDENTITY_REQUIRED"

    def __init__(self, key: str) -> None:
        super().__init__(f"the call has no {key} in its metadata, and this deployment requires it")
        self.key = key

    @property
    def metadata(self) -> dict[str, str]:
        return {"field": self.key}


class NotBuilt(AtlasError):
    """This part of the contract has no behaviour yet; the text says which."""

    reason = "NOT_BUILT"


class Overloaded(AtlasError):
    """A bounded resource is full; `reason` says which in UPPER_SNAKE_CASE. Come again after `retry_after`."""

    def __init__(self, what: str, retry_after: timedelta, reason: str = "OVERLOADED") -> None:
        super().__init__(f"{what} is full; try again after {retry_after.total_seconds():.3f} s")
        self.retry_after = retry_after
        self.reason = reason


class TenantBusy(AtlasError):
    """One tenant has as many reads of a class as it may have at a time, and as many wait. Another copy is no help."""

    reason = "TENANT_READS_FULL"

    def __init__(self, kind: str, tenant_id: int, retry_after: timedelta) -> None:
        super().__init__(
            f"tenant {tenant_id} has as many {kind} reads as one tenant may have at a time, and as many wait; "
            f"try again after {retry_after.total_seconds():.3f} s"
        )
        self.retry_after = retry_after
        self.tenant_id = tenant_id

    @property
    def metadata(self) -> dict[str, str]:
        return {"tenant_id": str(self.tenant_id)}


class TooCostly(AtlasError):
    """A query would read more rows or hold more memory than one query may; ask for less. A retry does not help."""

    reason = "QUERY_TOO_COSTLY"


class Unavailable(AtlasError):
    """A store or a peer did not answer. Nothing was done, or the error says otherwise."""

    reason = "UNAVAILABLE"


class EpochNotRegistered(Unavailable):
    """The lag monitor has not registered an epoch for this primary and timeline yet, so no write is accepted on it."""

    reason = "EPOCH_NOT_REGISTERED"


class OutcomeUnknown(Unavailable):
    """The commit may or may not have happened. Repeat the call with the same request_id."""

    reason = "OUTCOME_UNKNOWN"


class DeadlinePassed(AtlasError):
    """The call's deadline passed before the answer was ready."""

    reason = "DEADLINE_PASSED"


class NotFreshEnough(AtlasError):
    """No source is proven fresh enough; the text says how far off each one is.

    `retry_after` is when one is likely to be; None where nothing tells.
    """

    reason = "NOT_FRESH_ENOUGH"

    def __init__(self, text: str, retry_after: timedelta | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class TokenLost(NotFreshEnough):
    """The token is of a timeline that lost the write it names."""

    reason = "TOKEN_LOST"


class TokenEpochUnknown(NotFreshEnough):
    """The token is of an epoch that the lag monitor does not know: of another platform, or forged."""

    reason = "TOKEN_EPOCH_UNKNOWN"


class ConfigurationWrong(AtlasError):
    """The settings, or those of a store, cannot work; the text names them all."""

    reason = "CONFIGURATION_WRONG"


class Translated:
    """A block in which a driver's errors become those of Atlas, by `named`, which gives None for what it does not know.

    `doing` says in the text what was being done. A class and no generator: it stands around every statement."""

    __slots__ = ("_doing", "_named")

    def __init__(self, named: Callable[[Exception, str], AtlasError | None], doing: str) -> None:
        self._named = named
        self._doing = doing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, AtlasError):
            known = self._named(error, self._doing)
            if known is not None:
                raise known from error
