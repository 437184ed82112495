"""`python -m atlas_local`: the embedded stack alone, up until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import time
from pathlib import Path

from atlas_local.errors import LocalStackError
from atlas_local.jars import MAVEN_CENTRAL
from atlas_local.migrations import apply_migrations
from atlas_local.stack import StackOptions, local_stack


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def stay_up(options: StackOptions, *, migrate: bool) -> None:
    """Run the stack until this task is cancelled."""
    begin = time.monotonic()
    async with local_stack(options) as stack:
        if migrate:
            await apply_migrations(stack)
        say(f"up after {time.monotonic() - begin:.1f} s; data in {stack.data_dir}")
        say(f"  primary     {stack.primary_dsn()}")
        say(f"  replica     {stack.replica_dsn()}")
        say(f"  kafka       {stack.kafka_bootstrap}")
        say(f"  connect     {stack.connect_url}")
        say(f"  clickhouse  {stack.clickhouse_url}")
        await asyncio.Event().wait()


async def main(options: StackOptions, *, migrate: bool) -> None:
    """Run the stack; SIGTERM ends it as Ctrl-C does."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    await stay_up(options, migrate=migrate)


def options_from(arguments: argparse.Namespace, repository: str) -> StackOptions:
    """Return the options that the command line and the environment ask for."""
    return StackOptions(
        data_dir=arguments.data,
        keep=arguments.data is not None,
        repository=repository,
        progress=lambda done, total: say(f"jar {done} of {total}"),
        started=lambda part: say(f"{part} is healthy"),
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m atlas_local", description=__doc__)
    parser.add_argument("--data", type=Path, help="data directory, kept at the end (default: a temporary one)")
    parser.add_argument("--bare", action="store_true", help="leave out migrations, topics and connector")
    given = parser.parse_args()
    try:
        options = options_from(given, os.environ.get("ATLAS_MAVEN_REPOSITORY", MAVEN_CENTRAL))
        asyncio.run(main(options, migrate=not given.bare))
    except (KeyboardInterrupt, asyncio.CancelledError):
        say("stopped")
    except LocalStackError as error:
        sys.exit(str(error))
