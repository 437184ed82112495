"""The schema of both stores, by dbmate, and the passwords of the roles."""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import sysconfig
from collections.abc import Callable, Mapping
from datetime import timedelta
from importlib.resources import as_file, files
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import httpx
from atlaskit.errors import ConfigurationWrong, Unavailable
from atlaskit.postgres.pool import open_pool
from atlaskit.postgres.roles import set_password

_POLL = 0.2  # seconds between two looks
# A change that waits for a table makes every later read and write of that table wait behind it: never for longer.
LOCK_LIMIT = timedelta(seconds=1)
_LOCK_PAUSE = 2.0  # seconds in which what waited gets through before the next attempt, and up to as many again
_LOCK_REFUSED = "canceling statement due to lock timeout"


async def migrate_postgres(dsn: str, limit: timedelta, say: Callable[[str], object]) -> str:
    """Bring the primary to the newest schema, once it answers, and return what dbmate said. Raises as `_up` does.

    A migration that needs a table which somebody reads or writes for long gives up after `LOCK_LIMIT`, changing
    nothing, and is tried again until `limit` has passed; each time is said.
    """
    wait = ["--wait", "--wait-timeout", f"{limit.total_seconds():g}s"]
    options = {"PGOPTIONS": f"-c lock_timeout={LOCK_LIMIT // timedelta(milliseconds=1)}ms"}
    loop = asyncio.get_running_loop()
    end = loop.time() + limit.total_seconds()
    while True:
        try:
            return await _up("postgres", dsn, limit * 2, wait, options)
        except Unavailable as failed:
            pause = _LOCK_PAUSE * random.uniform(1.0, 2.0)
            if _LOCK_REFUSED not in str(failed) or loop.time() + pause > end:
                raise
        say(f"postgres: a table was in use for longer than {LOCK_LIMIT}; trying again")
        await asyncio.sleep(pause)


async def migrate_clickhouse(url: str, limit: timedelta) -> str:
    """Bring ClickHouse to the newest schema, once it answers, and return what dbmate said. Raises as `_up` does."""
    # dbmate's own wait asks the database by its name, which there is only after its first migration.
    said = "nothing"
    try:
        async with asyncio.timeout(limit.total_seconds()), httpx.AsyncClient(timeout=5.0) as client:
            while said != "answered":
                try:
                    said = "answered" if (await client.get(ping_of(url))).is_success else "an error"
                except httpx.TransportError as error:
                    said = repr(error)
                await asyncio.sleep(_POLL)
    except TimeoutError:
        raise Unavailable(f"ClickHouse did not answer within {limit}: {said}") from None
    return await _up("clickhouse", clickhouse_address(url), limit, [], {})


async def _up(store: str, url: str, limit: timedelta, wait: list[str], options: Mapping[str, str]) -> str:
    """Run dbmate. Repeatable. The address goes by the environment: a list of processes would show the password.

    Raises Unavailable with dbmate's words if it fails or takes longer than `limit`.
    """
    with as_file(files("atlaskit") / store / "schema") as folder:
        arguments = ["--no-dump-schema", *wait, "--migrations-dir", str(folder), "up"]
        process = await asyncio.create_subprocess_exec(
            dbmate(),
            *arguments,
            env={"DATABASE_URL": url, "PATH": os.defpath, **options},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(limit.total_seconds()):
                said, _ = await process.communicate()
        except TimeoutError:
            raise Unavailable(f"the migration of {store} took longer than {limit}") from None
        finally:
            if process.returncode is None:
                process.kill()
    text = said.decode("utf-8", "replace").strip()
    if process.returncode:
        raise Unavailable(f"the migration of {store} failed: {text[-2000:]}")
    return text


def dbmate() -> str:
    """Return the path of dbmate's program. Raises ConfigurationWrong if it is not installed beside this Python."""
    found = shutil.which("dbmate", path=sysconfig.get_path("scripts")) or shutil.which("dbmate")
    if found is None:
        raise ConfigurationWrong("dbmate is not installed: pip install 'atlas-telemetry[migrate]'")
    return found


def ping_of(url: str) -> str:
    """Return where ClickHouse says that it is up: it asks for no password.

    >>> ping_of("http://atlas:word@clickhouse:8123/atlas")
    'http://clickhouse:8123/ping'
    """
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], "/ping", "", ""))


def clickhouse_address(url: str) -> str:
    """Return the address as dbmate wants it.

    >>> clickhouse_address("http://atlas:word@clickhouse:8123/atlas")
    'clickhouse+http://atlas:word@clickhouse:8123/atlas'
    """
    return urlunsplit(urlsplit(url)._replace(scheme=f"clickhouse+{urlsplit(url).scheme}"))


def passwords_in(folder: Path) -> Mapping[str, str]:
    """Return the password of each role that has a file here. Raises ConfigurationWrong for none or an empty one."""
    try:
        found = {
            file.name: file.read_text("utf-8").strip()
            for file in sorted(folder.iterdir())
            if file.name.startswith("atlas_") and file.is_file()
        }
    except OSError as error:
        raise ConfigurationWrong(f"ATLAS_ROLE_PASSWORDS: cannot read {folder}: {error.strerror}") from None
    if not found or not all(found.values()):
        raise ConfigurationWrong(f"ATLAS_ROLE_PASSWORDS: {folder} has no password, or an empty one")
    return found


async def set_passwords(dsn: str, passwords: Mapping[str, str]) -> None:
    """Give each role its password. Repeatable. Raises Unavailable, or what the server said of an unknown role."""
    async with open_pool(dsn, max_size=1, application_name="atlas-migrate") as pool, pool.lease() as session:
        for role, password in passwords.items():
            await set_password(session, role, password)
