"""The plans of the questions of `make bench-query`, for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg
from atlaskit.clickhouse.pool import ClickHouse
from atlaskit.clickhouse.settings import SETTINGS

from benchmarks.figures import RESULTS
from benchmarks.hot_queries import Statement
from benchmarks.query_ways import LIMIT, OlapQuery

PATH = RESULTS / "query-plans.txt"


class Plans:
    """Plans by question and way, written to a file."""

    def __init__(self) -> None:
        self._parts: dict[str, str] = {}

    async def of_postgres(self, name: str, connection: asyncpg.Connection[Any], statement: Statement) -> None:
        """Keep the plan of a statement, with what it took and touched, once for each name."""
        if name not in self._parts:
            rows = await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS) {statement.text}", *statement.values)
            self._parts[name] = "\n".join(row[0] for row in rows)

    async def of_clickhouse(self, name: str, clickhouse: ClickHouse, queries: Sequence[OlapQuery]) -> None:
        """Keep the plans of a question's statements in ClickHouse, with the indexes that they use."""
        if name in self._parts:
            return
        texts = []
        for one in queries:
            text = f"EXPLAIN indexes = 1 {one.text}"
            rows = await clickhouse.rows(text, one.parameters, limit=LIMIT, settings=SETTINGS)
            texts.append("\n".join(str(row[0]) for row in rows))
        self._parts[name] = "\n\n".join(texts)

    def write(self) -> None:
        """Write the file."""
        RESULTS.mkdir(parents=True, exist_ok=True)
        PATH.write_text("\n\n".join(f"## {name}\n\n{text}" for name, text in self._parts.items()) + "\n", "utf-8")
