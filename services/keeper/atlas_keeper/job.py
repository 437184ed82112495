"""The duties of `keeper`, done once."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence

from atlaskit.config import load
from atlaskit.errors import AtlasError, ConfigurationWrong
from atlaskit.postgres.pool import Session, open_pool
from atlaskit.postgres.upkeep import count_old_requests, ensure_partitions, forget_requests

from atlas_keeper.settings import Settings

EXIT_CONFIGURATION = 78  # EX_CONFIG of sysexits.h
Say = Callable[[str], object]


async def keep(settings: Settings, say: Say, *, dry_run: bool) -> None:
    """Do every duty once and say what was done; `dry_run` says what would be. Safe to run twice, or at once."""
    async with (
        open_pool(settings.postgres_dsn, max_size=1, application_name="atlas-keeper") as pool,
        pool.lease() as session,
    ):
        created = await ensure_partitions(session, settings.months_ahead, settings.days_ahead, dry_run=dry_run)
        for name in created:
            say(f"partition {name} {'is missing' if dry_run else 'created'}")
        if not created:
            say(f"partitions: none missing for {settings.months_ahead} months and {settings.days_ahead} days ahead")
        if dry_run:
            count = await count_old_requests(session, settings.request_age)
            say(f"requests: {count} stored answers are older than {settings.request_age}")
        else:
            count, more = await _forget(session, settings)
            say(f"requests: {count} stored answers forgotten{'; more are left for the next run' if more else ''}")


async def _forget(session: Session, settings: Settings) -> tuple[int, bool]:
    total = 0
    for _ in range(settings.request_batches):
        count = await forget_requests(session, settings.request_age, settings.request_batch)
        total += count
        if count < settings.request_batch:
            return total, False
    return total, True


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the job and return its exit status: 0 done, 1 failed (the reason is on standard error), 78 wrong settings."""
    parser = argparse.ArgumentParser("atlas_keeper", description="Create partitions ahead, forget old answers.")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and do nothing")
    options = parser.parse_args(arguments)
    try:
        asyncio.run(keep(load(Settings, environ), _print, dry_run=options.dry_run))
    except ConfigurationWrong as wrong:
        print(f"keeper: {wrong}", file=sys.stderr)  # noqa: T201  # a job's output is what it prints
        return EXIT_CONFIGURATION
    except AtlasError as error:
        print(f"keeper: {error}", file=sys.stderr)  # noqa: T201  # as above
        return 1
    return 0


def _print(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # as above
