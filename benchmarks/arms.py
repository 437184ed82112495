"""What a pair of runs is made of: a fresh database, a service as a process over it, and a load from another process."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import asyncpg
from atlas_local.platform import grpc_ready
from atlas_local.ports import HOST, assign_in
from atlas_local.postgres import DATABASE, PostgresServer
from atlas_local.process import ChildProcess, Command
from atlas_local.scratch import register_first_epoch

HERE = Path(__file__).parent
OURS = ("-m", "atlas_ingest")
NAIVE = (str(HERE / "naive_ingest.py"),)
BARE = (str(HERE / "bare_ingest.py"),)
AROUND_SECONDS = 6.0  # by which a load beside another lasts longer: the other's start and its warm-up
START_SECONDS = 30.0


class Cpu(NamedTuple):
    """CPU seconds that were spent, and the greatest memory of the service in bytes."""

    service: float
    backends: float
    generator: float
    service_memory: int


class Measured(NamedTuple):
    """What a load gave: the figures of each offer by name; and of all its time the CPU and the values stored."""

    offers: dict[str, dict[str, Any]]
    cpu: Cpu
    stored: int


@dataclass(frozen=True, slots=True)
class Database:
    """A database of one run."""

    server: PostgresServer
    name: str

    def dsn(self, role: str = "postgres") -> str:
        """Return its address for a role."""
        return self.server.dsn(role, self.name) if role != "postgres" else self.server.dsn(database=self.name)

    async def value(self, sql: str) -> Any:
        """Return the one value of a query."""
        connection = await asyncpg.connect(self.dsn())
        try:
            return await connection.fetchval(sql)
        finally:
            await connection.close()


@asynccontextmanager
async def fresh_database(server: PostgresServer, *, commit_us: int = 0) -> AsyncIterator[Database]:
    """Yield a database with the whole schema and an epoch; it is dropped at the end.

    With `commit_us` PostgreSQL waits so long before each flush of its log, as a slower disk would; commits of other
    connections that come meanwhile share the flush, as they do on such a disk."""
    name = f"bench_{uuid.uuid4().hex[:12]}"
    connection = await asyncpg.connect(server.dsn(database="postgres"))
    try:
        await connection.execute(f"CREATE DATABASE {name} TEMPLATE {DATABASE}")
        database = Database(server, name)
        await register_first_epoch(database.dsn())
        if commit_us:
            await connection.execute(f"ALTER DATABASE {name} SET commit_delay = {commit_us}")
            await connection.execute(f"ALTER DATABASE {name} SET commit_siblings = 0")
        await connection.execute("CHECKPOINT")
        yield database
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await connection.close()


@asynccontextmanager
async def served(database: Database, program: Sequence[str], *, traced: bool = False) -> AsyncIterator[ChildProcess]:
    """Yield a service over the database; its address is in its environment.

    With `traced` it writes the spans of one trace in a hundred to a file, and has to have written some at the end."""
    with tempfile.TemporaryDirectory(prefix="atlas-bench-") as folder:
        port = assign_in(Path(folder), ("ingest",), {})["ingest"]
        address = f"{HOST}:{port}"
        environment = {"ATLAS_POSTGRES_DSN": database.dsn("atlas_ingest"), "ATLAS_ADDRESS": address}
        spans = Path(folder) / "spans"
        if traced:
            environment |= {"ATLAS_TRACE_FILE": str(spans), "ATLAS_TRACE_SAMPLE_RATIO": "0.01"}
        command = Command([sys.executable, *program], environment)
        process = ChildProcess("ingest", command, Path(folder) / "log", lambda: grpc_ready(address), 30.0)
        await process.start()
        try:
            yield process
        finally:
            await process.stop()
        if traced and not spans.stat().st_size:
            raise RuntimeError("nothing was traced")


@asynccontextmanager
async def beating(database: Database) -> AsyncIterator[None]:
    """Commit beats into the database for as long as the block lasts, from a process of their own."""
    async with _beside(str(HERE / "beats.py"), database.dsn("atlas_monitor")):
        yield


@asynccontextmanager
async def copying(database: Database, batches_per_second: float) -> AsyncIterator[None]:
    """COPY batches of 1000 rows into the database for as long as the block lasts, from a process of their own."""
    async with _beside("-m", "benchmarks.copying", database.dsn("atlas_ingest"), str(batches_per_second)):
        before = await _rows(database)
        yield
        if await _rows(database) == before:
            raise RuntimeError("nothing was copied beside it")


async def _rows(database: Database) -> int:
    return int(await database.value("SELECT count(*) FROM entity_attributes"))


@asynccontextmanager
async def _beside(*program: str) -> AsyncIterator[None]:
    async with _child(*program) as process:
        yield
        if process.returncode is not None:
            raise RuntimeError(f"{' '.join(program[:2])} ended with {process.returncode}")


@asynccontextmanager
async def _child(
    *program: str, stdout: int | None = None, stderr: int | None = None
) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(sys.executable, *program, stdout=stdout, stderr=stderr)
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


Options: TypeAlias = Mapping[str, float | str]


async def offered(
    database: Database, service: ChildProcess, *, beside: Options | None = None, **options: float | str
) -> Measured:
    """Offer a load, named as the options of `atlas bench` are, and return what it gave as the offer `bench`.

    Another load goes on `beside` it, from before it begins until after it ended, and is the offer of that name. It
    comes from a process of its own, as another tenant's does: what its generator does delays no call of the first."""
    before = await _spent(database, service.pid)
    async with AsyncExitStack() as stack:
        other = None
        if beside is not None:
            lasting = {**beside, "duration": float(options["duration"]) + AROUND_SECONDS}
            other = await stack.enter_async_context(_generating(service, lasting))
            await other.began()
        first = await stack.enter_async_context(_generating(service, options))
        memory = await _greatest_memory(first.process, service.pid)
        if other is not None and other.process.returncode is not None:
            raise RuntimeError("the load beside it ended first")
        figures = {name: await one.figures() for name, one in (("bench", first), ("beside", other)) if one is not None}
    after = await _spent(database, service.pid)
    generator = sum(figure["generator_cpu_seconds"] for figure in figures.values())
    cpu = Cpu(after[0] - before[0], after[1] - before[1], generator, memory)
    stored = await _rows(database)
    acknowledged, failed = (sum(offer[name] for offer in figures.values()) for name in ("all_rows", "all_failed"))
    if stored < acknowledged or (stored > acknowledged and not failed):
        raise RuntimeError(f"{acknowledged} values were acknowledged, {failed} calls failed, {stored} are stored")
    return Measured(figures, cpu, stored)


