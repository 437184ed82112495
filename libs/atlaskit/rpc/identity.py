"""Who a call comes from and for which tenant it acts: filled from its metadata, asked for wherever that matters."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from atlaskit.config import IdentityMode
from atlaskit.errors import IdentityMissing, InvalidRequest, TenantMismatch

CALLER: Final = "x-atlas-caller"  # name of the calling service: 1 to 64 printable characters of ASCII without spaces
TENANT: Final = "x-atlas-tenant"  # the tenant that the call acts for, in decimal digits
_NAME: Final = re.compile(r"\A[!-~]{1,64}\Z")
_NUMBER: Final = re.compile(r"\A[1-9][0-9]{0,9}\Z")
_MAX_TENANT: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Identity:
    """What is known of a caller.

    `caller` is empty when it did not say who it is. `tenant_id` confines the call to one tenant; None: it acts for the
    tenant that it names. `strict`: that is not enough, it must have said.
    """

    caller: str = ""
    tenant_id: int | None = None
    strict: bool = False

    def permit(self, tenant_ids: Collection[int]) -> None:
        """Return if a call may name these tenants; several need grants besides.

        Raises TenantMismatch for one that is not the tenant of the call, IdentityMissing if it must have said which.
        """
        if self.tenant_id is None:
            if self.strict and len(tenant_ids) == 1:
                raise IdentityMissing(TENANT)
            return
        for tenant_id in tenant_ids:
            if tenant_id != self.tenant_id:
                raise TenantMismatch(self.tenant_id, tenant_id)

    def metadata(self) -> tuple[tuple[str, str], ...]:
        """Return it as a call carries it on."""
        caller = ((CALLER, self.caller),) if self.caller else ()
        return caller if self.tenant_id is None else (*caller, (TENANT, str(self.tenant_id)))


def identity_of(metadata: Iterable[tuple[str, str | bytes]], mode: IdentityMode) -> Identity:
    """Return the identity that metadata state: the one place where it is taken on trust, for a token to replace.

    Raises InvalidRequest for what is no identity, or two of them; IdentityMissing if there is no caller and must be.
    """
    said: dict[str, str] = {}
    for key, text in metadata:
        if key not in (CALLER, TENANT):
            continue
        if key in said or not isinstance(text, str):
            raise InvalidRequest(key, "must be given once, as text", "METADATA_MALFORMED")
        said[key] = text
    caller, tenant = said.get(CALLER), said.get(TENANT)
    if caller is not None and not _NAME.match(caller):
        raise InvalidRequest(CALLER, "must be 1 to 64 printable characters without spaces", "METADATA_MALFORMED")
    if tenant is not None and not (_NUMBER.match(tenant) and int(tenant) <= _MAX_TENANT):
        raise InvalidRequest(TENANT, f"must be a tenant, 1 to {_MAX_TENANT} in digits", "METADATA_MALFORMED")
    strict = mode is IdentityMode.REQUIRED
    if strict and caller is None:
        raise IdentityMissing(CALLER)
    return Identity(caller or "", None if tenant is None else int(tenant), strict)


def tenants_named(request: Any) -> tuple[int, ...]:
    """Return the tenants that a request of the contract names; none for a stream, whose messages are checked alone."""
    if (several := getattr(request, "tenant_ids", None)) is not None:
        return tuple(several)
    one = getattr(request, "tenant_id", None)
    return () if one is None else (one,)


_NOBODY: Final = Identity()
_current: ContextVar[Identity] = ContextVar("identity", default=_NOBODY)


def current_identity() -> Identity:
    """Return the identity of the call that this task answers; outside of a call nothing is known."""
    return _current.get()


def enter(identity: Identity) -> None:
    """Make it the identity of the call that this task answers, and of the tasks that it starts."""
    _current.set(identity)
