"""What is sent to PostgreSQL and ClickHouse; and changed on its way, where a test wants to see what holds then."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from atlaskit.clickhouse.pool import ClickHouse
from atlaskit.postgres.pool import Session

# A tenant in a condition: compared with a parameter, or with those of one.
_TENANT = re.compile(r"(\b\w+\.)?tenant_id = (?:\$\d+(?:::\w+)?|ANY ?\(\$\d+(?:::[\w\[\]]+)?\))")


def without_tenant(sql: str) -> str:
    """The statement with every condition on the tenant made true for all."""
    return _TENANT.sub(lambda found: f"({found[0]} OR true)", sql)


def unchanged(sql: str) -> str:
    return sql


@contextmanager
def statements(change: Callable[[str], str] = unchanged) -> Iterator[list[str]]:
    """Yield the texts of the statements that this process sends, in order, as they were before the change."""
    sent: list[str] = []

    def noted(method: Callable[..., Any]) -> Callable[..., Any]:
        async def call(self: Any, sql: str, *values: Any, **options: Any) -> Any:
            sent.append(sql)
            return await method(self, change(sql), *values, **options)

        return call

    with (
        patch.object(Session, "fetch", noted(Session.fetch)),
        patch.object(Session, "row", noted(Session.row)),
        patch.object(Session, "value", noted(Session.value)),
        patch.object(ClickHouse, "rows", noted(ClickHouse.rows)),
    ):
        yield sent