class _Generator(NamedTuple):
    """A process that offers load."""

    process: asyncio.subprocess.Process
    arguments: Sequence[str]
    file: Path

    async def began(self) -> None:
        """Return once it has been sending for a second, when it prints its first line."""
        assert self.process.stderr is not None
        async with asyncio.timeout(START_SECONDS):
            await self.process.stderr.readline()

    async def figures(self) -> dict[str, Any]:
        """Return what it found, once it has ended. Raises RuntimeError if it failed."""
        _, said = await self.process.communicate()
        if self.process.returncode:
            raise RuntimeError(f"atlas bench ended with {self.process.returncode}: {self.arguments}: {said.decode()}")
        figures: dict[str, Any] = json.loads(self.file.read_text("utf-8"))
        return figures


@asynccontextmanager
async def _generating(service: ChildProcess, options: Options) -> AsyncIterator[_Generator]:
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        arguments = ["--ingest", service.command.environment["ATLAS_ADDRESS"], "--json", file.name]
        for name, value in options.items():
            arguments += [f"--{name.replace('_', '-')}", str(value)]
        program = ("-m", "atlas_cli", "bench", *arguments)
        async with _child(*program, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE) as process:
            yield _Generator(process, arguments, Path(file.name))


async def _greatest_memory(generator: asyncio.subprocess.Process, pid: int) -> int:
    greatest = 0
    while generator.returncode is None:
        greatest = max(greatest, memory_bytes(pid))
        try:
            async with asyncio.timeout(0.5):
                await generator.wait()
        except TimeoutError:
            continue
    return greatest


async def _spent(database: Database, pid: int) -> tuple[float, float]:
    connection = await asyncpg.connect(database.dsn())
    try:
        rows = await connection.fetch(
            "SELECT pid FROM pg_stat_activity WHERE datname = $1 AND usename = 'atlas_ingest'",
            database.name,
        )
    finally:
        await connection.close()
    return cpu_seconds(pid), sum(cpu_seconds(row["pid"]) for row in rows)


def memory_bytes(pid: int) -> int:
    """Return what a process holds in memory now."""
    return int(Path(f"/proc/{pid}/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
