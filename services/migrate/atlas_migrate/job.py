"""The steps of `migrate`, each repeatable: schema, passwords, topics, connector; and the watch over the connector."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

from atlaskit.config import load
from atlaskit.errors import AtlasError, ConfigurationWrong
from atlaskit.kafka.connector import CDC_ROLE, CONNECTOR, register, render, template
from atlaskit.kafka.supervision import Supervisor
from atlaskit.kafka.topics import TOPICS, ensure_topics

from atlas_migrate.settings import Settings
from atlas_migrate.stores import migrate_clickhouse, migrate_postgres, passwords_in, set_passwords

EXIT_CONFIGURATION = 78  # EX_CONFIG of sysexits.h
Say = Callable[[str], object]


async def prepare(settings: Settings, say: Say) -> None:
    """Do every step once and say what was done. Safe to run twice; two at once may fail, and the next run mends it."""
    dsn, passwords = settings.postgres_dsn.get_secret_value(), passwords_in(settings.role_passwords)
    say(await migrate_postgres(dsn, settings.patience, say) or "postgres: the schema is the newest")
    await set_passwords(dsn, passwords)
    say(f"postgres: {len(passwords)} roles have their password")
    url = settings.clickhouse_url.get_secret_value()
    say(await migrate_clickhouse(url, settings.patience) or "clickhouse: the schema is the newest")
    seconds = settings.patience.total_seconds()
    await ensure_topics(settings.kafka_bootstrap, replication=settings.kafka_replication, seconds=seconds)
    say(f"kafka: {len(TOPICS)} topics are there")
    if settings.connect_url:
        values = connector_values(settings, passwords)
        await register(settings.connect_url, render(template(), values), settings.patience)
        say(f"connect: {CONNECTOR} runs")


def connector_values(settings: Settings, passwords: Mapping[str, str]) -> dict[str, str]:
    """Return what connector.json leaves open. Raises ConfigurationWrong if the settings do not say it."""
    primary = urlsplit(settings.postgres_dsn.get_secret_value())
    placeholder = settings.unavailable_value_placeholder
    if CDC_ROLE not in passwords or placeholder is None:
        raise ConfigurationWrong(
            f"ATLAS_CONNECT_URL needs a password of {CDC_ROLE}, and ATLAS_UNAVAILABLE_VALUE_PLACEHOLDER as well"
        )
    return {
        "database_host": settings.database_host or primary.hostname or "",
        "database_port": str(primary.port or 5432),
        "database_user": CDC_ROLE,
        "database_password": passwords[CDC_ROLE],
        "database_name": primary.path.removeprefix("/"),
        "unavailable_value_placeholder": placeholder.get_secret_value(),
    }


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the job and return its exit status: 0 done, 1 failed (the reason is on standard error), 78 wrong settings.

    With `--watch URL` it reads no settings and restarts failed connectors of the Connect there until it is ended.
    """
    parser = argparse.ArgumentParser("atlas_migrate", description="Prepare the stores; or watch over the connectors.")
    parser.add_argument("--watch", metavar="URL", help="restart what fails at this Kafka Connect, until ended")
    parser.add_argument("--check", action="store_true", help="only read the settings")
    options = parser.parse_args(arguments)
    try:
        if options.watch:
            asyncio.run(Supervisor(options.watch, _print).watch())
        settings = load(Settings, environ)
        if not options.check:
            asyncio.run(prepare(settings, _print))
    except ConfigurationWrong as wrong:
        print(f"migrate: {wrong}", file=sys.stderr)  # noqa: T201  # a job's output is what it prints
        return EXIT_CONFIGURATION
    except AtlasError as error:
        print(f"migrate: {error}", file=sys.stderr)  # noqa: T201  # as above
        return 1
    return 0


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # as above
